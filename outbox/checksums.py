"""Checksums: what SQLite would hand out altered is noticed before anybody relies on it.

Invariant: they cover everything of a record that goes into its line, the whole row of an agent and of a
bookmark, and what a back-fill asks for. They guard against disks, not against people.
"""

from zlib import crc32


def record_checksum(sequence: int, collected_at: bytes, body: bytes) -> int:
    """Return the CRC-32 of what a line is made of, so that a text beside the wrong row is found too."""
    return crc32(body, crc32(collected_at, sequence & 0xFFFF_FFFF))


def row_checksum(*columns: object) -> int:
    """Return the CRC-32 of a row's other columns, in the order of its table."""
    return crc32("\n".join(map(str, columns)).encode())
