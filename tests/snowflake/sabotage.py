"""What can go wrong between an agent's disk and the views, each as one deed done to a world that was right."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from outbox.object_name import ObjectName
from outbox.snowflake import fill, parts
from tests.snowflake.stand_in import LANDS_AFTER, VALUES, Object, Warehouse
from tests.snowflake.world import Sender, World

PLACES = ("Helsinki", "Jyväskylä")
DAYS = 3
Line = dict[str, Any]
EXPECT = "INSERT INTO expected VALUES ('{}', '{}', '{}', {}, {});"


@dataclass
class Scene:
    """A world after three days, what is expected in it, and the objects that will land, in that order."""

    world: World
    landing: list[tuple[Object, datetime]] = field(default_factory=list)
    expected: dict[tuple[str, str], str] = field(default_factory=dict)
    scripts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for customer, site in (("acme", "helsinki"), ("bolt", "tampere")):
            self.expect(customer, site)
        self.bring(self.world.objects)

    def expect(self, customer: str, site: str, retired_at: str = "NULL") -> None:
        """Have a site expected; it is silent after four times six hours."""
        self.expected[customer, site] = EXPECT.format(
            customer, site, f"{customer}@example.com", 21_600, retired_at
        )

    def bring(self, objects: list[Object]) -> None:
        """Let objects land as usual, half a minute after they were stored."""
        self.landing += [(each, each.stored_at + LANDS_AFTER) for each in objects]

    def acme(self) -> list[Object]:
        """The objects of the agent that is done wrong, by sequence."""
        return [each for each, _ in self.landing if "customer=acme/" in each.key]

    def drop(self, *gone: Object) -> None:
        """Let objects never land."""
        self.landing = [(each, at) for each, at in self.landing if each not in gone]

    def replace(self, old: Object, new: Object) -> None:
        """Let another object land in an object's place."""
        self.landing = [(new if each == old else each, at) for each, at in self.landing]

    def edit(self, which: int, change: Callable[[list[Line]], list[Line]]) -> Object:
        """Change the lines of acme's n-th object, under its name."""
        old = self.acme()[which]
        lines = change([json.loads(line) for line in old.ndjson.splitlines()])
        new = old._replace(ndjson=ndjson(lines))
        self.replace(old, new)
        return new

    @contextmanager
    def agent(self, number: int = 1) -> Iterator[Sender]:
        """Open acme's agent (1) or bolt's (2) again; what it uploads lands."""
        with self.world.opened(self.world.path(number)) as sender:
            yield sender

    def fill(self, warehouse: Warehouse) -> None:
        """Let everything land, and run the scripts of the deed."""
        warehouse.clear(self.world.clock())
        warehouse.land_all(self.landing)
        for statement in self.expected.values():
            warehouse.run(statement)
        warehouse.take()
        for script in self.scripts:
            warehouse.run(script)
            warehouse.refresh()


def ndjson(lines: list[Line]) -> bytes:
    """Lines as an object holds them."""
    return "".join(
        json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines
    ).encode()


def renamed(found: Object, **parts: Any) -> Object:
    """The same lines under another name."""
    name = ObjectName.parse(found.key)
    assert name is not None
    return found._replace(key=name._replace(**parts).key)


def recipe(name: str, **values: str) -> str:
    """A recipe's text, filled in."""
    return fill(parts()[name].text, VALUES | values)


@dataclass(frozen=True)
class Sabotage:
    """A deed, the query that finds it, what it must answer, and every kind of problem that it may raise."""

    name: str
    deed: Callable[[Scene], None]
    query: str
    finding: list[tuple[Any, ...]]
    problems: set[str] = frozenset()  # type: ignore[assignment]


SABOTAGES: list[Sabotage] = []


def sabotage(
    query: str, finding: list[tuple[Any, ...]], *problems: str
) -> Callable[[Callable[[Scene], None]], Callable[[Scene], None]]:
    """Register a deed under its function's name."""

    def register(deed: Callable[[Scene], None]) -> Callable[[Scene], None]:
        SABOTAGES.append(Sabotage(deed.__name__, deed, query, finding, set(problems)))
        return deed

    return register


COMPLETE = "SELECT {} FROM completeness WHERE customer = 'acme'"
