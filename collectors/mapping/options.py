"""How a section says which column is what: the options that all tables share, and their little language.

    our_name: Their column [unit] (text) * 0.001

Only the column is needed. A name that holds a comma, a colon, a bracket or an asterisk stands in quotes.
"""

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal, NamedTuple, Self

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from collectors.collector import SourceOptions
from collectors.mapping.cells import seen
from collectors.mapping.times import Finer, RepeatedHour, checked_form
from outbox.config.options import Names

Kind = Literal["", "number", "text", "json"]
MAX_COLUMNS = 1_000
MAX_NAME_CHARS = 200
_ITEMS = re.compile(r'(?:"[^"\n]*"|\[[^\]\n]*\]|[^,\n])+')
_UNIT = re.compile(r"(.*?)\s*\[([^\[\]]*)\]", re.DOTALL)
_KIND = re.compile(r"(.*?)\s*\((number|text|json)\)", re.DOTALL)
_FACTOR = re.compile(r"(.*?)\s*\*\s*([^\s*\"\[\]()]+)", re.DOTALL)
_NAMED = re.compile(r'\s*([^":\[\]]+?)\s*:\s*(.+)', re.DOTALL)


class Column(NamedTuple):
    """A column under our name; `kind` is empty where nothing was said, `factor` None likewise."""

    name: str
    column: str
    unit: str = ""
    kind: Kind = ""
    factor: Decimal | None = None


def tidy(name: str) -> str:
    """Return a column's name as it is compared: as it is seen, with one space between words."""
    return " ".join(seen(name).split())


def split_items(text: str) -> list[str]:
    """Return the parts between commas and line ends; a comma in quotes or brackets parts nothing."""
    return [item.strip() for item in _ITEMS.findall(text) if item.strip()]


def parse_column(item: str) -> Column:
    """Return what one part says; ValueError says what is wrong with it."""
    rest, unit, kind, factor = item.strip(), "", "", None
    while True:  # the suffixes come in any order
        if not unit and (match := _UNIT.fullmatch(rest)):
            rest, unit = match[1], match[2].strip()
        elif not kind and (match := _KIND.fullmatch(rest)):
            rest, kind = match[1], match[2]
        elif factor is None and (match := _FACTOR.fullmatch(rest)):
            rest, factor = match[1], _factor(match[2], item)
        else:
            break
    named = _NAMED.fullmatch(rest)
    column = plain(named[2] if named else rest)
    name = named[1] if named else column
    if not column or not name or len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise ValueError(f"{item[:60]} names no column: write our_name: Their column [unit]")
    if factor is not None and kind in ("text", "json"):
        raise ValueError(f"{item[:60]} multiplies what is not a number")
    return Column(name, column, unit, kind, factor)  # type: ignore[arg-type] # the pattern knows no other kind


def plain(text: str) -> str:
    """Return a column's name without its quotes, tidied."""
    text = text.strip()
    return tidy(text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text)


def checked_path(text: str) -> str:
    """Return a JMESPath expression; ValueError says what is wrong with it. An empty text is none."""
    try:
        if text:
            jmespath.compile(text)
    except JMESPathError as error:
        raise ValueError(f"is not a JMESPath expression: {str(error).splitlines()[0]}") from error
    return text


def _factor(text: str, item: str) -> Decimal:
    try:
        factor = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{item[:60]} has no factor: write * 0.001, with a point") from error
    if not factor.is_finite() or not factor or abs(factor.adjusted()) > 30:
        raise ValueError(f"{item[:60]} has a factor that cannot be meant")
    return factor


def _checked_columns(items: tuple[str, ...]) -> tuple[str, ...]:
    columns = [parse_column(item) for item in items]
    names = [column.name for column in columns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{twice[0]} is named twice")
    if len(columns) > MAX_COLUMNS:
        raise ValueError(f"names {len(columns):,} columns; the limit is {MAX_COLUMNS:,}")
    return items


def _checked_names(items: tuple[str, ...]) -> tuple[str, ...]:
    if len({plain(item) for item in items} - {""}) < len(items):
        raise ValueError("names a column twice, or none")
    return items


def _one_at_least(items: tuple[str, ...]) -> tuple[str, ...]:
    if not items:
        raise ValueError("names no column: a record has a time and a value")
    return items


def _split(value: object) -> object:
    return split_items(value) if isinstance(value, str) else value


Items = Annotated[tuple[str, ...], BeforeValidator(_split), PlainSerializer(", ".join)]
ColumnList = Annotated[Items, AfterValidator(_checked_columns)]
ColumnNames = Annotated[Items, AfterValidator(_checked_names)]


class MappingOptions(SourceOptions):
    """The options of every source that reads tables."""

    stream: str = Field("", description="What kind of records these are; empty: the kind's own word.")
    entity: ColumnNames = Field(
        (), description="Columns that together name one thing; empty: the source is one thing."
    )
    time: Annotated[ColumnNames, AfterValidator(_one_at_least)] = Field(
        description="Column of when it was true, or several that hold its parts."
    )
    time_format: Annotated[str, AfterValidator(checked_form)] = Field(
        "iso", description="iso, unix, unix_ms, unix_us, unix_ns, or a pattern like %d.%m.%Y %H:%M."
    )
    repeated_hour: RepeatedHour = Field(
        "reject",
        description="Which of two hours is meant when clocks go back; in_order: as the rows before say.",
    )
    finer_times: Finer = Field("reject", description="What becomes of times finer than a microsecond.")
    values: Annotated[ColumnList, AfterValidator(_one_at_least)] = Field(
        description="our_name: Their column [unit], a number; (text), (json) keep such; * 0.001 multiplies."
    )
    attributes: ColumnList = Field((), description="Columns kept as context, likewise; text unless (number).")
    decimal: Literal[".", ","] = Field(".", description="What parts the decimals of numbers in text.")
    thousands: Literal["", ".", ",", "'", "space"] = Field(
        "", description="What parts the thousands: . , ' or space; empty: nothing may."
    )
    empty: Names = Field((), description="Texts that mean no value, such as n/a, NULL.")

    @model_validator(mode="after")
    def _two_separators(self) -> Self:
        if self.thousands == self.decimal:
            raise ValueError("thousands and decimal are the same sign")
        return self
