"""A real S3 server on loopback: OpenStack Swift with its S3 API, as pip installs it.

Needs Linux and a file system with user attributes (`reason_not_to_run` says so). Swift keeps every promise
that this project asks of S3: If-None-Match, signatures, checksums. It knows no server-side encryption.
"""

import os
import pwd
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

from tests.support.certificates import KeyPair

STORAGE = ("account", "container", "object")
START_LIMIT_S = 60.0
KEY_ID, SECRET = "outbox:outboxkey", "outboxsecret"


class Swift(NamedTuple):
    """Where the server listens, and who may write."""

    url: str
    tls_url: str
    key_id: str = KEY_ID
    secret: str = SECRET


def reason_not_to_run(folder: Path) -> str | None:
    """Return why Swift cannot run with its data in `folder`, or None when it can."""
    if sys.platform != "linux" or find_spec("swift") is None:
        return "Swift runs on Linux only"
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        try:
            os.setxattr(file.name, "user.outbox", b"1")
        except OSError:
            return f"Swift needs a file system with user attributes, and {folder} has none"
    return None


@contextmanager
def serving(folder: Path, certificate: KeyPair) -> Iterator[Swift]:
    """Run Swift for the length of a `with` block: one store, reached in the clear and over TLS."""
    names = (*STORAGE, "proxy", "tls-proxy", "memcache")
    ports = dict(zip(names, _free_ports(len(names)), strict=True))
    _configure(folder, ports, certificate)
    processes = {name: _start(folder, name) for name in names if name != "memcache"}
    try:
        for name, process in processes.items():
            _wait_until_listening(process, ports[name], folder / f"{name}.log")
        yield Swift(f"http://127.0.0.1:{ports['proxy']}", f"https://127.0.0.1:{ports['tls-proxy']}")
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.wait(timeout=10)


def _configure(folder: Path, ports: dict[str, int], certificate: KeyPair) -> None:
    from swift.common.ring import RingBuilder

    (folder / "node" / "disk").mkdir(parents=True)
    (folder / "swift.conf").write_text(
        "[swift-hash]\nswift_hash_path_prefix = a\nswift_hash_path_suffix = b\n"
        "[storage-policy:0]\nname = default\ndefault = yes\n"
    )
    user = pwd.getpwuid(os.getuid()).pw_name
    common = f"[DEFAULT]\nuser = {user}\nswift_dir = {folder}\nworkers = 0\nbind_ip = 127.0.0.1\n"
    common += "log_udp_host = 127.0.0.1\nlog_udp_port = 9\n"  # where nobody listens: no syslog is needed
    for name in STORAGE:
        (folder / f"{name}.conf").write_text(
            f"{common}bind_port = {ports[name]}\ndevices = {folder / 'node'}\n"
            "mount_check = false\ndisable_fallocate = true\n"
            f"[pipeline:main]\npipeline = {name}-server\n[app:{name}-server]\nuse = egg:swift#{name}\n"
        )
        device = {"id": 0, "region": 1, "zone": 1, "device": "disk", "weight": 1.0, "meta": ""}
        device |= {"ip": "127.0.0.1", "port": ports[name]}
        device |= {"replication_ip": "127.0.0.1", "replication_port": ports[name]}
        ring = RingBuilder(part_power=2, replicas=1, min_part_hours=0)
        ring.add_dev(device)
        ring.rebalance()
        ring.get_ring().save(str(folder / f"{name}.ring.gz"))
    account = "user_" + KEY_ID.replace(":", "_")
    tls = f"cert_file = {certificate.certificate}\nkey_file = {certificate.key}\n"
    for name, extra in (("proxy", ""), ("tls-proxy", tls)):
        (folder / f"{name}.conf").write_text(
            f"{common}{extra}bind_port = {ports[name]}\n"
            "[pipeline:main]\npipeline = catch_errors cache s3api tempauth slo dlo proxy-server\n"
            "[app:proxy-server]\nuse = egg:swift#proxy\nallow_account_management = true\n"
            "account_autocreate = true\n"
            "[filter:catch_errors]\nuse = egg:swift#catch_errors\n"
            # Nobody listens there either: without a cache Swift only asks itself more often.
            f"[filter:cache]\nuse = egg:swift#memcache\nmemcache_servers = 127.0.0.1:{ports['memcache']}\n"
            "[filter:s3api]\nuse = egg:swift#s3api\nlocation = us-east-1\n"
            f"[filter:tempauth]\nuse = egg:swift#tempauth\n{account} = {SECRET} .admin\n"
            "[filter:slo]\nuse = egg:swift#slo\n[filter:dlo]\nuse = egg:swift#dlo\n"
        )


def _start(folder: Path, name: str) -> subprocess.Popen[bytes]:
    program = Path(sys.executable).parent / f"swift-{name.removeprefix('tls-')}-server"
    environ = {**os.environ, "PYTHONWARNINGS": "ignore"}
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen([program, folder / f"{name}.conf"], stdout=log, stderr=log, env=environ)


def _wait_until_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"{log.stem} did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports
