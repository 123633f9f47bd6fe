"""How a section says what its tables look like: the options of every source that reads files."""

import codecs
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from collectors.mapping.options import ColumnNames, MappingOptions, checked_path, parse_column

HEADER, VALUE = "@header", "@value"
DELIMITERS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";"}


def _checked_delimiter(text: str) -> str:
    if text in DELIMITERS:
        return text
    if len(text) > 1 or text in ('"', "'", "\n", "\r") or not text.isascii():
        raise ValueError("is no delimiter: write one sign, or tab")
    return text


def _checked_encoding(name: str) -> str:
    try:
        found = codecs.lookup(name)
        "1".encode(name)
    except (LookupError, UnicodeError, ValueError) as error:
        raise ValueError("is no encoding: write utf-8, cp1252, utf-16 …") from error
    return "utf-8" if found.name in ("utf-8", "utf-8-sig") else found.name


class TableOptions(MappingOptions):
    """The options of every source that reads CSV, JSON or workbooks."""

    format: Literal["auto", "csv", "json", "ndjson", "xlsx"] = Field(
        "auto", description="auto: what the file's ending says, before .gz or .zst."
    )
    encoding: Annotated[str, AfterValidator(_checked_encoding)] = Field(
        "utf-8", description="Of text, such as cp1252; a byte order mark says more."
    )
    delimiter: Annotated[str, AfterValidator(_checked_delimiter)] = Field(
        "", description="CSV: what parts the cells, a sign or tab; empty: a comma, and in .tsv a tab."
    )
    quote: Literal['"', "'", "none"] = Field('"', description="CSV: the sign around cells; none: it is text.")
    escape: Literal["none", "\\"] = Field(
        "none", description="CSV: \\ where a backslash takes the meaning from a quote in a cell."
    )
    header: Annotated[int, Field(ge=0, le=1_000)] = Field(
        1, description="CSV, workbook: the header's line; 0: none, columns are named 1, 2, 3."
    )
    sheet: str = Field("", description="Workbook: the sheet's name; empty: the first visible one.")
    records: Annotated[str, AfterValidator(checked_path)] = Field(
        "", description="JSON: where in the document the list of objects is, as JMESPath."
    )
    wide: ColumnNames = Field(
        (), description="Columns that become rows of @header and @value; *: all not named elsewhere."
    )

    @model_validator(mode="after")
    def _wide_has_a_value(self) -> Self:
        named = {parse_column(item).column for item in (*self.values, *self.attributes)} | set(self.entity)
        if self.wide and VALUE not in named:
            raise ValueError(f"wide needs {VALUE} among the values, as in temperature: {VALUE} [°C]")
        if not self.wide and named & {HEADER, VALUE}:
            raise ValueError(f"{HEADER} and {VALUE} are columns of wide tables: say which, or wide = *")
        return self
