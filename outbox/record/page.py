"""A page as the outbox takes it: every record once, and what cannot be stored, with its reason. No I/O.

Invariant: nothing of a page is lost without a word: each record is an entry, a repetition of one, or
rejected, and a rejected one can be shown, whatever it is.
"""

import json
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from outbox.errors import RecordError, shorten
from outbox.record import MAX_RAW_BYTES, Entry, Normaliser, Page, Record, Rejected
from outbox.record.canonical import MAX_DEPTH, canonical, encode, rfc3339, utc


class Normalised(NamedTuple):
    """A page's entries in order, each identity once, and everything of it that was refused.

    `contradictory` are the records among the refused that share an identity and differ, by identity.
    """

    entries: list[Entry]
    rejected: list[Rejected]
    repeated: int
    contradictory: list[list[Record]]


def normalise_page(page: Page, *, customer: str, site: str, source: str) -> Normalised:
    """Normalise every record of a page; what cannot be stored is among the rejected, with its reason.

    Records that share an identity and differ in content are no revisions of each other: nobody can say
    which is true, so all of them are rejected. An exact repetition counts once.
    """
    normaliser = Normaliser(customer, site, source)
    rejected = list(page.rejected)
    entries: dict[bytes, Entry] = {}
    again: set[bytes] = set()
    for record in page.records:
        try:
            entry = normaliser(record)
        except RecordError as error:
            rejected.append(Rejected(error.message, raw(record)))
            continue
        if entries.setdefault(entry.record_id, entry) is not entry:
            again.add(entry.record_id)
    contradictory = _contradictions(page.records, normaliser, again) if again else {}
    for record_id, claims in contradictory.items():
        del entries[record_id]
        reason = _ambiguity(claims)
        rejected.extend(Rejected(reason, raw(record)) for record in claims)
    repeated = len(page.records) + len(page.rejected) - len(rejected) - len(entries)
    return Normalised(list(entries.values()), rejected, repeated, list(contradictory.values()))


def _contradictions(
    records: list[Record], normaliser: Normaliser, again: set[bytes]
) -> dict[bytes, list[Record]]:
    """Return the records of each identity that came again with other content."""
    claims: dict[bytes, list[Record]] = {}
    contents: dict[bytes, set[bytes]] = {}
    for record in records:
        try:
            entry = normaliser(record)
        except RecordError:
            continue  # rejected already
        if entry.record_id in again:
            claims.setdefault(entry.record_id, []).append(record)
            contents.setdefault(entry.record_id, set()).add(entry.content_hash)
    return {record_id: found for record_id, found in claims.items() if len(contents[record_id]) > 1}


def _ambiguity(records: list[Record]) -> str:
    first = records[0]
    differing = [
        prefix + key
        for field, prefix in (("values", ""), ("units", "unit of "), ("attributes", "attribute "))
        for key in _differing([getattr(record, field) for record in records])
    ]
    what = ", ".join(differing[:5]) or "deleted"
    return shorten(
        f"ambiguous identity: {len(records)} records of stream {first.stream!r}, entity {first.entity!r}, "
        f"{rfc3339(utc(first.observed_at))} differ in {what}",
        500,
    )


def _differing(objects: list[dict[str, Any]]) -> list[str]:
    """Return the keys whose contents differ, as they would be written; a missing one differs from null."""
    return [
        key
        for key in sorted(set().union(*objects))
        if len({encode(canonical(each[key])) if key in each else b"" for each in objects}) > 1
    ]


def raw(record: Record) -> str:
    """Return what can be shown of a record that cannot be stored, as ASCII JSON, cut at 64 KiB."""
    return json.dumps(_presentable(msgspec.structs.asdict(record)))[:MAX_RAW_BYTES]


def _presentable(value: Any, depth: int = 0) -> Any:
    """Return a value as JSON can show it, whatever it is; nothing of what was read shall be lost for it."""
    match value:
        case None | bool() | str():
            return value
        case int() | float() if type(value) is float or (type(value) is int and value.bit_length() < 1_000):
            return value
        case dict() | list() | tuple() if depth > MAX_DEPTH:
            return "..."
        case dict():
            return {
                key if isinstance(key, str) else f"<{_repr(key)}>": _presentable(item, depth + 1)
                for key, item in dict.items(value)
            }
        case list() | tuple():
            items = list.__iter__(value) if isinstance(value, list) else tuple.__iter__(value)
            return [_presentable(item, depth + 1) for item in items]
    return _repr(value, str if isinstance(value, (Decimal, datetime)) else repr)


def _repr(value: object, how: Callable[[object], str] = repr) -> str:
    try:
        return how(value)
    except Exception as error:  # noqa: BLE001 - a stranger's code
        return f"a value of type {type(value).__name__}, which cannot be shown: {type(error).__name__}"
