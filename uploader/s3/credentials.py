"""Who the agent is to S3: what `[upload] credentials` refers to, read and checked.

Invariants: no message, no repr and no traceback holds a secret or a line of the file; of an access key id
at most its kind and its last four characters are shown (`AKIA…7Q2F`).
"""

import configparser
import csv
import os
import re
from collections.abc import Mapping
from pathlib import Path

from outbox.errors import OTHER_ACCOUNT, PermanentError

HINT = "outbox secret set aws"
ENVIRONMENT_HINT = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for the account that runs the upload"
MAX_FILE_BYTES = 64 * 1024

_KEY_ID = "aws_access_key_id"
_SECRET = "aws_secret_access_key"  # noqa: S105 - a name
_TOKEN = "aws_session_token"  # noqa: S105 - a name
_CSV_NAMES = {"access key id": _KEY_ID, "secret access key": _SECRET, "session token": _TOKEN}


class Credentials:
    """An access key and its secret, with a token where they are temporary; shown only as `AKIA…7Q2F`."""

    def __init__(self, access_key_id: str, secret_access_key: str, session_token: str | None = None) -> None:
        self.access_key_id = access_key_id
        self.secret_access_key = secret_access_key
        self.session_token = session_token

    def __repr__(self) -> str:
        return f"Credentials({self.shown})"

    @property
    def shown(self) -> str:
        """The access key id as people may see it: AWS's four letters of its kind, and its last four."""
        kind = self.access_key_id[:4] if re.fullmatch(r"A[A-Z]{3}[A-Z0-9]{12,}", self.access_key_id) else ""
        return f"{kind}…{self.access_key_id[-4:] if len(self.access_key_id) >= 8 else ''}"

    def mask(self, text: str) -> str:
        """Return `text`, which others wrote, without these credentials in it."""
        for secret in filter(None, (self.secret_access_key, self.session_token)):
            text = text.replace(secret, "…")
        return text.replace(self.access_key_id, self.shown)


def read_credentials(
    reference: str, *, folder: Path, environ: Mapping[str, str] = os.environ
) -> Credentials | None:
    """Return what `[upload] credentials` refers to, or None where AWS's own chain is to look for it.

    `file:PATH` is relative to `folder`, the agent's. PermanentError says what is missing and where.
    """
    kind, _, name = reference.partition(":")
    if kind == "file":
        return _read_file(folder / name)
    if kind == "env":
        found = {variable: environ.get(variable.upper(), "") for variable in (_KEY_ID, _SECRET, _TOKEN)}
        return _checked(found, "the environment", hint=ENVIRONMENT_HINT)
    return None


def write_credentials_text(
    access_key_id: str, secret_access_key: str, session_token: str | None = None
) -> str:
    """Return the text of a credentials file, as `file:PATH` reads it; PermanentError for what is no key."""
    named = {_KEY_ID: access_key_id, _SECRET: secret_access_key, _TOKEN: session_token or ""}
    _checked(named, "what was typed")
    return "[default]\n" + "".join(f"{name} = {value.strip()}\n" for name, value in named.items() if value)


def _read_file(path: Path) -> Credentials:
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(MAX_FILE_BYTES)
    except FileNotFoundError as error:
        raise PermanentError(f"the credentials file {path} does not exist yet", hint=HINT) from error
    except PermissionError as error:
        raise PermanentError(
            f"this account may not read the credentials file {path}", hint=OTHER_ACCOUNT
        ) from error
    except OSError as error:
        raise PermanentError(
            f"the credentials file {path} cannot be read: {error.strerror}", hint=HINT
        ) from error
    except UnicodeDecodeError:
        # Without its cause, here and below: the parsers' own words quote the file.
        raise PermanentError(f"the credentials file {path} is no UTF-8 text", hint=HINT) from None
    first_line = text.lstrip().partition("\n")[0].lower()
    if "access key id" in first_line and "," in first_line:
        return _checked(_parse_csv(text, path), str(path))
    return _checked(_parse_ini(text, path), str(path))


def _parse_ini(text: str, path: Path) -> Mapping[str, str]:
    """Return the options of [default], or of the only section."""
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    try:
        parser.read_string(text)
    except configparser.Error as error:
        what = f"the credentials file {path} is garbled ({type(error).__name__})"
        raise PermanentError(what, hint=HINT) from None
    sections = parser.sections()
    if "default" in sections:
        return parser["default"]
    if len(sections) == 1:
        return parser[sections[0]]
    raise PermanentError(
        f"the credentials file {path} has {len(sections)} sections and none is [default]", hint=HINT
    )


def _parse_csv(text: str, path: Path) -> Mapping[str, str]:
    """Return the one key of a file as the AWS console hands it out, in its older or its newer form."""
    rows = [row for row in csv.reader(text.strip().splitlines()) if any(cell.strip() for cell in row)]
    if len(rows) != 2:
        raise PermanentError(f"the credentials file {path} holds {len(rows) - 1} keys, not one", hint=HINT)
    names = [_CSV_NAMES.get(name.strip().lower(), "") for name in rows[0]]
    return dict(zip(names, rows[1], strict=False))


def _checked(named: Mapping[str, str], where: str, hint: str = HINT) -> Credentials:
    """Return the credentials in `named`; PermanentError says which is missing or is no key at all."""
    values = {name: named.get(name, "").strip() for name in (_KEY_ID, _SECRET, _TOKEN)}
    for name in (_KEY_ID, _SECRET):
        if not values[name]:
            raise PermanentError(f"{where} has no {name}", hint=hint)
    for name, value in values.items():
        if not re.fullmatch(r"[!-~]*", value):
            raise PermanentError(
                f"the {name} in {where} has a space or a character that no key has", hint=hint
            )
    return Credentials(values[_KEY_ID], values[_SECRET], values[_TOKEN] or None)
