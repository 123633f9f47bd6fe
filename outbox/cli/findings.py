"""What check finds, a line each, and how a person sees it."""

from collections.abc import Callable
from typing import NamedTuple

from outbox.cli.app import tell
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
    head = f"{finding.state:{_NAME_AT - 1}} {finding.name:{_TEXT_AT - _NAME_AT - 1}} {first}".rstrip()
    tell("\n".join([head, *(f"{'':{_NAME_AT}}{line}" for line in rest)]), hang=_TEXT_AT)
