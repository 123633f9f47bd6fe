"""check's part beyond this machine: a trial object, what the credentials may do, the server's clock."""

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import uuid4

from outbox import __version__
from outbox.cli.app import now, open_database
from outbox.cli.findings import Finding, failed, found
from outbox.cli.text import age
from outbox.config.file import Config
from outbox.errors import OutboxError, PermanentError
from outbox.record import timestamp

CLOCK_LIMIT = timedelta(minutes=5)
"""A clock further off is worth a warning; from 15 minutes on S3 refuses."""
_LOOKED_AT = 100
_LATEST_SENT = """
SELECT id, object_key FROM batches WHERE status = 'sent' AND store = ? ORDER BY id DESC LIMIT ?
"""


def destination(config: Config, *, offline: bool) -> Iterator[Finding]:
    """Yield what is found about the destination; offline, what can be known without contacting it."""
    to = config.upload.to
    moment = now()
    name = f"{moment:%Y%m%dT%H%M%SZ}-{uuid4().hex[:8]}"
    data = f"{timestamp(moment)} outbox {__version__}: a trial, loaded by nobody\n".encode()
    if to.startswith("file:"):
        yield found("destination", lambda: _folder(to) if offline else _directory(config, name, data))
        yield from _vanished(config)
    elif offline:
        yield found("destination", lambda: f"{to}, {_key(config)}; not contacted")
    else:
        yield from _bucket(config, name, data)


def _vanished(config: Config) -> Iterator[Finding]:
    """Say which of the latest objects are no longer in a folder; of a bucket a put-only key cannot know."""
    from uploader.directory import folder_of

    gone = []
    with suppress(OutboxError), open_database(config, readonly=True) as database:
        root = folder_of(config.upload.to)
        gone = [
            batch
            for batch, key in database.rows(_LATEST_SENT, (config.upload.to, _LOOKED_AT))
            if not (root / key).exists()
        ]
    if gone:
        them = "1 object" if len(gone) == 1 else f"{len(gone)} objects"
        text = f"{them} of the latest {_LOOKED_AT} sent cannot be found there any more, as batch {gone[0]}"
        hint = f"Hint: unless whoever reads them moves them on: outbox resend {gone[0]}"
        yield Finding("WARNING", "objects", f"{text}\n{hint}")


def _bucket(config: Config, name: str, data: bytes) -> Iterator[Finding]:
    from uploader.trial import S3Trial, trial_key

    key = trial_key(config.agent.customer, name)
    try:
        trial = S3Trial(config.upload, config.network, folder=config.folder)
        server_time = trial.put(key, data).server_time
        heard = now()
    except OutboxError as error:
        yield failed("destination", error)
        return
    yield Finding("ok", "destination", f"{config.upload.to} took a trial object")
    yield _credentials(config.agent.customer, trial.key_shown(), trial.excess(key, data))
    if server_time:
        yield _clock(heard, server_time)


def _credentials(customer: str, key: str, excess: Iterator[str]) -> Finding:
    more: list[str] = []
    unknown = ""
    try:
        for right in excess:
            more.append(right)  # noqa: PERF402 - what was found out stays, whatever comes next
    except OutboxError as error:
        unknown = f"what else it may do was not found out:\n{error}"
    if more:
        may = " and ".join(filter(None, [", ".join(more[:-1]), more[-1]]))
        text = f"{key} may do more than put: {may}" + (f"; {unknown}" if unknown else "")
        hint = f"Hint: head office gives it only what it needs: outbox aws --customer {customer}"
        return Finding("WARNING", "credentials", f"{text}\n{hint}")
    if unknown:
        return Finding("WARNING", "credentials", f"{key} may put; {unknown}")
    return Finding("ok", "credentials", f"{key} may put, not read, list, overwrite or delete")


def _clock(heard: datetime, server_time: datetime) -> Finding:
    """Compare this machine's clock with the server's Date, which leaves its fractions of a second out."""
    off = heard - server_time - timedelta(seconds=0.5)
    if abs(off) < timedelta(seconds=2):
        return Finding("ok", "clock", "agrees with the server's")
    earlier, later = sorted((heard, server_time))
    text = f"{age(timestamp(earlier), later)} {'ahead of' if off > timedelta() else 'behind'} the server's"
    if abs(off) < CLOCK_LIMIT:
        return Finding("ok", "clock", text)
    return Finding("WARNING", "clock", f"{text}\nHint: set the clock, and keep it in step by NTP")


def _directory(config: Config, name: str, data: bytes) -> str:
    from uploader.trial import trial_key, try_directory

    to, key = config.upload.to, trial_key(config.agent.customer, name)
    if try_directory(to, key, data):
        return f"{to} took a trial object, removed again"
    return f"{to} took a trial object, which may not be removed: {key}"


def _folder(to: str) -> str:
    from uploader.directory import folder_of

    folder = folder_of(to)
    if not folder.is_dir():
        raise PermanentError(f"there is no folder {folder}", hint="make it, or correct [upload] to")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermanentError(f"{folder} may not be written", hint="let the account that runs outbox write it")
    return to


def _key(config: Config) -> str:
    from uploader.s3.credentials import read_credentials

    reference = config.upload.credentials
    credentials = read_credentials(reference, folder=config.folder)
    return f"key {credentials.shown}" if credentials else reference or "credentials of this machine"
