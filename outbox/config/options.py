"""How people write options: durations, sizes, lists, zones and references to secrets, as pydantic types.

A section of the configuration is a model that inherits `Options`; unknown names are errors, and every
field has a description, which `outbox options` prints.
"""

import os
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, model_validator

from outbox.errors import OTHER_ACCOUNT, PermanentError

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_BYTES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
MAX_SECRET_CHARS = 64 * 1024
MAX_DURATION_S = 100 * 365 * 86_400
MAX_BYTES = 10**15


class Options(BaseModel):
    """One section of the configuration; frozen, and unknown names are errors."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, str_strip_whitespace=True, arbitrary_types_allowed=True
    )

    @model_validator(mode="before")
    @classmethod
    def _leave_out_the_empty(cls, data: Any) -> Any:
        """Take an option that is there and says nothing for one that is not, where None is its default."""
        if not isinstance(data, dict):
            return data
        fields = cls.model_fields
        unsaid = {name for name in data if name in fields and fields[name].default is None}
        return {name: value for name, value in data.items() if value != "" or name not in unsaid}


def parse_duration_s(text: str) -> float:
    """Return seconds for `90s`, `15m`, `2h`, `7d` or `1w`; ValueError says how to write one."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", text.strip())
    if not match:
        raise ValueError("is no duration: write 90s, 15m, 2h, 7d or 1w")
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds > MAX_DURATION_S:
        raise ValueError("is longer than 100 years")
    return seconds


def parse_fresh_s(text: str) -> float:
    """Return seconds for a duration, 0.0 for `off`; ValueError says how to write one."""
    return 0.0 if text.strip().lower() in ("off", "0") else parse_duration_s(text)


def format_duration(seconds: float) -> str:
    """Return the duration in the largest unit that leaves a whole number."""
    for unit in "wdhm":
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"


def parse_bytes(text: str) -> int:
    """Return bytes for `500kB`, `64MB` or `2GB` (powers of ten); ValueError says how to write one."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKMGT]?B?)", text.strip())
    if not match or match[2].upper() not in _BYTES:
        raise ValueError("is no size: write 500kB, 64MB or 2GB")
    count = Decimal(match[1]) * _BYTES[match[2].upper()]
    if count > MAX_BYTES:
        raise ValueError("is more than 1000TB")
    return int(count)


def format_bytes(count: int) -> str:
    """Return the size in the largest unit that leaves a whole number."""
    for unit in ("TB", "GB", "MB", "KB"):
        if count and count % _BYTES[unit] == 0:
            return f"{count // _BYTES[unit]}{unit.replace('K', 'k')}"
    return f"{count}B"


def _names(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"[,\n]", text) if part.strip()]


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _flag(text: str) -> bool:
    if text.strip().lower() not in ("yes", "no"):
        raise ValueError("is neither yes nor no")
    return text.strip().lower() == "yes"


def _zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text.strip())
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("is not a time zone: write one like Europe/Helsinki or UTC") from error


class SecretRef:
    """Where a secret is: `env:NAME`, or `file:PATH` (relative to the agent's folder). Never the secret."""

    def __init__(self, text: str) -> None:
        kind, _, name = text.partition(":")
        if kind not in ("env", "file") or not name:
            raise ValueError(
                "is no reference to a secret: write file:PATH or env:NAME, never the secret itself"
            )
        self.kind, self.name = kind, name

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretRef) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def path(self, folder: Path) -> Path:
        """Return the file that a `file:` reference names."""
        return folder / self.name

    def read(self, folder: Path, environ: Mapping[str, str] = os.environ) -> str:
        """Return the secret, stripped; PermanentError when it is missing, empty, too long or unreadable."""
        hint = f"set it with: outbox secret set {Path(self.name).name}"
        if self.kind == "env":
            hint = f"set the variable {self.name} for the account that runs outbox"
            if self.name not in environ:
                raise PermanentError(f"the secret {self} does not exist yet", hint=hint)
            text = environ[self.name]
        else:
            try:
                with self.path(folder).open(encoding="utf-8-sig") as file:
                    text = file.read(MAX_SECRET_CHARS + 1)
            except FileNotFoundError as error:
                raise PermanentError(f"the secret {self} does not exist yet", hint=hint) from error
            except PermissionError as error:
                raise PermanentError(
                    f"this account may not read the secret {self}", hint=OTHER_ACCOUNT
                ) from error
            except (OSError, UnicodeDecodeError) as error:
                raise PermanentError(
                    f"the secret {self} cannot be read: {type(error).__name__}", hint=hint
                ) from error
        if not text.strip():
            raise PermanentError(f"the secret {self} is empty", hint=hint)
        if len(text) > MAX_SECRET_CHARS:
            raise PermanentError(
                f"the secret {self} has more than {MAX_SECRET_CHARS:,} characters", hint=hint
            )
        return text.strip()


def _text(parse: Callable[[str], object]) -> BeforeValidator:
    """Parse what the file says; what the program itself passes is of its kind already."""
    return BeforeValidator(lambda value: parse(value) if isinstance(value, str) else value)


Duration = Annotated[float, _text(parse_duration_s), PlainSerializer(format_duration)]
Fresh = Annotated[float, _text(parse_fresh_s), PlainSerializer(lambda s: format_duration(s) if s else "off")]
Size = Annotated[int, _text(parse_bytes), PlainSerializer(format_bytes)]
Flag = Annotated[bool, _text(_flag), PlainSerializer(lambda on: "yes" if on else "no")]
Names = Annotated[tuple[str, ...], _text(_names), PlainSerializer(", ".join)]
Lines = Annotated[tuple[str, ...], _text(_lines), PlainSerializer("\n".join)]
Zone = Annotated[ZoneInfo, _text(_zone), PlainSerializer(str)]
Reference = Annotated[SecretRef, _text(SecretRef), PlainSerializer(str)]
