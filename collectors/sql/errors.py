"""What a database's error means here, whichever driver it came through. No I/O.

Invariants: a refused login is never taken for an outage, so that no account is locked by trying again; an
outage is never taken for something that a person must mend. What is quoted is the first line alone.
"""

import re

from outbox.errors import LoginRefusedError, OutboxError, PermanentError, TransientError

MAX_QUOTE_CHARS = 300
_SLOW_HINT = "raise statement_timeout, or have an index made on the bookmark"
_WRITE_HINT = "a source only reads: take out of the query whatever changes data"
_LOGIN_HINT = "look at the user in url and at its password"
_DATABASE_HINT = "correct the database in url"
_RIGHTS_HINT = "the user may not read this: grant SELECT on it"
_SECTION_HINT = "correct table, query or the names of columns in the section"

Meaning = tuple[type[OutboxError], str | None]

# PostgreSQL tells the reason of a refused connection in its own language only.
_REFUSED = re.compile(
    r"authenti|authentif|autentic|passwor|passwort|kennwort|mot de passe|contrase|senha|pg_hba|access denied|"
    r"login failed|not permitted to log in|role \".*\" does not exist",
    re.IGNORECASE,
)
_NO_DATABASE = re.compile(
    r"database \".*\" does not exist|unknown database|cannot open database", re.IGNORECASE
)
_MYSQL_REFUSED = (1044, 1045, 1698, 3118, 3955)
_MYSQL_WAITS = (1040, 1053, 1203, 1205, 1213, 1226, 1317, 1969, 2002, 2003, 2006, 2013, 2055, 3024)
_MYSQL_SLOW = (1317, 1969, 3024)
_MYSQL_WRITES = 1792
_SQLITE_WAITS = (
    "SQLITE_BUSY",
    "SQLITE_LOCKED",
    "SQLITE_INTERRUPT",
    "SQLITE_IOERR",
    "SQLITE_PROTOCOL",
    "SQLITE_FULL",
)


def translated(error: BaseException | None, where: str, *, connecting: bool = False) -> OutboxError:
    """Return the error to raise for a driver's; `connecting` says that no statement was sent yet."""
    said = _first_line(error)
    kind, hint = (
        _by_sqlite(error)
        or _by_mysql(error)
        or _by_state(str(getattr(error, "sqlstate", None) or _state_of_mssql(said)))
        or (_by_words(said) if connecting else None)
        or ((TransientError, None) if _is_operational(error) else (PermanentError, _SECTION_HINT))
    )
    return kind(f"{where}: {said}", hint=hint)


def _by_state(state: str) -> Meaning | None:
    """What the standard's five letters mean; None where there are none."""
    known: dict[str, Meaning] = {
        "57014": (TransientError, _SLOW_HINT),
        "25006": (PermanentError, _WRITE_HINT),
        "0A000": (PermanentError, _WRITE_HINT),
        "42501": (PermanentError, _RIGHTS_HINT),
        "3D000": (PermanentError, _DATABASE_HINT),
    }
    if state in known:
        return known[state]
    if state.startswith("28"):
        return LoginRefusedError, _LOGIN_HINT
    if state[:2] in ("08", "40", "53", "55", "57", "58", "HY"):
        return TransientError, None
    return (PermanentError, _SECTION_HINT) if state else None


def _by_words(said: str) -> Meaning | None:
    """What a connection that failed says; None for any outage."""
    if _NO_DATABASE.search(said):
        return PermanentError, _DATABASE_HINT
    return (LoginRefusedError, _LOGIN_HINT) if _REFUSED.search(said) else None


def _first_line(error: BaseException | None) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return "".join(char if char.isprintable() else " " for char in text)[:MAX_QUOTE_CHARS]


def _by_sqlite(error: BaseException | None) -> Meaning | None:
    name = str(getattr(error, "sqlite_errorname", None) or "")
    if name == "SQLITE_INTERRUPT":
        return TransientError, _SLOW_HINT
    if name == "SQLITE_CANTOPEN":
        return PermanentError, "is the file there, and may this account read it?"
    if name.startswith(_SQLITE_WAITS):
        return TransientError, None
    return (PermanentError, _SECTION_HINT) if name else None


def _by_mysql(error: BaseException | None) -> Meaning | None:
    if not error or not type(error).__module__.startswith("pymysql"):
        return None
    number = error.args[0] if error.args else 0
    if number in _MYSQL_REFUSED:
        return LoginRefusedError, _LOGIN_HINT
    if number in _MYSQL_WAITS:
        return TransientError, _SLOW_HINT if number in _MYSQL_SLOW else None
    return PermanentError, _WRITE_HINT if number == _MYSQL_WRITES else _SECTION_HINT


def _state_of_mssql(said: str) -> str:
    """mssql-python has it in its text only; 18456 is a refused login."""
    if "18456" in said or "Login failed" in said:
        return "28000"
    match = re.search(r"\[([0-9A-Z]{5})\]", said)
    return match[1] if match else ""


def _is_operational(error: BaseException | None) -> bool:
    """Drivers name it so (PEP 249): what is not the programmer's doing."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"OperationalError", "InterfaceError", "InternalError"})
