"""The options that map columns to records, shared by every source of tables, and their notation:

    our_name: Their column [unit] (text) * 0.001

Only the column is required. A name with a comma, a colon, a bracket or an asterisk is put in double quotes.
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

ColumnType = Literal["", "number", "text", "json"]
MAX_COLUMNS = 1_000
MAX_NAME_CHARS = 200
_ITEMS = re.compile(r'(?:"[^"\n]*"|\[[^\]\n]*\]|[^,\n])+')
_UNIT = re.compile(r"(.*?)\s*\[([^\[\]]*)\]", re.DOTALL)
_KIND = re.compile(r"(.*?)\s*\((number|text|json)\)", re.DOTALL)
_FACTOR = re.compile(r"(.*?)\s*\*\s*([^\s*\"\[\]()]+)", re.DOTALL)
_NAMED = re.compile(r'\s*([^":\[\]]+?)\s*:\s*(.+)', re.DOTALL)


class Column(NamedTuple):
    """A column and the name that it gets; `kind` is "" and `factor` None where the section sets neither."""

    name: str
    column: str
    unit: str = ""
    kind: ColumnType = ""
    factor: Decimal | None = None


def tidy(name: str) -> str:
    """Return a column's name in the form in which names are compared: visible text, single spaces."""
    return " ".join(seen(name).split())


def split_items(text: str) -> list[str]:
    """Return the items of a list separated by commas or line breaks; quotes and brackets protect a comma."""
    return [item.strip() for item in _ITEMS.findall(text) if item.strip()]


def parse_column(item: str) -> Column:
    """Return the column that one item describes; ValueError says what is wrong with it."""
    rest, unit, kind, factor = item.strip(), "", "", None
    while True:  # the suffixes may come in any order
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
        raise ValueError(f"{item[:60]} does not name a column: write our_name: Their column [unit]")
    if factor is not None and kind in ("text", "json"):
        raise ValueError(f"{item[:60]} has a factor, and only a number can be multiplied")
    return Column(name, column, unit, kind, factor)  # type: ignore[arg-type] # the pattern admits these types alone


def plain(text: str) -> str:
    """Return a column's name without its quotes, tidied."""
    text = text.strip()
    return tidy(text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text)


def checked_path(text: str) -> str:
    """Return a JMESPath expression, or "" where none is given; ValueError says what is wrong with it."""
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
        raise ValueError(
            f"{item[:60]} has a factor that is not a number: write * 0.001, with a decimal point"
        ) from error
    if not factor.is_finite() or not factor or abs(factor.adjusted()) > 30:
        raise ValueError(f"{item[:60]} has a factor that is zero or out of range")
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
        raise ValueError("names a column twice, or has an empty name")
    return items


def _one_at_least(items: tuple[str, ...]) -> tuple[str, ...]:
    if not items:
        raise ValueError("must name a column: every record has a time and a value")
    return items


def _split(value: object) -> object:
    return split_items(value) if isinstance(value, str) else value


Items = Annotated[tuple[str, ...], BeforeValidator(_split), PlainSerializer(", ".join)]
ColumnList = Annotated[Items, AfterValidator(_checked_columns)]
ColumnNames = Annotated[Items, AfterValidator(_checked_names)]


class MappingOptions(SourceOptions):
    """The options of every source that reads tables."""

    stream: str = Field("", description="Stream of the records; empty: the default of this kind of source.")
    entity: ColumnNames = Field(
        (), description="Columns that together identify one thing; empty: the source is one thing."
    )
    time: Annotated[ColumnNames, AfterValidator(_one_at_least)] = Field(
        description="Column of the time of observation, or several (date, time of day)."
    )
    time_format: Annotated[str, AfterValidator(checked_form)] = Field(
        "iso", description="iso, unix, unix_ms, unix_us, unix_ns, or a pattern such as %d.%m.%Y %H:%M."
    )
    repeated_hour: RepeatedHour = Field(
        "reject",
        description="Which hour is meant when clocks go back; in_order: the earlier rows decide.",
    )
    finer_times: Finer = Field(
        "reject", description="Times finer than a microsecond: cut drops the extra digits."
    )
    values: Annotated[ColumnList, AfterValidator(_one_at_least)] = Field(
        description="our_name: Their column [unit]; a number unless (text) or (json); * 0.001 scales it."
    )
    attributes: ColumnList = Field(
        (), description="Columns kept as context, in the same notation; text unless (number)."
    )
    decimal: Literal[".", ","] = Field(".", description="Decimal separator of numbers in text.")
    thousands: Literal["", ".", ",", "'", "space"] = Field(
        "", description="Thousands separator: . , ' or space; empty: none is accepted."
    )
    empty: Names = Field((), description="Texts that mean a missing value, such as n/a, NULL.")

    @model_validator(mode="after")
    def _two_separators(self) -> Self:
        if self.thousands == self.decimal:
            raise ValueError("thousands and decimal must be different characters")
        return self
