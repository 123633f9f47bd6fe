"""Tables for tests: made in memory, read by one small section."""

import gzip
import io
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import openpyxl

from collectors.mapping.columns import Columns
from collectors.tables.options import TableOptions
from collectors.tables.table import Table
from outbox.record import Record, Rejected

GIVEN = {"collector": "files", "entity": "Place", "time": "Time", "values": "t: Temp [°C]"}
HEADER = "Time,Place,Temp\n"
ROW = "2026-01-01T00:00,Oulu,1.5\n"
GOOD_FILE = HEADER + ROW


def read(content, name="t.csv", *, place=None, extra=None, waits=False, **options):
    """Return the records, the rejected and the last place of a table."""
    given = TableOptions(**{**GIVEN, **options})
    mapping = Columns(given, zone=ZoneInfo("Europe/Helsinki"), source="s")
    stream = io.BytesIO(content.encode() if isinstance(content, str) else content)
    more = {"place": place} if place else {}
    table = Table(stream, name, given, mapping, origin={"file": name}, extra=extra or {}, waits=waits, **more)
    outcomes = list(table)
    records = [outcome.found for outcome in outcomes if isinstance(outcome.found, Record)]
    rejected = [outcome.found for outcome in outcomes if isinstance(outcome.found, Rejected)]
    return records, rejected, outcomes[-1].place if outcomes else None


def workbook(*rows, sheet="Sheet1", more=None):
    """Return the bytes of a workbook whose first sheet has these rows."""
    book = openpyxl.Workbook()
    book.active.title = sheet
    for row in rows:
        book.active.append(row)
    for title, cells in (more or {}).items():
        other = book.create_sheet(title)
        for row in cells:
            other.append(row)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


MIDNIGHT = datetime(2025, 12, 31, 22, tzinfo=UTC)


def gz(content):
    return gzip.compress(content.encode() if isinstance(content, str) else content, mtime=0)
