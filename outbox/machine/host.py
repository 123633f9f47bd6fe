"""This machine's name and fingerprint: a database that wakes up on another host can tell."""

import hashlib
import platform
import sys
from pathlib import Path


def host_name() -> str:
    """Return the name by which people know this machine."""
    return platform.node() or "unknown"


def fingerprint() -> str:
    """Return 32 hex digits that differ between machines and survive a change of name."""
    return hashlib.sha256(f"snowflake-datapipe:{_machine_id()}".encode()).hexdigest()[:32]


def _machine_id() -> str:
    if sys.platform == "win32":  # pragma: no cover - Windows only
        import winreg  # noqa: PLC0415

        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SOFTWARE\Microsoft\Cryptography") as key:
            return str(winreg.QueryValueEx(key, "MachineGuid")[0])
    for path in (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id")):
        try:
            if text := path.read_text(encoding="ascii").strip():
                return text
        except (OSError, UnicodeDecodeError):
            continue
    return ""  # a container, perhaps: its name changes with every start
