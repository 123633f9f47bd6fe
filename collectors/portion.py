"""As many records as fit into one page, counted while they come in. No I/O."""

import msgspec

from outbox.record import MAX_PAGE_BYTES, MAX_PAGE_RECORDS, Page, Record, Rejected

FULL_BYTES = MAX_PAGE_BYTES * 3 // 4
"""Some room is left: a record that is written canonically is a little longer."""
_SHELL_BYTES = 200
_encode = msgspec.json.Encoder(enc_hook=str).encode


class Portion:
    """Records and rejected input that will be one page."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._records: list[Record] = []
        self._rejected: list[Rejected] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._records) + len(self._rejected)

    def add(self, found: Record | Rejected | None) -> None:
        """Take one more; None, a row that says nothing, is no more."""
        if isinstance(found, Record):
            self._records.append(found)
            self._bytes += _SHELL_BYTES + _size(found)
        elif found is not None:
            self._rejected.append(found)
            self._bytes += len(found.raw)

    def is_full(self) -> bool:
        """Return whether the page has to be stored before anything is added."""
        return len(self) >= MAX_PAGE_RECORDS or self._bytes >= FULL_BYTES

    def page(self, bookmark: str) -> Page:
        """Return what was taken as a page, and begin anew."""
        page = Page(records=self._records, rejected=self._rejected, bookmark=bookmark)
        self._begin()
        return page


def _size(record: Record) -> int:
    try:
        return len(_encode(record))
    except (TypeError, ValueError, RecursionError):
        return 0  # it cannot be written: the outbox rejects it
