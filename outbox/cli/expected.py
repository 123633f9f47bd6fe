"""How often each source is expected to run, and the state of the agent by that.

Read from the configuration's text, since no collector need be loaded for it.
"""

from contextlib import suppress
from datetime import UTC, datetime

from outbox.cli.app import now
from outbox.config.file import OWN_SOURCE, SOURCE, Config
from outbox.config.options import parse_duration_s, parse_fresh_s
from outbox.database import Database
from outbox.health import Expected, Health, examine
from outbox.health_source import HealthOptions

_DEFAULT_EVERY_S = 900.0


def expected_s(config: Config) -> dict[str, float]:
    """Return how often each source that is not switched off is expected to run, the agent's own last."""
    names = [*config.sources, OWN_SOURCE]
    return {name: _every_s(config, name) for name in names if is_enabled(config, name)}


def is_enabled(config: Config, source: str) -> bool:
    """Return whether a source is expected to run at all; one that was switched off is not overdue."""
    return (config.file.text(SOURCE + source, "enabled") or "yes").strip().lower() != "no"


def examined(config: Config, database: Database) -> Health:
    """Return the state of the agent."""
    configured_at = None
    with suppress(OSError, OverflowError, ValueError):
        configured_at = datetime.fromtimestamp(config.file.path.stat().st_mtime, UTC)
    every_s = expected_s(config)
    expected = Expected(
        every_s=every_s,
        upload_every_s=config.upload.every,
        fresh_s={name: fresh_s for name in every_s if (fresh_s := _fresh_s(config, name)) is not None},
        floor_bytes=config.agent.disk_floor,
        configured_at=configured_at,
    )
    return examine(database, expected, now=now)


def _fresh_s(config: Config, source: str) -> float | None:
    try:
        return parse_fresh_s(config.file.text(SOURCE + source, "fresh") or "")
    except ValueError:
        return None


def _every_s(config: Config, source: str) -> float:
    default = HealthOptions.model_fields["every"].default if source == OWN_SOURCE else _DEFAULT_EVERY_S
    try:
        return parse_duration_s(config.file.text(SOURCE + source, "every") or "")
    except ValueError:
        return float(default)
