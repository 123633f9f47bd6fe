"""A real IMAP server on loopback: Dovecot, as Debian installs it, in the clear, with STARTTLS and over TLS.

It has its own configuration and folder and never runs as root: tests that do start it as `nobody`. Every
user has PASSWORD, or shows a token made by `token`: Dovecot checks those itself (a JWT, and its key on disk).
"""

import base64
import contextlib
import hmac
import imaplib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from tests.support.certificates import KeyPair

PROGRAM = "/usr/sbin/dovecot"
START_LIMIT_S = 30.0
STOP_LIMIT_S = 10.0
PASSWORD = "mail-pässword-7f3a"
TOKEN_KEY = b"the key that signs tokens in tests"


class Dovecot(NamedTuple):
    """Where the server listens; `log` is what it wrote so far."""

    port: int
    tls_port: int
    log: Path

    @contextmanager
    def client(self, user: str) -> Iterator[imaplib.IMAP4]:
        """A plain connection of another mail program: to put messages there, and to look at their flags."""
        with imaplib.IMAP4("127.0.0.1", self.port, timeout=10) as client:
            client.authenticate("PLAIN", lambda _: f"\0{user}\0{PASSWORD}".encode())
            yield client

    def put(self, user: str, *messages: bytes, folder: str = "INBOX", at: datetime | None = None) -> None:
        """Append messages to a folder, received `at` (None: at a fixed moment, each time the same)."""
        moment = at or datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
        with self.client(user) as client:
            for message in messages:
                answer = client.append(f'"{folder}"', "", imaplib.Time2Internaldate(moment), message)
                assert answer[0] == "OK", answer

    def renew(self, user: str, folder: str) -> None:
        """Delete a folder and make it anew: the same name with another UIDVALIDITY."""
        with self.client(user) as client:
            client.delete(f'"{folder}"')
            assert client.create(f'"{folder}"')[0] == "OK"

    def flags(self, user: str, folder: str = "INBOX") -> list[bytes]:
        """Return what the server keeps of each message: its number, UID, flags and size."""
        with self.client(user) as client:
            client.select(f'"{folder}"', readonly=True)
            return [line for line in client.fetch("1:*", "(UID FLAGS RFC822.SIZE)")[1] if line]


def reason_not_to_run() -> str | None:
    """Return why Dovecot cannot run here, or None when it can."""
    if sys.platform != "linux" or not Path(PROGRAM).exists():
        return "Dovecot is not installed (apt-get install dovecot-imapd)"
    return None


def token(user: str, *, expires: int = 4_000_000_000) -> str:
    """Return an access token (a JWT) that lets `user` in until it expires."""
    head, body = (_base64url(json.dumps(part).encode()) for part in (_HEAD, {"sub": user, "exp": expires}))
    return f"{head}.{body}.{_base64url(hmac.digest(TOKEN_KEY, f'{head}.{body}'.encode(), 'sha256'))}"


@contextmanager
def serving(certificate: KeyPair) -> Iterator[Dovecot]:
    """Run Dovecot for the length of a `with` block."""
    # Sockets have short paths, and the user must be able to enter every folder above.
    folder = Path(tempfile.mkdtemp(prefix="dovecot-"))
    port, tls_port = _free_ports(2)
    server = Dovecot(port, tls_port, folder / "dovecot.log")
    try:
        user = _user()
        _configure(folder, server, certificate, user)
        command = [PROGRAM, "-F", "-c", folder / "dovecot.conf"]
        if os.getuid() == 0:
            process = subprocess.Popen(command, user=user.uid, group=user.gid, extra_groups=[])
        else:
            process = subprocess.Popen(command)
        try:
            _wait_until_ready(process, server)
            yield server
        finally:
            process.terminate()
            process.wait(timeout=STOP_LIMIT_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_HEAD = {"alg": "HS256", "typ": "JWT", "kid": "default"}


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class _User(NamedTuple):
    name: str
    group: str
    uid: int
    gid: int


def _user() -> _User:
    """Whom the server runs as: who runs the tests, and nobody instead of root."""
    import grp
    import pwd

    user = pwd.getpwuid(os.getuid()) if os.getuid() else pwd.getpwnam("nobody")
    return _User(user.pw_name, grp.getgrgid(user.pw_gid).gr_name, user.pw_uid, user.pw_gid)


def _configure(folder: Path, server: Dovecot, certificate: KeyPair, user: _User) -> None:
    """Write everything that the server reads."""
    shutil.copy(certificate.certificate, folder / "server.pem")
    shutil.copy(certificate.key, folder / "server.key")
    key = folder / "keys" / "default" / "HS256" / "default"
    key.parent.mkdir(parents=True)
    key.write_bytes(base64.b64encode(TOKEN_KEY))
    (folder / "oauth2.conf").write_text(
        "introspection_mode = local\nusername_attribute = sub\n"
        f"local_validation_key_dict = fs:posix:prefix={folder}/keys/\n"
    )
    (folder / "dovecot.conf").write_text(
        f"""
protocols = imap
listen = 127.0.0.1
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {server.log}
ssl = yes
ssl_cert = <{folder}/server.pem
ssl_key = <{folder}/server.key
disable_plaintext_auth = no
auth_mechanisms = plain login xoauth2 oauthbearer
auth_failure_delay = 0
auth_verbose = yes
default_internal_user = {user.name}
default_internal_group = {user.group}
default_login_user = {user.name}
first_valid_uid = 0
mail_location = maildir:{folder}/users/%u
mail_max_userip_connections = 100
mail_fsync = never
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {folder}/oauth2.conf
}}
passdb {{
  driver = static
  mechanisms = plain login
  args = password={PASSWORD}
}}
userdb {{
  driver = static
  args = uid={user.uid} gid={user.gid} home={folder}/users/%u
}}
service imap {{
  process_limit = 100
  service_count = 1000
}}
service anvil {{
  chroot =
  # A refused login is answered at once, whatever came before.
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service imap-login {{
  chroot =
  service_count = 0
  inet_listener imap {{
    port = {server.port}
  }}
  inet_listener imaps {{
    port = {server.tls_port}
    ssl = yes
  }}
}}
""",
        encoding="utf-8",
    )
    if os.getuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user.uid, user.gid)


def _wait_until_ready(process: subprocess.Popen[bytes], server: Dovecot) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, imaplib.IMAP4.error), server.client("starting"):
            return
        time.sleep(0.05)
    log = server.log.read_text(errors="replace")[-2000:] if server.log.exists() else ""
    raise RuntimeError(f"Dovecot did not start:\n{log}")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports
