"""What a collector is, and what it is given. A collector opens no database and knows no retry."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable
from zoneinfo import ZoneInfo

from pydantic import Field

from collectors.http.client import Http
from outbox.config.options import Duration, Flag, Fresh, Options, SecretRef, Zone
from outbox.config.sections import NetworkOptions
from outbox.record import Page, Record, Rejected


class SourceOptions(Options):
    """The options that every source has; a collector's own model adds its own."""

    collector: str = Field(description="The kind of source; what is installed: outbox sources.")
    every: Duration = Field(900.0, description="How often the scheduled collect is expected to run.")
    fresh: Fresh | None = Field(
        None,
        description="Nothing new for so long is a problem; empty: 3 times its rhythm, at least 1d; "
        "off: never.",
    )
    enabled: Flag = Field(True, description="no: this source is left out of every collect.")
    timezone: Zone | None = Field(None, description="Zone of times without one; empty: that of [agent].")


class Window(NamedTuple):
    """A back-fill: the days from `since` to `until`, both included."""

    since: date
    until: date


WatchRow = Callable[[Any, dict[str, Any], Record | Rejected | None], None]
"""Is told a section's columns, a row's cells by name, and what became of it; None where it had no value."""


@dataclass(frozen=True)
class Context:
    """What the agent lends a collector: its source's name, zone, network, secrets and clock.

    `secret` returns what a reference stands for and raises PermanentError where there is nothing. `network`
    is for what speaks no HTTP: whom to trust, and how long to wait. `note` takes a sentence for the person
    who runs collect or preview: what was passed over, waits, or looks odd, and is not an error. `hide` takes
    a secret that was made on the way, such as an access token, so that it is shown and kept nowhere.
    `watch_row` is told what becomes of each row of a table, with the section's columns and the cells by name:
    preview looks on so; None where nobody does.
    """

    source: str
    timezone: ZoneInfo
    http: Http
    secret: Callable[[SecretRef], str]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    network: NetworkOptions = field(default_factory=lambda: NetworkOptions.model_validate({}))
    note: Callable[[str], None] = lambda _text: None
    hide: Callable[[str], None] = lambda _secret: None
    watch_row: WatchRow | None = None


class Collector(Protocol):
    """Reads one kind of system.

    `collect` yields pages lazily. `bookmarks` maps scope to the bookmark that was last stored ("" is the
    scope of a source that has one), and is empty at the first run; a page advances one scope. With a
    `window` it back-fills those days, with bookmarks of their own. A record that cannot be made goes to
    `Page.rejected` with its reason; what is wrong with the whole answer is a typed error.
    """

    Options: ClassVar[type[SourceOptions]]

    def __init__(self, options: SourceOptions, context: Context) -> None: ...

    def collect(self, bookmarks: Mapping[str, str], window: Window | None = None) -> Iterator[Page]:
        """Yield what is new since the bookmarks, page by page."""
        ...


@runtime_checkable
class Rereads(Protocol):
    """What a collector may offer besides: reading a rejected input again, once its section was fixed."""

    def reread(self, raw: str) -> Record | Rejected | None:
        """Return what an input is now, from the text that was kept of it; None where it says nothing."""
        ...
