"""Certificates for servers on loopback: an authority of our own, and what it signs."""

import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import trustme

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


class KeyPair(NamedTuple):
    """A server's certificate and its key, as the files that servers read."""

    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """Return what a server shows to its clients."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


class Authority:
    """Signs certificates; who trusts `bundle`, a PEM file, trusts them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._ca = trustme.CA()
        self.bundle = folder / "authority.pem"
        self._ca.cert_pem.write_to_path(str(self.bundle))

    def issue(self, *hosts: str, expired: bool = False) -> KeyPair:
        """Return a certificate for `hosts` (names or addresses), and its key."""
        leaf = self._ca.issue_cert(*hosts, not_after=LONG_AGO) if expired else self._ca.issue_cert(*hosts)
        pair = KeyPair(self._folder / "server.pem", self._folder / "server.key")
        for blob in leaf.cert_chain_pems:
            blob.write_to_path(str(pair.certificate), append=blob is not leaf.cert_chain_pems[0])
        leaf.private_key_pem.write_to_path(str(pair.key))
        return pair
