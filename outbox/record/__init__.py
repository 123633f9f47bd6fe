"""The record: what a fact is, what names it, and the one way it is written. No I/O.

`record` is the fact and its identity, `page` what the outbox takes at once, `canonical` how a value is
written.
"""

from outbox.record.record import (
    MAX_BODY_BYTES,
    MAX_LINE_BYTES,
    MAX_NAME_CHARS,
    MAX_PAGE_BYTES,
    MAX_PAGE_RECORDS,
    MAX_RAW_BYTES,
    Entry,
    Normaliser,
    Page,
    Record,
    Rejected,
    id_floor,
    normalise,
    observed_text,
    timestamp,
    uuid_text,
)

__all__ = [
    "MAX_BODY_BYTES",
    "MAX_LINE_BYTES",
    "MAX_NAME_CHARS",
    "MAX_PAGE_BYTES",
    "MAX_PAGE_RECORDS",
    "MAX_RAW_BYTES",
    "Entry",
    "Normaliser",
    "Page",
    "Record",
    "Rejected",
    "id_floor",
    "normalise",
    "observed_text",
    "timestamp",
    "uuid_text",
]
