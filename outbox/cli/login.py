"""What the login of a source rests upon: its section, its secrets, and the account that they open."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from collectors.collector import SourceOptions
from outbox.config.file import SOURCE, Config
from outbox.config.options import Options, SecretRef
from outbox.errors import OutboxError
from outbox.refusals import Login

_ACCOUNT = ("host", "port", "user", "login", "client_id", "token_url")


def login_of(config: Config, source: str, options: SourceOptions) -> Login:
    """Return the login of a source; sources with one account at one server have it in common."""
    secrets: dict[str, str] = {}
    for reference in _references(options):
        with suppress(OutboxError):
            secrets[str(reference)] = reference.read(config.folder)
    written = config.file.options(SOURCE + source)
    section = json.dumps([sorted(written.items()), sorted(secrets.items())])
    if not secrets:
        return Login(section, "")
    server = urlsplit(written.get("url", "")).netloc
    account = [server, *(written.get(name, "") for name in _ACCOUNT), *sorted(set(secrets.values()))]
    return Login(section, json.dumps(account))


def _references(value: object) -> Iterator[SecretRef]:
    """Yield the references to secrets in a section's model, also in lists, mappings and models in it."""
    if isinstance(value, SecretRef):
        yield value
        return
    parts: Iterable[object] = ()
    if isinstance(value, Options):
        parts = dict(value).values()
    elif isinstance(value, Mapping):
        parts = value.values()
    elif isinstance(value, (tuple, list, set, frozenset)):
        parts = value
    for part in parts:
        yield from _references(part)
