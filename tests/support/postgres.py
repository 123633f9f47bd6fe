"""A real PostgreSQL on loopback, as Debian installs its programs, with a folder and a port of its own.

PostgreSQL refuses to run as root: tests that do start it as the user `postgres` that Debian makes.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = Path("/usr/lib/postgresql")
START_LIMIT_S = 60.0
STOP_LIMIT_S = 30.0
OWNER, PASSWORD = "owner", "CANARY-4be1-owner"
READER, READER_PASSWORD = "reader", "CANARY-77aa pässword/%:@"


def reason_not_to_run() -> str | None:
    """Return why PostgreSQL cannot run here, or None when it can."""
    if sys.platform != "linux" or not list(PROGRAMS.glob("*/bin/initdb")):
        return "PostgreSQL is not installed (apt-get install postgresql)"
    if os.geteuid() == 0:
        import pwd

        try:
            pwd.getpwnam("postgres")
        except KeyError:
            return "PostgreSQL refuses root, and there is no user postgres"
    return None


@dataclass
class Postgres:
    """A cluster with one owner and one reader; `port` is its alone."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def url(self, user: str = READER, database: str = "postgres") -> str:
        """Return the address that the option `url` takes."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it, and return when it answers."""
        options = ["-h", "127.0.0.1", "-p", str(self.port), "-k", "", "-F"]
        options += ["-c", "max_connections=20", "-c", "shared_buffers=16MB", "-c", "fsync=off"]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [_program("postgres"), "-D", str(self.folder / "data"), *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, **_as_postgres(),
            )  # fmt: skip
        end = time.monotonic() + START_LIMIT_S
        while subprocess.run(
            [_program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False
        ).returncode:
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError((self.folder / "server.log").read_text(errors="replace")[-2_000:])
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it at once: whoever is connected is cut off."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(STOP_LIMIT_S)
        self.process = None


@contextmanager
def serving() -> Iterator[Postgres]:
    """Run PostgreSQL for the length of a `with` block."""
    # The user must be able to enter every folder above; pytest's own are closed to it.
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    server = Postgres(folder, _free_port())
    try:
        user = _as_postgres()
        if user:
            shutil.chown(folder, "postgres")
        word = folder / "password"
        word.write_text(PASSWORD, encoding="utf-8")
        word.chmod(0o644)
        initdb = [_program("initdb"), "-D", str(folder / "data"), "-U", OWNER, "--pwfile", str(word)]
        initdb += ["-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(initdb, check=True, capture_output=True, **user)
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _program(name: str) -> str:
    return str(max(PROGRAMS.glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3])))


def _as_postgres() -> dict[str, object]:
    return (
        {"user": "postgres", "group": "postgres", "extra_groups": [], "cwd": "/"} if os.geteuid() == 0 else {}
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
