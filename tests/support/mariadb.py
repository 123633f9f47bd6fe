"""A real MariaDB on loopback, as Debian installs its programs, with a folder and a port of its own."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

SERVER, INSTALL = "/usr/sbin/mariadbd", "/usr/bin/mariadb-install-db"
START_LIMIT_S = 60.0
STOP_LIMIT_S = 30.0
READER, READER_PASSWORD = "reader", "CANARY-19d2 pässword/%:@"


class MariaDb(NamedTuple):
    """Where it listens; the owner is root, without a password."""

    port: int

    def url(self, user: str = READER, database: str = "test") -> str:
        """Return the address that the option `url` takes."""
        return f"mariadb://{user}@127.0.0.1:{self.port}/{database}"


def reason_not_to_run() -> str | None:
    """Return why MariaDB cannot run here, or None when it can."""
    if sys.platform != "linux" or not (Path(SERVER).exists() and Path(INSTALL).exists()):
        return "MariaDB is not installed (apt-get install mariadb-server)"
    return None if find_spec("pymysql") else "its driver is not installed (the extra mysql)"


@contextmanager
def serving() -> Iterator[MariaDb]:
    """Run MariaDB for the length of a `with` block."""
    folder = Path(tempfile.mkdtemp(prefix="mariadb-"))
    server = MariaDb(_free_port())
    user = ["--user=mysql"] if os.geteuid() == 0 else []
    if user:
        shutil.chown(folder, "mysql")
    process = None
    try:
        data = f"--datadir={folder / 'data'}"
        install = [
            INSTALL,
            "--no-defaults",
            data,
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ]
        subprocess.run([*install, *user], check=True, capture_output=True)
        options = [
            data,
            f"--socket={folder / 'socket'}",
            f"--pid-file={folder / 'pid'}",
            f"--port={server.port}",
        ]
        options += [
            "--bind-address=127.0.0.1",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-fast-shutdown=2",
        ]
        with (folder / "server.log").open("wb") as log:
            process = subprocess.Popen(
                [SERVER, "--no-defaults", *options, *user], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        _wait_until_listening(process, server.port, folder / "server.log")
        yield server
    finally:
        if process:
            process.terminate()
            process.wait(STOP_LIMIT_S)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_listening(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    end = time.monotonic() + START_LIMIT_S
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                if connection.recv(1):
                    return
        except OSError:
            pass
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(log.read_text(errors="replace")[-2_000:])
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
