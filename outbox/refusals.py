"""Logins that a source refused: not tried again, so that an agent never locks a customer's account.

Invariants:
- A refused login is tried again once the source's section or one of its secrets has changed, or six hours
  have passed; a success forgets it.
- A row reveals no secret: what the login rests upon is kept as a salted scrypt hash.
- No clock blocks a source for long: a refusal that lies more than six hours ahead was noted by a wrong one.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from outbox.database import Database
from outbox.errors import LoginRefusedError
from outbox.record import timestamp

WAIT = timedelta(hours=6)
_SALT_BYTES = 16

_FIND = "SELECT salt, fingerprint, refused_at, reason FROM refusals WHERE source = ?"
_NOTE = """
INSERT INTO refusals (source, salt, fingerprint, refused_at, reason) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET salt = excluded.salt, fingerprint = excluded.fingerprint,
  refused_at = excluded.refused_at, reason = excluded.reason
"""
_FORGET = "DELETE FROM refusals WHERE source = ?"


class Refusals:
    """The refused logins of one open database.

    `login` returns all that a source's login rests upon, secrets included; it is asked only when needed.
    """

    def __init__(
        self,
        database: Database,
        *,
        now: Callable[[], datetime],
        salt: Callable[[], bytes] = lambda: secrets.token_bytes(_SALT_BYTES),
    ) -> None:
        self._database = database
        self._now = now
        self._salt = salt

    def require_untried(self, source: str, login: Callable[[], str]) -> None:
        """Raise LoginRefusedError while this login was refused lately; it says until when that holds."""
        rows = self._database.execute(_FIND, (source,))
        if not rows:
            return
        salt, known, refused_at, reason = rows[0]
        try:
            refused = datetime.fromisoformat(refused_at)
        except ValueError:  # a damaged row holds nobody back
            return
        if abs(self._now() - refused) >= WAIT or not hmac.compare_digest(known, _fingerprint(login(), salt)):
            return
        raise LoginRefusedError(
            f"its login was refused at {refused:%Y-%m-%d %H:%M} UTC and is not tried again before "
            f"{refused + WAIT:%Y-%m-%d %H:%M} UTC: {reason}",
            hint="set its secret anew or correct its section, and it is tried at once; "
            "any change of the section will do",
        )

    def note(self, source: str, login: Callable[[], str], reason: str) -> None:
        """Keep that this login was refused just now."""
        salt = self._salt()
        row = (source, salt, _fingerprint(login(), salt), timestamp(self._now()), reason)
        with self._database.transaction():
            self._database.execute(_NOTE, row)

    def forget(self, source: str) -> None:
        """Forget a refusal, if there is one: the login was accepted."""
        if self._database.execute(_FIND, (source,)):
            with self._database.transaction():
                self._database.execute(_FORGET, (source,))


def _fingerprint(login: str, salt: bytes) -> bytes:
    return hashlib.scrypt(login.encode(errors="surrogatepass"), salt=salt, n=2**14, r=8, p=1, dklen=32)
