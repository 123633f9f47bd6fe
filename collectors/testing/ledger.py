"""What the outbox would keep of a collector's pages, in memory, for `collectors.testing`."""

from collectors.collector import Collector, Window
from outbox.record import MAX_PAGE_BYTES, MAX_PAGE_RECORDS, Page
from outbox.record.page import normalise_page

MAX_BOOKMARK_CHARS = 64 * 1024


class Ledger:
    """Rows, rejected inputs and bookmarks: a row for each content that differs from its record's latest."""

    def __init__(self) -> None:
        self.marks: dict[str, str] = {}
        self.rows: list[tuple[bytes, bytes]] = []
        self.rejected: set[str] = set()
        self._latest: dict[bytes, bytes] = {}

    def store(self, page: Page) -> int:
        """Take a page; how many rows are new."""
        facts = normalise_page(page, customer="customer", site="site", source="source")
        size = sum(len(entry.body) for entry in facts.entries)
        require(len(page.records) <= MAX_PAGE_RECORDS, f"a page has {len(page.records):,} records")
        require(size <= MAX_PAGE_BYTES, f"a page has {size:,} bytes")
        require(
            isinstance(page.bookmark, str) and len(page.bookmark) <= MAX_BOOKMARK_CHARS,
            f"a bookmark is no text of at most {MAX_BOOKMARK_CHARS:,} characters: {page.bookmark!r:.100}",
        )
        new = [
            (entry.record_id, entry.content_hash)
            for entry in facts.entries
            if self._latest.get(entry.record_id) != entry.content_hash
        ]
        self._latest.update(new)
        self.rows += new
        self.rejected |= {item.raw for item in facts.rejected}
        self.marks[page.scope] = page.bookmark
        return len(new)

    def collect(self, collector: Collector, window: Window | None = None) -> int:
        """Store everything that a collector yields; how many rows are new."""
        return sum([self.store(page) for page in collector.collect(dict(self.marks), window)])


def require(holds: bool, what: str) -> None:
    """Raise AssertionError, saying what, unless it holds."""
    if not holds:
        raise AssertionError(what)
