"""check's look at the sources: the first page that the next collect would read, and nothing stored.

Invariants: a source has so long and no longer; one that hangs is given up and holds up nothing else. A login
that was refused lately is not tried, and one that is refused here is remembered, as collect does.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from collectors.collect import Source
from outbox.cli.app import now, open_database
from outbox.cli.findings import Finding, failed
from outbox.cli.text import number
from outbox.config.file import OWN_SOURCE, Config
from outbox.errors import LoginRefusedError, OutboxError, TransientError
from outbox.record import Page
from outbox.record.page import normalise_page
from outbox.refusals import Refusals
from outbox.retry import Retry
from outbox.store import Outbox

LIMIT_S = 30.0


def tried(config: Config, wanted: Sequence[str]) -> Iterator[Finding]:
    """Yield how each wanted source answers; all that are enabled where none is named."""
    from outbox.cli.wiring import open_sources

    with open_sources(config, wanted, retry=Retry(attempts=1)) as sources:
        for source in sources:
            if source.name != OWN_SOURCE:
                yield _tried(config, source, LIMIT_S)


def _tried(config: Config, source: Source, limit_s: float) -> Finding:
    try:
        with open_database(config, readonly=True) as database:
            Refusals(database, now=now).require_untried(source.name, source.login)
            marks = Outbox(database, now=now).bookmarks(source.name)
    except LoginRefusedError as error:
        return failed(source.name, error)
    except OutboxError:  # the finding "database" says it
        marks = {}
    try:
        page = _first_page(source, {scope: mark.text for scope, mark in marks.items()}, limit_s)
    except LoginRefusedError as error:
        with suppress(OutboxError), open_database(config) as database:
            Refusals(database, now=now).note(source.name, source.login, error.message)
        return failed(source.name, error)
    except OutboxError as error:
        return failed(source.name, error)
    agent = config.agent
    judged = normalise_page(
        page or Page(records=[], bookmark=""), customer=agent.customer, site=agent.site, source=source.name
    )
    notes = "".join(f"\nNote: {note}" for note in source.notes())
    records, rejected = len(judged.entries), judged.rejected
    if not records and not rejected:
        return Finding("ok", source.name, f"can be read; nothing new{notes}")
    if rejected:
        read = f"{len(rejected):,} of the first {number(records + len(rejected), 'input')}"
        text = f"can be read, but {read} would be rejected: {rejected[0].reason}{notes}"
        return Finding("WARNING", source.name, f"{text}\nHint: outbox preview {source.name}")
    return Finding("ok", source.name, f"can be read; {number(records, 'record')} at first{notes}")


def _first_page(source: Source, bookmarks: Mapping[str, str], limit_s: float) -> Page | None:
    """Read one page in a thread of its own; TransientError where none came in time."""
    pages: list[Page | None] = []
    errors: list[BaseException] = []

    def read() -> None:
        try:
            collecting = iter(source.collector.collect(bookmarks, None))
            pages.append(next(collecting, None))
            close = getattr(collecting, "close", None)
            if close:
                close()
        except BaseException as error:  # noqa: BLE001 - told below, in the command's own thread
            errors.append(error)

    thread = threading.Thread(target=read, name=f"check {source.name}", daemon=True)
    thread.start()
    thread.join(limit_s)
    if errors and isinstance(errors[0], OutboxError):
        raise errors[0]
    if errors:
        raise OutboxError(f"a bug: {type(errors[0]).__name__}") from errors[0]
    if not pages:
        raise TransientError(
            f"gave nothing within {limit_s:g} s", hint="collect waits longer: it may be well"
        )
    return pages[0]
