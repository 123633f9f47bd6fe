"""The options that describe a table's format, shared by every source that reads files."""

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
        raise ValueError("is not a valid delimiter: write a single ASCII character, or tab")
    return text


def _checked_encoding(name: str) -> str:
    try:
        found = codecs.lookup(name)
        "1".encode(name)
    except (LookupError, UnicodeError, ValueError) as error:
        raise ValueError("is not a known encoding: write e.g. utf-8, cp1252 or utf-16") from error
    return "utf-8" if found.name in ("utf-8", "utf-8-sig") else found.name


class TableOptions(MappingOptions):
    """The options of every source that reads CSV, JSON or workbooks."""

    format: Literal["auto", "csv", "json", "ndjson", "xlsx"] = Field(
        "auto", description="File format; auto: by the file's extension, ignoring .gz and .zst."
    )
    encoding: Annotated[str, AfterValidator(_checked_encoding)] = Field(
        "utf-8", description="Text encoding, e.g. cp1252; a UTF-16 or UTF-32 byte-order mark overrides it."
    )
    delimiter: Annotated[str, AfterValidator(_checked_delimiter)] = Field(
        "", description="CSV: cell delimiter, a character or tab; empty: a comma, or a tab in .tsv files."
    )
    quote: Literal['"', "'", "none"] = Field('"', description="CSV: quote character; none: quotes are text.")
    escape: Literal["none", "\\"] = Field(
        "none", description="CSV: escape character; \\ where a backslash escapes a quote within a cell."
    )
    header: Annotated[int, Field(ge=0, le=1_000)] = Field(
        1, description="CSV, workbook: line number of the header; 0: none, columns are named 1, 2, 3."
    )
    sheet: str = Field("", description="Workbook: name of the sheet; empty: the first visible one.")
    records: Annotated[str, AfterValidator(checked_path)] = Field(
        "", description="JSON: JMESPath of the list of objects within the document."
    )
    wide: ColumnNames = Field(
        (), description="Columns to turn into rows of @header and @value; *: all not named elsewhere."
    )

    @model_validator(mode="after")
    def _wide_has_a_value(self) -> Self:
        named = {parse_column(item).column for item in (*self.values, *self.attributes)} | set(self.entity)
        if self.wide and VALUE not in named:
            raise ValueError(f"wide requires {VALUE} among the values, e.g. temperature: {VALUE} [°C]")
        if not self.wide and named & {HEADER, VALUE}:
            raise ValueError(f"{HEADER} and {VALUE} exist in wide tables only: set wide, e.g. wide = *")
        return self
