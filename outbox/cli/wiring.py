"""From the configuration to the sources that it describes, with their network and secrets."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from collectors.collect import Source
from collectors.collector import Collector, Context, SourceOptions, Window
from collectors.http import Http
from collectors.registry import kinds, load
from outbox.cli.app import now
from outbox.config import SOURCE, Config, ConfigFile
from outbox.errors import ConfigError, OutboxError
from outbox.record import Page
from outbox.retry import Retry


class Unusable:
    """A source that cannot begin: it fails when it is collected, with its reason, and stops no other."""

    def __init__(self, error: OutboxError) -> None:
        self.error = error

    def collect(
        self,
        bookmarks: Mapping[str, str],  # noqa: ARG002
        window: Window | None = None,  # noqa: ARG002
    ) -> Iterator[Page]:
        """Raise what is wrong with the source."""
        raise self.error


class Configured(NamedTuple):
    """A source as configured: its collector's class and its options, or else what is wrong with it."""

    name: str
    collector: type[Collector] | None
    options: SourceOptions | None
    error: OutboxError | None


def configured_sources(file: ConfigFile) -> list[Configured]:
    """Return every source of the file; the mistakes in their sections are noted in it, too."""
    return [_configured(file, name) for name in file.sources]


@contextmanager
def open_sources(config: Config, wanted: Sequence[str]) -> Iterator[list[Source]]:
    """Yield the wanted sources, or all that are enabled; ConfigError for unknown names."""
    if unknown := [name for name in wanted if name not in config.sources]:
        known = ", ".join(config.sources) or "none"
        raise ConfigError(
            [f"there is no source {name!r} in {config.file.path}" for name in unknown], hint=f"known: {known}"
        )
    chosen = [
        source
        for source in configured_sources(config.file)
        if source.name in wanted or (not wanted and (source.options is None or source.options.enabled))
    ]
    with Http(retry=Retry(limit_s=config.agent.run_limit), network=config.network) as http:
        yield [_open(config, source, http) for source in chosen]


def _open(config: Config, source: Configured, http: Http) -> Source:
    if source.collector is None or source.options is None:
        return Source(source.name, Unusable(source.error or ConfigError([f"{source.name} cannot be used"])))
    context = Context(
        source=source.name,
        timezone=source.options.timezone or config.agent.timezone,
        http=http,
        secret=lambda reference: reference.read(config.folder),
        now=now,
    )
    try:
        return Source(source.name, source.collector(source.options, context))
    except OutboxError as error:
        return Source(source.name, Unusable(error))


def _configured(file: ConfigFile, name: str) -> Configured:
    section = SOURCE + name
    kind = file.text(section, "collector")
    try:
        collector = load(kind) if kind else None
    except OutboxError as error:
        return Configured(name, None, None, error)
    if collector is None:
        known = ", ".join(kinds()) or "none is installed"
        file.problem(section, "collector", f"{kind!r} is unknown; known: {known}" if kind else "is missing")
        return Configured(name, None, None, file.mistakes_in(section))
    options = file.section(section, collector.Options)
    return Configured(name, collector, options, file.mistakes_in(section))
