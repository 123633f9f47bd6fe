"""The SQL for Snowflake, filled in: the script that sets it up, in parts, and recipes for single occasions.

Invariants:
- A placeholder `<% name %>` is filled with a value that was checked first, by the one rule of its name; what
  is no plain name, address or number stands inside quotation marks, escaped as Snowflake reads them.
- The script is the numbered files of migrations/snowflake, in order. Recipes are never part of it.
"""

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

PLACEHOLDER = re.compile(r"<% (\w+) %>")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_WORD = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_NUMBER = re.compile(r"\d{1,18}")


class Rule(NamedTuple):
    """What a placeholder's value must look like, and how to say so; `quoted` values may be any text."""

    pattern: re.Pattern[str]
    what: str
    quoted: bool = False


RULES: Mapping[str, Rule] = {
    "database": Rule(_IDENTIFIER, "a name: letters, digits and _, at most 63"),
    "schema": Rule(_IDENTIFIER, "a name: letters, digits and _, at most 63"),
    "warehouse": Rule(_IDENTIFIER, "a name: letters, digits and _, at most 63"),
    "time_travel_days": Rule(
        re.compile(r"[1-9]|[1-8][0-9]|90"), "a number of days, 1 to 90: dynamic tables need some"
    ),
    "lag_s": Rule(re.compile(r"[6-9]\d|[1-9]\d{2,4}"), "a number of seconds, 60 to 99,999"),
    "to": Rule(
        re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._-]+)*"),
        "s3://bucket or s3://bucket/prefix",
    ),
    "role_arn": Rule(
        re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+"), "arn:aws:iam::ACCOUNT:role/NAME"
    ),
    "mail": Rule(re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+"), "one mail address"),
    "customer": Rule(_WORD, "a customer's name: a-z, 0-9, - and _, at most 63"),
    "site": Rule(_WORD, "a site's name: a-z, 0-9, - and _, at most 63"),
    "agent_id": Rule(
        re.compile(r"[0-9a-f]{16}-\d{12}"), "an agent's id: 16 hexadecimal digits, -, 12 digits"
    ),
    "entity": Rule(
        re.compile(r".{1,1000}", re.DOTALL), "an entity's name, at most 1,000 characters", quoted=True
    ),
    "first_sequence": Rule(_NUMBER, "a number"),
    "last_sequence": Rule(_NUMBER, "a number"),
    "day": Rule(re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"), "a day, as 2026-11-23"),
    "file": Rule(re.compile(r"customer=[\w./=-]+"), "the key of an object, from customer= on"),
}
OPTIONAL = frozenset({"entity"})
"""What may be left out; it stands in the SQL as NULL then."""


class Part(NamedTuple):
    """A file of SQL: its name, its text with placeholders, and whether it is one of the script's."""

    name: str
    text: str
    in_script: bool

    @property
    def about(self) -> str:
        """What it makes, as its first line says."""
        return self.text.split("\n", 1)[0].partition(": ")[2]

    @property
    def wanted(self) -> tuple[str, ...]:
        """The placeholders to fill, each once, in order."""
        return tuple(dict.fromkeys(PLACEHOLDER.findall(self.text)))


def parts() -> dict[str, Part]:
    """Return every part by name: those of the script in order, then the recipes."""
    folder = files("migrations") / "snowflake"
    script = [Part(name[5:], text, in_script=True) for name, text in _files(folder)]
    recipes = [Part(name, text, in_script=False) for name, text in _files(folder / "recipes")]
    return {part.name: part for part in [*script, *recipes]}


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return the text with every placeholder filled; ValueError says which value is not as it must be."""
    return PLACEHOLDER.sub(lambda match: checked(match[1], values.get(match[1])), text)


def checked(name: str, value: str | None) -> str:
    """Return a value as it may stand in SQL, NULL for None; ValueError says what it must look like."""
    rule = RULES[name]
    if value is None and name in OPTIONAL:
        return "NULL"
    if value is None:
        raise ValueError(f"{name} is missing: {rule.what}")
    if not rule.pattern.fullmatch(value) or "\0" in value:
        raise ValueError(f"{value!r} is not {rule.what}")
    return _literal(value) if rule.quoted else value


def _literal(value: str) -> str:
    """Text as Snowflake reads it between single quotation marks: a backslash escapes there, too."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _files(folder: Traversable) -> Iterator[tuple[str, str]]:
    """Yield name and text of the SQL files of a folder, by name."""
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".sql"):
            yield file.name.removesuffix(".sql"), file.read_text("utf-8")
