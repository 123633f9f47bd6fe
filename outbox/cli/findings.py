"""What check finds, a line each, and how a person sees it."""

import shutil
import sys
import textwrap
from collections.abc import Callable
from typing import NamedTuple

import typer

from outbox.errors import Exit, OutboxError

_NAME_AT, _TEXT_AT = 9, 23


class Finding(NamedTuple):
    """One line of the report; `code` is OK for what is right and for warnings."""

    state: str
    name: str
    text: str
    code: Exit = Exit.OK


def found(name: str, look: Callable[[], str]) -> Finding:
    """Look; return what was found, be it the error that says what is wrong."""
    try:
        return Finding("ok", name, look())
    except OutboxError as error:
        return failed(name, error)


def failed(name: str, error: OutboxError) -> Finding:
    """Return the finding that an error is."""
    return Finding("FAILED", name, str(error), error.exit_code)


def show(finding: Finding) -> None:
    """Write a finding to stdout, on a terminal in lines that fit."""
    first, *rest = finding.text.splitlines()
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    head = f"{finding.state:{_NAME_AT - 1}} {finding.name:{_TEXT_AT - _NAME_AT - 1}} {first}".rstrip()
    for line in [*_lines(head, _TEXT_AT, width), *(f"{'':{_NAME_AT}}{line}" for line in rest)]:
        for part in _lines(line, _NAME_AT, width):
            typer.echo(part)


def _lines(text: str, indent: int, width: int | None) -> list[str]:
    if width is None or len(text) <= width:
        return [text]
    return textwrap.wrap(
        text, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
