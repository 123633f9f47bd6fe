"""Which addresses a source may connect to: public ones, and those that its configuration names.

What is checked is the address that a connection was really made to, before a byte goes through it: what a
name stood for a moment earlier does not matter (DNS rebinding). Through a proxy it is the proxy that looks
names up; then only an address that stands in the URL itself can be checked.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import urlsplit

from outbox.machine.network import is_address

Network = IPv4Network | IPv6Network

_LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_TRANSLATED = ip_network("64:ff9b::/96")


class Reach(NamedTuple):
    """The networks that may be reached besides the public ones."""

    networks: tuple[Network, ...] = ()

    @classmethod
    def named(cls, networks: Iterable[str], urls: Iterable[str]) -> "Reach":
        """Return what a configuration names: these networks, and the addresses that stand in these URLs."""
        found = [ip_network(network, strict=False) for network in networks]
        for url in urls:
            host = urlsplit(url).hostname or ""
            if is_address(host):
                found.append(ip_network(host))
            elif host == "localhost":
                found.extend(_LOOPBACK)
        return cls(tuple(found))

    def permits(self, address: str) -> bool:
        """Return whether an address may be reached; an IPv4 address inside an IPv6 one counts as itself."""
        written = ip_address(address.partition("%")[0])
        found = _plain(written)
        public = found.is_global and not found.is_multicast
        return public or any(found in network or written in network for network in self.networks)


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv4Address):
        return address
    if address in _TRANSLATED:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or address
