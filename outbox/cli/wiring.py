"""From the configuration to the sources that it describes, with their network and secrets."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

from collectors.collect import Notes, Source
from collectors.collector import Collector, Context, SourceOptions, WatchRow, Window
from collectors.http.client import Http
from collectors.registry import kinds, load
from outbox.cli.app import now
from outbox.cli.expected import examined, expected_s
from outbox.cli.login import login_of
from outbox.cli.screened import Lent, screened, screened_context
from outbox.config.file import OWN_SOURCE, SOURCE, Config, ConfigFile
from outbox.database import Database
from outbox.errors import ConfigError, OutboxError
from outbox.health_source import HealthOptions, HealthSource, UploadKey
from outbox.record import Page
from outbox.redaction import login_secrets
from outbox.retry import Retry

log = logging.getLogger("collectors.notes")


class Unusable:
    """A source that cannot begin: it fails when it is collected, with its reason, and stops no other."""

    def __init__(self, error: OutboxError | None) -> None:
        self.error = error or ConfigError(["cannot be used"])

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
    file.section(SOURCE + OWN_SOURCE, HealthOptions)
    return [_configured(file, name) for name in file.sources]


def own_source(config: Config, database: Database, *, named: bool) -> Source | None:
    """Return the source that is the agent itself; None where it is switched off and was not named.

    It belongs to every collect, whatever sources that one names: its silence is the alarm.
    """
    options = config.file.section(SOURCE + OWN_SOURCE, HealthOptions)
    if not options:
        return Source(OWN_SOURCE, Unusable(config.file.mistakes_in(SOURCE + OWN_SOURCE)))
    if not options.enabled and not named:
        return None
    return Source(
        OWN_SOURCE,
        HealthSource(
            database,
            every_s=0.0 if named else options.every,
            expected_s=expected_s(config),
            examine=lambda: examined(config, database),
            upload_key=lambda: _upload_key(config),
            now=now,
        ),
    )


def _upload_key(config: Config) -> UploadKey:
    from uploader.s3.credentials import read_credentials

    reference = config.upload.credentials
    letters = age_s = None
    with suppress(OutboxError):
        found = read_credentials(reference, folder=config.folder)
        letters = found.shown[-4:] if found else None
    if reference.startswith("file:"):
        with suppress(OSError):
            age_s = now().timestamp() - (config.folder / reference.removeprefix("file:")).stat().st_mtime
    return UploadKey(letters, age_s)


@contextmanager
def open_sources(
    config: Config, wanted: Sequence[str], *, retry: Retry | None = None, watch_row: WatchRow | None = None
) -> Iterator[list[Source]]:
    """Yield the wanted sources, or all that are enabled; ConfigError for unknown names.

    `retry` is for those that speak HTTP; None: as collect does, up to `[agent] run_limit`. `watch_row`
    is told of each row: see `Context`.
    """
    if unknown := [name for name in wanted if name not in (*config.sources, OWN_SOURCE)]:
        known = ", ".join((*config.sources, OWN_SOURCE))
        raise ConfigError(
            [f"there is no source {name!r} in {config.file.path}" for name in unknown], hint=f"known: {known}"
        )
    chosen = [
        source
        for source in configured_sources(config.file)
        if source.name in wanted or (not wanted and (source.options is None or source.options.enabled))
    ]
    with Http(retry=retry or Retry(limit_s=config.agent.run_limit), network=config.network) as http:
        yield [_open(config, source, http, watch_row) for source in chosen]


def _open(config: Config, source: Configured, http: Http, watch_row: WatchRow | None) -> Source:
    if source.error or source.collector is None or source.options is None:
        return Source(source.name, Unusable(source.error))
    notes = Notes()

    def note(text: str) -> None:
        log.info("%s: %s", source.name, text)
        notes(text)

    context = Context(
        source=source.name,
        timezone=source.options.timezone or config.agent.timezone,
        http=http,
        secret=lambda reference: reference.read(config.folder),
        now=now,
        network=config.network,
        note=note,
        watch_row=watch_row,
    )
    options = source.options
    lent = Lent(login_secrets(config.network.proxy))
    try:
        collector = screened(source.collector(options, screened_context(context, lent)), lent)
        return Source(source.name, collector, lambda: login_of(config, source.name, options), notes.take)
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
