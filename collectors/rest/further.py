"""What an answer says of pages that follow it, in the ways that APIs and their standards have for it. No I/O.

Invariant: only names that are documented for this are heard, in the envelope around the records and never in
a record; `null`, `false`, 0 and the empty text mean that nothing follows.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Json = Any

_WHERE = (
    *("meta", "metadata", "_meta", "paging", "pagination", "page", "pageInfo", "page_info", "pageable"),
    *("links", "_links", "info", "response_metadata", "cursors"),
)
_MORE = (
    *(
        "has_more",
        "hasMore",
        "HasMore",
        "has_next",
        "hasNext",
        "has_next_page",
        "hasNextPage",
        "more_records",
    ),
    *("has_more_items", "hasMoreItems", "more_available"),
)
_LAST = ("isLast", "is_last", "isLastPage", "is_last_page", "last")
_NEXT = (
    *("next", "next_page", "nextPage", "next_url", "nextUrl", "next_page_url", "nextPageUrl", "next_link"),
    *("nextLink", "@odata.nextLink", "odata.nextLink", "nextRecordsUrl", "nextPageToken", "next_page_token"),
    *("next_token", "nextToken", "NextToken", "next_cursor", "nextCursor", "NextMarker", "nextMarker"),
)
_TOTAL = (
    "total",
    "total_count",
    "totalCount",
    "total_results",
    "totalResults",
    "totalElements",
    "total_items",
)
_BESIDE_TOTAL = (
    *("limit", "offset", "per_page", "perPage", "page_size", "pageSize", "size", "page", "current_page"),
    *("currentPage", "startAt", "start_at", "maxResults", "startIndex", "itemsPerPage", "skip", "number"),
)
_PAGES = ("total_pages", "totalPages", "page_count", "pageCount", "last_page", "lastPage", "pages")
_MAX_ENVELOPES, _MAX_LOOKED_AT = 5, 1_000
_RANGE = re.compile(r"(?:(?!bytes\b)[A-Za-z]+\s+)?(\d{1,15})-(\d{1,15})/(\d{1,15})")


class Further(NamedTuple):
    """What was said: `more` where the answer says yes or no, `pointer` the name of a next page that it has.

    `total` and `pages` are how many records and pages there are, `end` how many are behind with this answer;
    0 where it does not say. `by` is the name of what said `more`.
    """

    more: bool | None = None
    by: str = ""
    pointer: str = ""
    total: int = 0
    pages: int = 0
    end: int = 0


def further_of(document: Json, records: Json, headers: Mapping[str, str], linked: str | None) -> Further:
    """Return what the objects around the list of records, the headers and the Link header's `linked` say."""
    found = Further(pointer="the Link header" if linked else "")
    if match := _RANGE.fullmatch(headers.get("content-range", "").strip()):
        found = found._replace(total=int(match[3]), end=int(match[2]) + 1)
    for where, part in _parts(document, records):
        more = next(((name, part[name]) for name in _MORE if isinstance(part.get(name), bool)), None)
        last = next(((name, not part[name]) for name in _LAST if isinstance(part.get(name), bool)), None)
        said = more or last
        if said and found.more is None:
            found = found._replace(more=said[1], by=f"{where}{said[0]}")
        pointer = next((name for name in _NEXT if _points(part.get(name))), "")
        if pointer and not found.pointer:
            found = found._replace(pointer=f"{where}{pointer}")
        if not found.total and any(_count(part, name) is not None for name in _BESIDE_TOTAL):
            found = found._replace(total=next(filter(None, (_count(part, name) for name in _TOTAL)), 0))
        if not found.pages:
            found = found._replace(pages=next(filter(None, (_count(part, name) for name in _PAGES)), 0))
    return found


def _parts(document: Json, records: Json) -> Iterator[tuple[str, dict[str, Json]]]:
    """Yield the objects in which the list stands, the nearest first, and their parts that tell of pages."""
    for outer, envelope in reversed(_envelopes(document, records)):
        yield outer, envelope
        for name in _WHERE:
            if isinstance(inner := envelope.get(name), dict) and inner is not records:
                yield f"{outer}{name}.", inner
                for deeper in _WHERE:
                    if isinstance(found := inner.get(deeper), dict):
                        yield f"{outer}{name}.{deeper}.", found


def _envelopes(document: Json, records: Json) -> list[tuple[str, dict[str, Json]]]:
    """Return the whole answer and the objects in it on the way to the list; no record is one of them."""
    if not isinstance(document, dict) or document is records:
        return []
    level: list[list[tuple[str, dict[str, Json]]]] = [[("", document)]]
    for _ in range(_MAX_ENVELOPES):
        for way in level:
            if any(value is records for value in way[-1][1].values()):
                return way
        level = [
            [*way, (f"{way[-1][0]}{name}.", value)]
            for way in level
            for name, value in way[-1][1].items()
            if isinstance(value, dict)
        ][:_MAX_LOOKED_AT]
    return [("", document)]


def _points(value: Json) -> bool:
    """Whether a value leads to a page: a text or a number, or an object that holds an address or a cursor."""
    if isinstance(value, dict):
        return any(_points(value.get(name)) for name in ("href", "link", "url", "after", "cursor"))
    return isinstance(value, (str, int)) and not isinstance(value, bool) and bool(value)


def _count(part: dict[str, Json], name: str) -> int | None:
    value = part.get(name)
    return value if type(value) is int and value >= 0 else None
