"""The lines of one object held against its name: digest, range, agent, and the identity of each record."""

import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime

import msgspec

from outbox.audit.finding import Finding, span
from outbox.errors import DataError, RecordError
from outbox.object_name import ObjectName
from outbox.record import Record, normalise, uuid_text


class _Line(msgspec.Struct):
    agent_id: str
    customer_id: str
    site: str
    sequence: int
    lost: str = ""
    record_id: str = ""
    source: str = ""
    stream: str = ""
    entity: str = ""
    observed_at: datetime | None = None


def wrong_lines(
    name: ObjectName, read_lines: Callable[[str, str], bytes], sha256: bytes | None
) -> Iterator[Finding]:
    """Yield what is wrong with an object's content; `sha256` is its seal, None where only its name tells."""
    try:
        lines = read_lines(name.key, name.encoding)
    except DataError as error:
        yield Finding("object-damaged", f"The object {name.key} cannot be read: {error.message}.")
        return
    digest = hashlib.sha256(lines)
    if digest.hexdigest()[:16] != name.digest or sha256 not in (None, digest.digest()):
        yield Finding(
            "object-digest",
            f"The object {name.key} does not hold the lines that were sealed: their SHA-256 is "
            f"{digest.hexdigest()[:16]}…. It was altered or damaged.",
        )
    yield from _each_line(name, lines)


def _each_line(name: ObjectName, lines: bytes) -> Iterator[Finding]:
    *each, rest = lines.split(b"\n")
    if rest or len(each) != name.last_sequence - name.first_sequence + 1:
        yield Finding(
            "object-lines",
            f"The object {name.key} holds {len(each):,} whole lines{' and a part of one' if rest else ''}, "
            f"but its name says {span(name.first_sequence, name.last_sequence)}.",
        )
    for number, text in enumerate(each, start=1):
        sequence = name.first_sequence + number - 1
        try:
            line = msgspec.json.decode(text, type=_Line)
        except msgspec.MsgspecError as error:
            yield Finding("line-garbled", f"Line {number:,} of {name.key} is no record of ours: {error}.")
            continue
        if wrong := _wrong(line, name, sequence):
            yield Finding("line-" + wrong[0], f"Line {number:,} of {name.key} {wrong[1]}.")


def _wrong(line: _Line, name: ObjectName, sequence: int) -> tuple[str, str] | None:
    if line.sequence != sequence:
        return "sequence", f"is sequence {line.sequence:,}, where {sequence:,} belongs"
    if (line.agent_id, line.customer_id, line.site) != (name.agent_id, name.customer, name.site):
        whose = f"{line.customer_id} / {line.site}, agent {line.agent_id}"
        return "agent", f"is {whose}'s, and not of the agent in the object's name"
    if line.lost:
        return "lost", f"(sequence {sequence:,}) says that its record was lost: {line.lost}"
    if line.record_id != _record_id(line):
        return "record", f"(sequence {sequence:,}) has a record_id that its own source, entity and time deny"
    return None


def _record_id(line: _Line) -> str | None:
    """The id that the line's own words give; None where they are no record's."""
    if line.observed_at is None:
        return None
    record = Record(stream=line.stream, entity=line.entity, observed_at=line.observed_at, values={"any": 0})
    try:
        entry = normalise(record, customer=line.customer_id, site=line.site, source=line.source)
    except RecordError:
        return None
    return uuid_text(entry.record_id)
