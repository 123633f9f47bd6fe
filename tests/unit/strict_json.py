"""A JSON parser of our own, stricter than RFC 8259 asks: written against the grammar, not against the encoder."""

import re
from decimal import Decimal
from typing import Any, NoReturn

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u([0-9a-fA-F]{4}))')
_PLAIN = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS = {"true": True, "false": False, "null": None}


def strict(text: str | bytes) -> Any:
    """Return the value; ValueError for anything but one value, sorted unique keys, and no space anywhere."""
    text = text if isinstance(text, str) else text.decode()
    value, end = _value(text, 0)
    if end != len(text):
        _refuse(text, end)
    return value


def _value(text: str, at: int) -> tuple[Any, int]:
    if text[at : at + 1] == "{":
        return _object(text, at + 1)
    if text[at : at + 1] == "[":
        return _array(text, at + 1)
    if text[at : at + 1] == '"':
        return _string(text, at + 1)
    for word, value in _WORDS.items():
        if text.startswith(word, at):
            return value, at + len(word)
    match = _NUMBER.match(text, at) or _refuse(text, at)
    return Decimal(match[0]), match.end()


def _object(text: str, at: int) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    while text[at : at + 1] != "}":
        if found:
            at = _expect(text, at, ",")
        key, at = _string(text, _expect(text, at, '"'))
        if found and key.encode() <= list(found)[-1].encode():
            raise ValueError(f"key {key!r} is given twice or out of order")
        at = _expect(text, at, ":")
        found[key], at = _value(text, at)
    return found, at + 1


def _array(text: str, at: int) -> tuple[list[Any], int]:
    found: list[Any] = []
    while text[at : at + 1] != "]":
        if found:
            at = _expect(text, at, ",")
        value, at = _value(text, at)
        found.append(value)
    return found, at + 1


def _string(text: str, at: int) -> tuple[str, int]:
    parts: list[str] = []
    while (letter := text[at : at + 1]) != '"':
        if letter == "\\":
            match = _ESCAPE.match(text, at) or _refuse(text, at)
            parts.append(chr(int(match[1], 16)) if match[1] else _PLAIN[match[0][1]])
            at = match.end()
        elif letter < " " or "\ud800" <= letter <= "\udfff":
            _refuse(text, at)
        else:
            parts.append(letter)
            at += 1
    return "".join(parts), at + 1


def _expect(text: str, at: int, letter: str) -> int:
    if text[at : at + 1] != letter:
        _refuse(text, at)
    return at + 1


def _refuse(text: str, at: int) -> NoReturn:
    raise ValueError(f"no JSON at character {at}: {text[at : at + 20]!r}")
