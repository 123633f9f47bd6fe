"""Logins that a source refused: not tried again, so that an agent never locks a customer's account.

Invariants:
- A refused login is tried again once the source's section or one of its secrets has changed, or six hours
  have passed; a success forgets it. Other sources with the same account at the same server wait as long.
- A row reveals no secret: what the login rests upon is kept as salted scrypt hashes.
- No clock blocks a source for long: a refusal that lies more than six hours ahead was noted by a wrong one.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from outbox.database import Database
from outbox.errors import LoginRefusedError
from outbox.record import timestamp

WAIT = timedelta(hours=6)
_SALT_BYTES = 16

# A damaged row, which has other types, holds nobody back.
_FIND = """
SELECT source, salt, fingerprint, account, refused_at, reason FROM refusals
WHERE typeof(source) || typeof(salt) || typeof(fingerprint) || typeof(refused_at) = 'textblobblobtext'
  AND typeof(account) <> 'text' AND typeof(reason) = 'text'
ORDER BY refused_at DESC
"""
_NOTE = """
INSERT INTO refusals (source, salt, fingerprint, account, refused_at, reason) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET salt = excluded.salt, fingerprint = excluded.fingerprint,
  account = excluded.account, refused_at = excluded.refused_at, reason = excluded.reason
"""


class Login(NamedTuple):
    """What a login rests upon, secrets included: the section, and the account that it has with a server.

    Sources whose `account` is the same are refused together; an empty one is nobody's.
    """

    section: str = ""
    account: str = ""


class _Refusal(NamedTuple):
    source: str
    salt: bytes
    fingerprint: bytes
    account: bytes | None
    refused_at: str
    reason: str


class Refusals:
    """The refused logins of one open database. A login is asked for only when it is needed."""

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

    def require_untried(self, source: str, login: Callable[[], Login]) -> None:
        """Raise LoginRefusedError while this login was refused lately; it says until when that holds."""
        known = {row[0]: _Refusal(*row) for row in self._database.rows(_FIND)}
        own = known.get(source)
        for refusal in [own] if own else known.values():
            refused = _moment(refusal.refused_at)
            if refused and abs(self._now() - refused) < WAIT and _is_same(refusal, login(), own=bool(own)):
                raise _refused(refusal, refused, own=bool(own))

    def note(self, source: str, login: Callable[[], Login], reason: str) -> None:
        """Keep that this login was refused just now."""
        salt, (section, account) = self._salt(), login()
        shared = _fingerprint(account, salt) if account else None
        row = (source, salt, _fingerprint(section, salt), shared, timestamp(self._now()), reason)
        with self._database.transaction():
            self._database.execute(_NOTE, row)

    def forget(self, source: str) -> None:
        """Forget a refusal, if there is one: the login was accepted."""
        if any(row[0] == source for row in self._database.execute(_FIND)):
            with self._database.transaction():
                self._database.execute("DELETE FROM refusals WHERE source = ?", (source,))


def _is_same(refusal: _Refusal, login: Login, *, own: bool) -> bool:
    if own:
        return hmac.compare_digest(refusal.fingerprint, _fingerprint(login.section, refusal.salt))
    if not login.account or refusal.account is None:
        return False
    return hmac.compare_digest(refusal.account, _fingerprint(login.account, refusal.salt))


def _refused(refusal: _Refusal, refused: datetime, *, own: bool) -> LoginRefusedError:
    whose = "its login" if own else f"its login, which is that of {refusal.source},"
    return LoginRefusedError(
        f"{whose} was refused at {refused:%Y-%m-%d %H:%M} UTC and is not tried again before "
        f"{refused + WAIT:%Y-%m-%d %H:%M} UTC: {refusal.reason}",
        hint=f"set its secret anew or correct [source:{refusal.source}], and it is tried at once; "
        "any change of that section will do",
    )


def _moment(text: str) -> datetime | None:
    """Return when a login was refused; None for a damaged row, which holds nobody back."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _fingerprint(login: str, salt: bytes) -> bytes:
    return hashlib.scrypt(login.encode(errors="surrogatepass"), salt=salt, n=2**14, r=8, p=1, dklen=32)
