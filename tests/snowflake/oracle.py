"""What the views must answer, worked out from the lines in plain Python: no SQL, and nothing of the queries."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from outbox.object_name import ObjectName
from tests.snowflake.stand_in import Object

Line = dict[str, Any]


class Came(NamedTuple):
    """A line that came, with the name of its object."""

    name: ObjectName
    line: Line


def came(objects: Iterable[Object]) -> Iterator[Came]:
    """The lines that are what their object's name says."""
    for found in objects:
        name = ObjectName.parse(found.key)
        if name is None:
            continue
        for text in found.ndjson.splitlines():
            line = json.loads(text)
            whose = (line["customer_id"], line["site"], line["agent_id"])
            within = name.first_sequence <= line["sequence"] <= name.last_sequence
            if whose == (name.customer, name.site, name.agent_id) and within:
                yield Came(name, line)


def revisions(objects: Iterable[Object]) -> dict[tuple[str, str, str], list[Line]]:
    """Every record's revisions, each once, the latest last."""
    found: dict[tuple[str, str, str], dict[str, Line]] = defaultdict(dict)
    for _, line in came(objects):
        if "lost" not in line:
            key = (line["customer_id"], line["site"], line["record_id"])
            found[key][json.dumps(line, sort_keys=True)] = line
    return {
        key: sorted(
            lines.values(), key=lambda each: (each["agent_since"], each["sequence"], each["collected_at"])
        )
        for key, lines in found.items()
    }


def records(objects: Iterable[Object]) -> dict[tuple[str, str, str], Line]:
    """The latest revision of each record that is not deleted."""
    latest = {key: lines[-1] for key, lines in revisions(objects).items()}
    return {key: line for key, line in latest.items() if not line.get("deleted")}


def observations(objects: Iterable[Object]) -> dict[tuple[str, str, str, str], tuple[Any, str | None]]:
    """Value and unit of each datapoint of each record, by the latest revision since a deletion that has it."""
    found: dict[tuple[str, str, str, str], tuple[Any, str | None]] = {}
    for key, lines in revisions(objects).items():
        standing: dict[str, tuple[Any, str | None]] = {}
        for line in lines:
            if line.get("deleted"):
                standing = {}
            for name, value in line.get("values", {}).items():
                standing[name] = (value, line.get("units", {}).get(name))
        found |= {(*key, name): value for name, value in standing.items()}
    return found


class Complete(NamedTuple):
    """What `completeness` must say of an agent."""

    complete_to: int
    gaps: int
    missing: int
    overlaps: int
    forks: int
    lost: int


def completeness(objects: list[Object]) -> dict[str, Complete]:
    """Each agent's sequences, one by one, as far as its objects' names reach."""
    names: dict[str, set[ObjectName]] = defaultdict(set)
    for found in objects:
        name = ObjectName.parse(found.key)
        if name and found.ndjson:  # an empty object brings nothing, not even its name
            names[name.agent_id].add(name)
    versions: dict[tuple[str, int], set[str]] = defaultdict(set)
    held: dict[ObjectName, set[int]] = defaultdict(set)
    lost: set[tuple[str, int]] = set()
    for name, line in came(objects):
        held[name].add(line["sequence"])
        place = (name.agent_id, line["sequence"])
        if "lost" in line:
            lost.add(place)
        else:
            versions[place].add(json.dumps(line, sort_keys=True))
    return {agent: _complete(agent, its, held, versions, lost) for agent, its in names.items()}


def _complete(
    agent: str,
    names: set[ObjectName],
    held: dict[ObjectName, set[int]],
    versions: dict[tuple[str, int], set[str]],
    lost: set[tuple[str, int]],
) -> Complete:
    covered: set[int] = set()
    for name in names:
        range_ = set(range(name.first_sequence, name.last_sequence + 1))
        if held[name] == range_:
            covered |= range_
    begins, reach = min(name.begins for name in names), max(name.last_sequence for name in names)
    missing = [n for n in range(begins, reach + 1) if n not in covered]
    gaps = sum(1 for n in missing if n - 1 not in missing)
    seen: set[int] = set()
    overlaps = 0
    for name in sorted(names, key=lambda each: (each.first_sequence, each.last_sequence)):
        range_ = set(range(name.first_sequence, name.last_sequence + 1))
        overlaps += bool(range_ & seen)
        seen |= range_
    return Complete(
        complete_to=missing[0] - 1 if missing else reach,
        gaps=gaps,
        missing=len(missing),
        overlaps=overlaps,
        forks=sum(1 for place, texts in versions.items() if place[0] == agent and len(texts) > 1),
        lost=sum(1 for place in lost if place[0] == agent and place not in versions),
    )
