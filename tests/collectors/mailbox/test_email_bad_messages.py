"""Whatever a message is, it becomes records, is rejected with its reason, or is not claimed: never an error."""

import pytest

from outbox.record import MAX_RAW_BYTES
from tests.collectors.mailbox.bad_contents import CONTENTS
from tests.collectors.mailbox.bad_heads import HEADS_AND_NAMES
from tests.collectors.mailbox.bad_structures import STRUCTURES
from tests.support.mail import ORDERS, mail

pytestmark = pytest.mark.xdist_group("dovecot")
CASES = [*STRUCTURES, *CONTENTS, *HEADS_AND_NAMES]


def test_there_are_enough_of_them_and_each_has_a_name():
    assert len({case.name for case in CASES}) == len(CASES) >= 60


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_bad_message_tells_its_reason_and_stops_no_other(server, user, make_email, case):
    after = mail(("the next one.tsv", ORDERS.replace(b",", b"\t")))
    server.put(user, case.message or b"\r\n", after)
    options = {"attachments": "*.csv", **case.options}
    options["attachments"] += ", the next one.tsv"
    pages = list(make_email(**options).collect({}))
    found = [record for page in pages for record in page.records if record.stream == "rows"]
    rows = [record for record in found if record.origin["uid"] == 1]
    rejected = [item for page in pages for item in page.rejected]
    reasons = [item.reason for item in rejected]
    assert (len(rows), len(reasons)) == (case.rows, len(case.reasons)), reasons
    for expected, reason in zip(case.reasons, reasons, strict=True):
        assert expected in reason
    assert [record.origin["uid"] for record in found if record not in rows] == [2, 2]
    if case.file is not None:
        assert {record.origin["file"] for record in rows} == {case.file}
    claimed = bool(case.rows or case.reasons) if case.claimed is None else case.claimed
    [counted] = [record.values for page in pages for record in page.records if record.stream == "mailbox"]
    assert counted == {"messages": 2, "claimed": 1 + claimed, "unclaimed": 1 - claimed}
    for item in rejected:
        assert item.reason.isprintable()
        assert len(item.raw) <= MAX_RAW_BYTES
