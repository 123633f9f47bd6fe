"""What every collector must keep, as checks that any package's tests can run on its own.

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_the_meter_conforms(check, meter):
        check(meter)

`meter` is a `Subject`: how to make the collector over a world that stands still (a loopback server, a
folder, a clock that is told), and what can be wrong with that world. What is stored, and what a crash
does to it, is the loop's doing: it is played here in memory, by the outbox's own rules.
"""

import logging
import traceback
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from collectors.collector import Collector, Context, Rereads, SourceOptions, Window
from collectors.http.client import Http
from collectors.testing.ledger import Ledger, require
from outbox.config.options import SecretRef
from outbox.config.sections import NetworkOptions
from outbox.errors import ConfigError, OutboxError, PermanentError
from outbox.record import Page, Record, Rejected
from outbox.retry import Retry

MAX_CRASHES = 12
GARBAGE = ("", "null", "{}", "[]", "17", "no bookmark of yours", '{"since": "yesterday"}', "\x00")

TWO_DAYS = Window(date(2026, 11, 20), date(2026, 11, 21))

Make = Callable[[], Collector]


@dataclass(frozen=True)
class Subject:
    """A collector and the world that it reads; the world stands still while it is checked.

    `make` returns a new collector, as a new process would have one. `spoilt` makes one over a bad world
    each, by what is wrong with it; `big` one over so much data that `max_memory_bytes` would not hold it.
    `asked` counts what the world was asked so far; `secrets` are planted and may turn up nowhere.
    """

    options: type[SourceOptions]
    make: Make
    spoilt: Mapping[str, Make] = field(default_factory=dict)
    big: Make | None = None
    max_memory_bytes: int = 64 * 1024 * 1024
    asked: Callable[[], int] | None = None
    secrets: tuple[str, ...] = ()
    window: Window = TWO_DAYS


@contextmanager
def lent(
    *,
    source: str = "source",
    secret: str = "",
    timezone: str = "UTC",
    now: Callable[[], datetime] = lambda: datetime(2026, 11, 23, 5, tzinfo=UTC),
) -> Iterator[Context]:
    """Yield a context as the agent lends it: one attempt, no proxy, and `secret` for every reference."""

    def read(reference: SecretRef) -> str:
        if not secret:
            raise PermanentError(f"the secret {reference} does not exist yet")
        return secret

    network = NetworkOptions.model_validate({})
    with Http(retry=Retry(attempts=1), network=network) as http:
        yield Context(source, ZoneInfo(timezone), http, read, now, network)


def options_are_described(subject: Subject) -> None:
    """Every option says what it is, unknown ones are refused, and the common ones are there."""
    require(issubclass(subject.options, SourceOptions), "Options is no SourceOptions")
    require(subject.options.model_config.get("extra") == "forbid", "unknown options are not refused")
    for name, option in subject.options.model_fields.items():
        require(bool(option.description), f"the option {name} has no description")


def pages_are_lazy(subject: Subject) -> None:
    """Making a collector and calling `collect` asks for nothing; each page is made when it is asked for."""
    before = subject.asked() if subject.asked else 0
    pages = subject.make().collect({})
    require(iter(pages) is pages, "collect returns no iterator: nothing of it would be lazy")
    if not subject.asked:
        return
    require(subject.asked() == before, "something was asked before the first page was")
    for page in pages:
        require(isinstance(page, Page), f"{page!r:.100} is no page")
    whole = subject.asked() - before
    before = subject.asked()
    pages = subject.make().collect({})
    next(pages, None)
    first = subject.asked() - before
    more = next(pages, None) is not None
    _close(pages)
    require(not more or whole == 1 or first < whole, "everything was asked for before the first page")


def pages_can_be_stored(subject: Subject) -> None:
    """Pages keep their limits, a good world gives records, and none of them contradicts another."""
    ledger = Ledger()
    ledger.collect(subject.make())
    require(bool(ledger.rows), "a good world gave no record")


def a_second_round_finds_nothing_new(subject: Subject) -> None:
    """What was read is not read as something else: the same world gives the same records."""
    ledger = Ledger()
    ledger.collect(subject.make())
    again = ledger.collect(subject.make())
    require(again == 0, f"the same world gave {again:,} new rows the second time")


def every_bookmark_resumes(subject: Subject) -> None:
    """A crash after any page, with the next one made and not stored, leaves no gap and doubles nothing."""
    whole = Ledger()
    whole.collect(subject.make())
    count = sum(1 for _ in subject.make().collect({}))
    for stored in sorted(
        {number * count // MAX_CRASHES for number in range(MAX_CRASHES)} | {max(0, count - 1)}
    ):
        ledger = Ledger()
        pages = subject.make().collect({})
        for _ in range(stored):
            ledger.store(next(pages))
        next(pages, None)
        _close(pages)
        ledger.collect(subject.make())
        what = f"a crash after page {stored} of {count}"
        require(not set(whole.rows) - set(ledger.rows), f"{what} left a gap")
        require(sorted(ledger.rows) == sorted(whole.rows), f"{what} stored something twice")
        require(ledger.rejected == whole.rejected, f"{what} changed what is rejected")


def a_foreign_bookmark_is_no_bug(subject: Subject) -> None:
    """A bookmark that is none of this kind is a typed error, or everything is read from the start."""
    known = Ledger()
    known.collect(subject.make())
    for scope in {"", *known.marks}:
        for text in GARBAGE:
            _read(subject.make, f"the bookmark {text!r}", {scope: text})


def bad_worlds_are_rejected_or_typed_errors(subject: Subject) -> None:
    """Whatever is wrong with what is read: it is rejected with its input, or an error says what to do."""
    for what, make in subject.spoilt.items():
        records, rejected, error = _read(make, what)
        require(bool(rejected or error), f"{what}: {records} records, nothing rejected and no error")


def rejected_inputs_can_be_read_again(subject: Subject) -> None:
    """Where the collector offers it: reading again gives a record, a reason or None, whatever the text."""
    for what, make in {"a good world": subject.make, **subject.spoilt}.items():
        collector = make()
        if not isinstance(collector, Rereads):
            return
        raws = set(GARBAGE)
        try:
            for page in collector.collect({}):
                raws |= {item.raw for item in page.rejected}
        except OutboxError:
            pass
        for raw in raws:
            found = collector.reread(raw)
            require(
                found is None or isinstance(found, (Record, Rejected)),
                f"{what}: {raw!r:.100} was read again as {found!r:.100}",
            )


def secrets_stay_secret(subject: Subject) -> None:
    """No planted secret is in a record, a bookmark, a rejected input, a message, a traceback or the log."""
    said: list[str] = []
    handler = _Listener(said)
    logging.getLogger().addHandler(handler)
    try:
        for what, make in {"a good world": subject.make, **subject.spoilt}.items():
            try:
                said += [repr(page) for page in make().collect({})]
            except OutboxError as error:
                said += [str(error), repr(error), *traceback.format_exception(error)]
            for secret in subject.secrets:
                require(not any(secret in text for text in said), f"{what}: a secret is told")
    finally:
        logging.getLogger().removeHandler(handler)


def a_window_is_read_or_refused(subject: Subject) -> None:
    """A back-fill gives pages and an end, or PermanentError or ConfigError says that there is none."""
    ledger = Ledger()
    try:
        ledger.collect(subject.make(), subject.window)
    except (PermanentError, ConfigError):
        return
    again = ledger.collect(subject.make(), subject.window)
    require(again == 0, f"the same days gave {again:,} new rows the second time")


def memory_is_bounded(subject: Subject) -> None:
    """However much there is to read, what is in memory stays below the subject's limit."""
    if not subject.big:
        return
    collector = subject.big()
    tracemalloc.start()
    try:
        count = sum(len(page.records) for page in collector.collect({}))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    limit = subject.max_memory_bytes
    require(peak <= limit, f"{count:,} records took {peak:,} bytes; the limit is {limit:,}")


CHECKS: tuple[Callable[[Subject], None], ...] = (
    options_are_described,
    pages_are_lazy,
    pages_can_be_stored,
    a_second_round_finds_nothing_new,
    every_bookmark_resumes,
    a_foreign_bookmark_is_no_bug,
    bad_worlds_are_rejected_or_typed_errors,
    rejected_inputs_can_be_read_again,
    secrets_stay_secret,
    a_window_is_read_or_refused,
    memory_is_bounded,
)


class _Listener(logging.Handler):
    """Keeps what is logged, tracebacks included."""

    def __init__(self, heard: list[str]) -> None:
        super().__init__()
        self._heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        self._heard.append(self.format(record))


def _read(
    make: Make, what: str, bookmarks: Mapping[str, str] | None = None
) -> tuple[int, int, OutboxError | None]:
    """How many records and rejected inputs a world gives, and the error that ended it."""
    ledger, records = Ledger(), 0
    try:
        for page in make().collect(dict(bookmarks or {})):
            records += ledger.store(page)
    except OutboxError as error:
        return records, len(ledger.rejected), error
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__} is no typed error: {error}") from error
    return records, len(ledger.rejected), None


def _close(pages: Iterator[Page]) -> None:
    """End a generator where it stands, as the end of a process does."""
    close = getattr(pages, "close", None)
    if close:
        close()
