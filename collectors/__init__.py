"""How to read one kind of system, a folder for each kind, and the loop that collects.

What a package with a collector of its own needs is imported from here: `from collectors import Collector,
Context, Page, Record`. Names are loaded when they are first asked for, so that nothing costs start-up time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collectors.collector import Collector, Context, Rereads, SourceOptions, Window
    from collectors.http.client import Answer, Http, check_status
    from outbox.config.options import Duration, Flag, Lines, Names, SecretRef, Size, Zone
    from outbox.errors import (
        ConfigError,
        DataError,
        LoginRefusedError,
        OutboxError,
        PermanentError,
        TransientError,
    )
    from outbox.record import Page, Record, Rejected

__all__ = [
    "Answer",
    "Collector",
    "ConfigError",
    "Context",
    "DataError",
    "Duration",
    "Flag",
    "Http",
    "Lines",
    "LoginRefusedError",
    "Names",
    "OutboxError",
    "Page",
    "PermanentError",
    "Record",
    "Rejected",
    "Rereads",
    "SecretRef",
    "Size",
    "SourceOptions",
    "TransientError",
    "Window",
    "Zone",
    "check_status",
]

_HOMES = (
    "collectors.collector",
    "collectors.http.client",
    "outbox.config.options",
    "outbox.errors",
    "outbox.record",
)


def __getattr__(name: str) -> Any:
    if name in __all__:
        for home in _HOMES:
            if hasattr(module := import_module(home), name):
                return getattr(module, name)
    raise AttributeError(f"module 'collectors' has no attribute {name!r}")
