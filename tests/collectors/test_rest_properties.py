"""Whatever a server sends becomes records, rejected input or a typed error; nothing else comes out."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.collector import Context
from collectors.http.client import Answer
from collectors.overlap import behind, position
from collectors.rest.answer import check_answer, linked
from collectors.rest.bookmark import Mark, Progress
from collectors.rest.options import RestOptions
from collectors.rest.rows import Rows
from outbox.errors import OutboxError, PermanentError
from outbox.record import Page, Record, Rejected
from outbox.record.page import normalise_page

NOW = datetime(2026, 11, 23, 5, tzinfo=UTC)
NAMES = st.sampled_from(["id", "changed", "total", "customer", "name", "data", "next", "ä.b", "", "a b"])
CELLS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["2026-11-23T01:00:00Z", "2026-11-23", "7", "https://127.0.0.1/x", "//other/x", "\\"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=15,
)


def options(**more):
    given = {"entity": "id", "time": "changed", "values": "total, who: customer.name (text)", **more}
    return RestOptions(collector="rest", url="https://127.0.0.1/orders", **given)


KINDS = [
    options(query="since = {bookmark}", bookmark="changed"),
    options(records="data", pagination="cursor", next="next", query="c = {cursor}"),
    options(records="data || `[]`", pagination="link", next="next", more="total > `5`"),
]


@settings(max_examples=300, deadline=None)
@given(document=CELLS, which=st.sampled_from(KINDS), headers=st.text(max_size=40))
def test_any_json_is_records_rejected_input_or_an_error(document, which, headers):
    body = json.dumps(document).encode()
    context = Context("orders", ZoneInfo("UTC"), None, str, lambda: NOW)
    try:
        content = check_answer(Answer(200, {"link": headers}, body, which.url), which, which.url, NOW)
        progress = Progress(which, Mark(), context)
        progress.see(content.items)
        Mark.decode(progress.after(content, last=True), "orders")
        found = list(Rows(which, context)(content.items))
    except OutboxError:
        return
    page = Page(
        records=[each for each in found if isinstance(each, Record)],
        rejected=[each for each in found if isinstance(each, Rejected)],
        bookmark="",
    )
    done = normalise_page(page, customer="c", site="s", source="orders")
    silent = sum(each is None for each in found)
    assert len(done.entries) + len(done.rejected) + done.repeated + silent == len(content.items)
    for rejected in page.rejected:
        again = Rows(which, context).reread(rejected.raw)
        assert isinstance(again, Rejected)


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=100), status=st.integers(200, 599))
def test_any_bytes_are_an_answer_or_an_error(body, status):
    answer = Answer(status, {}, body, "https://127.0.0.1/")
    with suppress(OutboxError):
        assert isinstance(check_answer(answer, KINDS[0], answer.url, NOW).items, list)


@settings(max_examples=300, deadline=None)
@given(text=st.text(alphabet='<>;,="\\ relnxt/?#:ä\t', max_size=60))
def test_any_link_header_is_read(text):
    link = linked(text)
    assert link is None or link in text


@settings(max_examples=300, deadline=None)
@given(
    text=st.one_of(
        st.datetimes().map(lambda moment: moment.isoformat()),
        st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.isoformat().replace("+00:00", "Z")),
        st.dates().map(str),
        st.integers().map(str),
        st.decimals(allow_nan=False, allow_infinity=False).map(str),
        st.text(max_size=20),
    ),
    overlap=st.one_of(
        st.timedeltas(min_value=timedelta(), max_value=timedelta(days=365)),
        st.decimals(min_value=0, max_value=10**6, places=3),
    ),
)
def test_an_overlap_goes_back_within_the_same_kind(text, overlap):
    before = position(text)
    try:
        after = position(behind(text, overlap))
    except PermanentError:
        assert (before.kind, type(overlap)) not in (("number", Decimal), ("time", timedelta))
        return
    assert after.kind == before.kind
    assert after.order <= before.order
