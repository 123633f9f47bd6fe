"""A folder of exports, the whole way: preview, collect, a mended section, and a retry of what was rejected."""

import pytest

from tests.cli.test_preview import orders

__all__ = ["orders"]  # the fixture

LINES = ("A1;1;2026-01-01;3;12,50;x", "A2;1;2026-01-01;4;1250;y", "A3;1;2026-01-01;fünf;1;z")
COUNTS = "SELECT count(*) FROM pending"


@pytest.fixture
def collected(orders, outbox):
    """Two rows stored and one rejected."""
    folder = orders(*LINES)
    result = outbox("collect")
    assert (result.code, "2 new, 0 unchanged, 1 rejected" in result.err) == (0, True)
    return folder


def test_rows_become_records_with_their_units(agent, collected):
    assert agent.query('SELECT entity, "values", units FROM pending ORDER BY entity') == [
        ("A1", '{"price":12.5,"quantity":3}', '{"price":"EUR","quantity":"pcs"}'),
        ("A2", '{"price":1250,"quantity":4}', '{"price":"EUR","quantity":"pcs"}'),
    ]


def test_what_was_read_is_not_read_again_under_another_name(agent, outbox, collected):
    (collected / "orders.csv").rename(collected / "old.csv")
    assert "0 new, 0 unchanged, 0 rejected" in outbox("collect").err
    with (collected / "old.csv").open("a", encoding="utf-8") as file:
        file.write("A4;1;2026-01-01;1;1;x\n")
    assert "1 new, 0 unchanged, 0 rejected" in outbox("collect").err
    assert agent.query(COUNTS) == [(3,)]


def test_a_rejected_row_is_stored_by_a_retry_with_the_mended_section(agent, outbox, collected):
    (reason,) = agent.query("SELECT reason FROM rejected")[0]
    assert reason == "Qty is not a number: 'fünf'; (text) keeps text (file 'orders.csv', line 4)"
    mended = agent.config.read_text(encoding="utf-8").replace("Qty [pcs]", "Qty (text)")
    agent.config.write_text(mended, encoding="utf-8")
    result = outbox("rejected", "retry", "--source", "orders")
    assert (result.code, "1 stored" in result.err) == (0, True)
    assert agent.query("SELECT \"values\" FROM pending WHERE entity = 'A3'") == [
        ('{"price":1,"quantity":"fünf"}',)
    ]


def test_a_file_that_cannot_be_read_fails_the_source_and_stops_no_other_file(agent, outbox, collected):
    (collected / "broken.csv").write_text("Wrong;Header\n", encoding="utf-8")
    (collected / "more.csv").write_text("OrderNo;Changed;Qty;Price\nB1;2026-01-01;1;1\n", encoding="utf-8")
    result = outbox("collect")
    assert result.code == 69
    assert "1 of 3 files cannot be read: broken.csv has no column OrderNo, Changed, Qty, Price" in result.err
    assert agent.query(COUNTS) == [(3,)]


def test_a_mended_identity_reads_the_file_again(agent, outbox, orders):
    orders("A1;1;2026-01-01;1;1;x", "A1;2;2026-01-01;2;1;x")
    assert "0 new, 0 unchanged, 2 rejected" in outbox("collect").err
    mended = agent.config.read_text(encoding="utf-8").replace("entity = OrderNo", "entity = OrderNo, LineNo")
    agent.config.write_text(mended, encoding="utf-8")
    assert "2 new, 0 unchanged, 0 rejected" in outbox("collect").err


def test_what_was_passed_over_is_said_by_collect_as_by_preview(agent, outbox, orders):
    folder = orders()
    (folder / "orders.csv").unlink()
    (folder / "orders.csv.part").write_text("x", encoding="utf-8")
    said = {"collect": outbox("collect").err, "preview": outbox("preview", "orders").out}
    for text in said.values():
        assert "matches the pattern" in " ".join(text.split())
    assert "ok      orders: 0 new" in said["collect"]
    assert "\n        Note: " in said["collect"]


def test_a_source_of_which_every_input_was_rejected_is_to_be_looked_at(agent, outbox, orders):
    orders("A3;1;2026-01-01;fünf;1;z")
    result = outbox("collect")
    assert result.code == 0
    assert "CHECK   orders: 0 new, 0 unchanged, 1 rejected" in result.err
    assert "\n        Hint: outbox rejected list --source orders" in result.err
    assert "ok      orders" not in result.err
