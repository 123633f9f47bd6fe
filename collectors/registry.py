"""The kinds of source that are installed: found by the entry-point group `outbox.collectors`."""

from importlib.metadata import EntryPoint, entry_points

from collectors.collector import Collector
from outbox.errors import PermanentError

GROUP = "outbox.collectors"


def kinds() -> dict[str, EntryPoint]:
    """Return what is installed, by the name that `collector =` takes."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def load(kind: str) -> type[Collector] | None:
    """Return the collector of a kind, None where none is installed; PermanentError when it cannot start."""
    point = kinds().get(kind)
    if point is None:
        return None
    try:
        found: type[Collector] = point.load()
    except (ImportError, AttributeError) as error:
        raise PermanentError(
            f"the collector {kind} cannot start: {error}", hint="install what it needs, often an extra"
        ) from error
    return found
