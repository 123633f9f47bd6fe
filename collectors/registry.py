"""The kinds of source that are installed: found by the entry-point group `outbox.collectors`."""

import re
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, entry_points
from typing import NamedTuple

from collectors.collector import Collector
from outbox.errors import PermanentError

GROUP = "outbox.collectors"
_NAME = re.compile(r"[A-Za-z0-9._-]+")


class Kind(NamedTuple):
    """A kind as people see it: what it reads, whose it is, and what it lacks (None: nothing)."""

    name: str
    reads: str
    package: str
    version: str
    problem: str | None
    can_start: bool = True


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
            f"the collector {kind} cannot start: {error}",
            hint=_install(point) or "install what it needs, often an extra",
        ) from error
    return found


def described() -> list[Kind]:
    """Return every kind that is installed, also those that cannot start."""
    return [_describe(point) for point in kinds().values()]


def _describe(point: EntryPoint) -> Kind:
    package, version = (point.dist.name, point.dist.version) if point.dist else ("unknown", "")
    try:
        collector = load(point.name)
    except PermanentError as error:
        return Kind(point.name, "", package, version, f"{error.message}; {error.hint}", can_start=False)
    reads = (collector.__doc__ or "").strip().partition("\n")[0]
    return Kind(point.name, reads, package, version, _install(point))


def _install(point: EntryPoint) -> str | None:
    """What to install, where the package has an extra of the kind's name and not all of it is there."""
    requirements = (point.dist.requires if point.dist else None) or []
    of_extra = re.compile(rf"extra\s*==\s*['\"]{re.escape(point.name)}['\"]")
    needed = [found[0] for text in requirements if of_extra.search(text) and (found := _NAME.match(text))]
    if point.dist is None or all(map(_is_installed, needed)):
        return None
    return f'pip install "{point.dist.name}[{point.name}]"'


def _is_installed(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True
