"""The record: what a fact is, what names it, and the one way it is written. No I/O.

Invariants:
- The same fact gives the same bytes, whatever the order of its keys, its time zone or the type that
  carried a number: 1, 1.0, Decimal("1.00") and 1E0 are one content.
- `record_id` depends on customer, site, source, stream, entity and time alone, and sorts by time.
- What cannot be written exactly is refused with a reason (`RecordError`), never bent.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from outbox.errors import RecordError
from outbox.record.canonical import canonical, encode, shown, utc

MAX_LINE_BYTES = 1_000_000
MAX_ENVELOPE_BYTES = 1_024
MAX_BODY_BYTES = MAX_LINE_BYTES - MAX_ENVELOPE_BYTES
MAX_NAME_CHARS = 1_000
MAX_RAW_BYTES = 64 * 1024
MAX_PAGE_RECORDS = 10_000
MAX_PAGE_BYTES = 16 * 1024 * 1024

_VERSION_AND_VARIANT = 8 << 76 | 2 << 62
_HASH_BITS = 2**80 - 1 & ~(15 << 76 | 3 << 62)
_YEAR_1 = datetime(1, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
MAX_MILLISECONDS = 2**48 - 1  # since the year 1: in the year 8920


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One normalised fact: what was true of `entity` at `observed_at`.

    `values` maps a datapoint to a scalar, or to JSON for documents; `units` a datapoint to its unit;
    `attributes` is context, `origin` says where exactly it was read and is no part of the content.
    `deleted=True`, with no values, says that the fact was withdrawn.
    """

    stream: str
    entity: str
    observed_at: datetime
    values: dict[str, Any]
    units: dict[str, str] = {}
    attributes: dict[str, Any] = {}
    origin: dict[str, Any] = {}
    deleted: bool = False


class Rejected(msgspec.Struct, frozen=True):
    """An input that is no record: why, and the input itself (at most 64 KiB are kept)."""

    reason: str
    raw: str

    @property
    def digest(self) -> str:
        """What names the input among those of its source: 32 hex digits of its SHA-256."""
        return hashlib.sha256(self.raw.encode(errors="backslashreplace")).hexdigest()[:32]


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Records, and the bookmark that is true once they are stored: the atom of collection.

    `bookmark` is opaque text; `scope` names which of the source's bookmarks it is (one file, one mailbox
    folder), or is empty where the source has one. At most 10,000 records or 16 MiB. `resolves` names inputs
    that were rejected and have been read by now, by `Rejected.digest`. `outdated` is the reason for which a
    record is rejected that would revise one that is stored; empty where it may.
    """

    records: list[Record]
    bookmark: str
    scope: str = ""
    rejected: list[Rejected] = []
    resolves: tuple[str, ...] = ()
    outdated: str = ""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A record as the outbox keeps it: identity and content (16 bytes each) and canonical JSON.

    `content_hash` is a SHA-256, cut, of the members `attributes`, `deleted`, `units` and `values` of the
    body, as they are written there.
    """

    record_id: bytes
    content_hash: bytes
    body: bytes


class _Shared(NamedTuple):
    """What records of one stream, entity and context share, ready to be put around the rest of the body."""

    identity: bytes
    head: bytes
    middle: bytes
    tail: bytes
    content: bytes


def normalise(record: Record, *, customer: str, site: str, source: str) -> Entry:
    """Return the record's identity, content hash and canonical JSON; RecordError says why it has none."""
    return Normaliser(customer, site, source)(record)


class Normaliser:
    """Writes the records of one page of one source; what they share is checked and written once.

    The page must be kept as long as this is used: shared objects are recognised by their identity.
    """

    def __init__(self, customer: str, site: str, source: str) -> None:
        self._place = encode((customer, site, source))[:-1]
        self._source = encode(source)
        self._shared: dict[tuple[str, str, bool, int, int, int], _Shared] = {}
        self._objects: dict[int, bytes] = {}
        self._checked_units: dict[int, bytes] = {}

    def __call__(self, record: Record) -> Entry:
        """Return the record's identity, content hash and canonical JSON; RecordError says why it has none."""
        try:
            return self._write(record)
        except UnicodeEncodeError as error:
            raise RecordError(f"text that is not Unicode: {ascii(error.object)[:60]}") from error
        except TypeError as error:  # the encoder's word for a key that is not a text
            raise RecordError(f"cannot be written as JSON: {error}") from error

    def _write(self, record: Record) -> Entry:
        values = record.values
        if type(values) is not dict or record.deleted is not False or not values:
            _require_values(record)
        observed_at = utc(record.observed_at)
        moment = encode(observed_at)
        stream, entity = record.stream, record.entity
        if type(stream) is not str or type(entity) is not str:
            stream, entity = _plain_name("stream", stream), _plain_name("entity", entity)
        key = (stream, entity, record.deleted, id(record.attributes), id(record.units), id(record.origin))
        identity, head, middle, tail, content = self._shared.get(key) or self._share(key, record)
        record_id = _record_id(observed_at, b"%b%b]" % (identity, moment))
        written = encode(canonical(values)) if values else b""
        body = b"%b%b%b%b%b%b}" % (head, moment, middle, uuid_text(record_id).encode(), tail, written)
        if len(body) > MAX_BODY_BYTES:
            raise RecordError(f"{len(body):,} bytes of JSON; the limit is {MAX_BODY_BYTES:,}")
        return Entry(record_id, hashlib.sha256(content + written).digest()[:16], body)

    def _share(self, key: tuple[str, str, bool, int, int, int], record: Record) -> _Shared:
        stream = encode(_checked_name("stream", key[0]))
        entity = encode(_checked_name("entity", key[1]))
        attributes = self._object("attributes", record.attributes)
        origin = self._object("origin", record.origin)
        units = self._units(record.units)
        before = b'"attributes":%b,' % attributes if attributes else b""
        if record.deleted:
            before += b'"deleted":true,'
        after = b',"units":%b' % units if units else b""
        if record.values:
            after += b',"values":'
        shared = self._shared[key] = _Shared(
            identity=b"%b,%b,%b," % (self._place, stream, entity),
            head=b'{%b"entity":%b,"observed_at":' % (before, entity),
            middle=b',%b"record_id":"' % (b'"origin":%b,' % origin if origin else b""),
            tail=b'","source":%b,"stream":%b%b' % (self._source, stream, after),
            content=before + after,
        )
        return shared

    def _object(self, field: str, value: dict[str, Any]) -> bytes:
        encoded = self._objects.get(id(value))
        if encoded is None:
            _require_object(field, value)
            encoded = self._objects[id(value)] = encode(canonical(value)) if value else b""
        return encoded

    def _units(self, units: dict[str, str]) -> bytes:
        if id(units) not in self._checked_units:
            _require_object("units", units)
            for name, unit in dict.items(units):
                if not isinstance(unit, str):
                    raise RecordError(f"the unit of {shown(name)} is not a text: {shown(unit)}")
            self._checked_units[id(units)] = self._object("units", units)
        return self._checked_units[id(units)]


def timestamp(moment: datetime) -> str:
    """Return an aware time as UTC text of fixed width, in milliseconds, which sorts as the times do."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def uuid_text(record_id: bytes) -> str:
    """Return 16 bytes in the usual spelling of a UUID."""
    digits = record_id.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def observed_text(record_id: bytes) -> str:
    """Return when a record was observed, to the millisecond, as its id tells: text that sorts as times do."""
    return timestamp(_YEAR_1 + timedelta(milliseconds=int.from_bytes(record_id[:6], "big")))


def id_floor(observed_text: str) -> bytes:
    """Return the first six bytes of the lowest `record_id` that was observed then or later."""
    moment = datetime.fromisoformat(observed_text)
    return min((moment - _YEAR_1) // _MILLISECOND, MAX_MILLISECONDS).to_bytes(6, "big")


def _record_id(observed_at: datetime, identity: bytes) -> bytes:
    """A UUIDv8 (RFC 9562 §5.8): 48 bits of milliseconds since 0001-01-01Z, clamped, then 74 of SHA-256.

    The time leads so that the index grows at its end: a random key falls to an eighth of its speed at
    ten million rows. It gives order only; the exact time is in the hash.
    """
    since = observed_at - _YEAR_1
    milliseconds = (since.days * 86_400 + since.seconds) * 1_000 + since.microseconds // 1_000
    milliseconds = min(milliseconds, MAX_MILLISECONDS)
    tail = int.from_bytes(hashlib.sha256(identity).digest()[:10], "big") & _HASH_BITS
    return (milliseconds << 80 | _VERSION_AND_VARIANT | tail).to_bytes(16, "big")


def _require_values(record: Record) -> None:
    _require_object("values", record.values)
    if not isinstance(record.deleted, bool):
        raise RecordError(f"deleted is neither true nor false: {shown(record.deleted)}")
    if bool(record.values) is record.deleted:
        raise RecordError("deleted, yet it has values" if record.deleted else "no values")


def _require_object(field: str, value: object) -> None:
    if not isinstance(value, dict):
        raise RecordError(f"{field} has no names: it is {shown(value)}")


def _plain_name(field: str, value: object) -> str:
    if isinstance(value, str):
        return str.__str__(value)
    raise RecordError(f"{field} is empty" if value is None else f"{field} is not a text: {shown(value)}")


def _checked_name(field: str, value: str) -> str:
    if not value.strip():
        raise RecordError(f"{field} is empty")
    if len(value) > MAX_NAME_CHARS:
        raise RecordError(f"{field} has {len(value):,} characters; the limit is {MAX_NAME_CHARS:,}")
    return value
