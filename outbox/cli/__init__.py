"""The command line: it wires everything, and nothing imports it.

Heavy imports stand inside the commands that need them: an upload with nothing to do, and `status`, load
neither boto3 nor httpx. stdout is data, stderr is talk.
"""

import logging
import sys
from importlib import import_module
from io import TextIOWrapper

from outbox.cli.app import app, say
from outbox.errors import Exit, OutboxError
from outbox.machine.private import closed_to_others

__all__ = ["app", "main"]

COMMANDS = (
    "collect",
    "upload",
    "status",
    "check",
    "demo",
    "init",
    "secret",
    "sources",
    "preview",
    "options",
    "rejected",
    "audit",
    "resend",
    "agent",
    "sql",
    "vacuum",
    "aws",
    "snowflake",
)
"""A file of `commands` each, in the order of help; each registers itself as it is imported."""
for _name in COMMANDS:
    import_module(f"outbox.cli.commands.{_name}")


def _log_end(code: Exit, why: str) -> None:
    """Let the log say with which error a command ended, without the traceback, which is for bugs."""
    logging.getLogger("outbox").error("ended with %d: %s", code, why)


def main() -> None:
    """Run the command line; the process ends with one of the codes of `outbox.errors.Exit`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # Files are UTF-8 whatever Windows speaks; a console may know no °: better a ? than a crash.
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="replace")
    logging.getLogger("outbox").addHandler(
        logging.NullHandler()
    )  # before there is a log, no traceback either
    try:
        with closed_to_others():
            app()
    except OutboxError as error:
        _log_end(error.exit_code, str(error))
        say(f"outbox: {error}")
        sys.exit(int(error.exit_code))
    except KeyboardInterrupt:
        _log_end(Exit.INTERRUPTED, "stopped by Ctrl-C")
        sys.exit(int(Exit.INTERRUPTED))
    except Exception as error:
        logging.getLogger("outbox").exception("this is a bug")
        say(f"outbox: a bug: {type(error).__name__}: {error}")
        sys.exit(int(Exit.BUG))
