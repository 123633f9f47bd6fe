"""preview: what a source would give, without storing anything."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from outbox.cli.sample import likely_offset
from tests.cli.conftest import WEATHER, source

SECTION = """\
[source:orders]
collector = files
path = {path}
settle = 0s
timezone = UTC
delimiter = ;
decimal = ,
entity = OrderNo
time = Changed
values = quantity: Qty [pcs], price: Price [EUR]
"""


@pytest.fixture
def orders(agent, tmp_path):
    """orders(lines…, more options) writes a table and the section that reads it."""
    folder = tmp_path / "export"
    folder.mkdir()

    def orders(*lines, header="OrderNo;LineNo;Changed;Qty;Price;Remark", **options):
        (folder / "orders.csv").write_text("\n".join([header, *lines, ""]), encoding="utf-8")
        section = SECTION.format(path=folder)
        for name, value in options.items():
            section = "".join(line for line in section.splitlines(True) if not line.startswith(f"{name} ="))
            section += f"{name} = {value}\n"
        agent.configure(section)
        return folder

    return orders


def test_the_first_records_are_shown_and_nothing_is_stored(agent, outbox, orders):
    orders("A1;1;2026-01-01T00:00;3;12,50;x", "A2;1;2026-01-01T00:00:07;4;1250;y", "A3;1;2026-01-01;5;;y")
    before = agent.database.read_bytes()
    result = outbox("preview", "orders", "--rows", "2")
    assert (result.code, result.err) == (0, "")
    assert [line.split() for line in result.out.splitlines()] == [
        ["observed", "(UTC)", "entity", "quantity", "[pcs]", "price", "[EUR]"],
        ["2026-01-01", "00:00", "A1", "3", "12.5"],
        ["2026-01-01", "00:00:07", "A2", "4", "1250"],
        [],
        ["3", "records", "would", "be", "stored,", "0", "inputs", "rejected.", "Nothing", "was", "stored."],
        ["Reading", "stopped", "there:", "--rows", "reads", "more."],
    ]
    assert agent.database.read_bytes() == before


def test_many_values_stand_in_one_column(orders, outbox):
    orders("A;2026-01-01;1;2;3;4;5", header="OrderNo;Changed;a;b;c;d;e", values="a, b, c [m], d, e")
    assert "a 1, b 2, c 3, d 4, e 5" in outbox("preview", "orders").out


def test_what_would_be_rejected_is_grouped_by_reason_with_an_example(orders, outbox):
    orders(
        "A1;1;2026-01-01;1.5;1;x",
        "A2;1;2026-01-01;zwei;1;",
        "A3;1;2026-02-30;1;1;",
        ";;;;;",
        "A4;1;2026-01-01;1;1;",
    )
    result = outbox("preview", "orders")
    assert result.code == 0
    words = " ".join(result.out.split())
    assert "1 record would be stored, 3 inputs rejected, 1 row without a value." in words
    reason = "'1.5'; decimal and thousands say how numbers are written; (text) keeps text (file 'orders.csv', line 2)"
    assert f"REJECTED 1 × Qty is not a number: {reason}" in words
    assert "REJECTED 1 × Qty is not a number: 'zwei'; (text) keeps text (file 'orders.csv', line 3)" in words
    assert "OrderNo A1, LineNo 1, Changed 2026-01-01, Qty 1.5, Price 1, Remark x" in words
    assert "REJECTED 1 × Changed is not a time: '2026-02-30'" in words


def test_an_example_is_shown_without_what_says_its_types_or_where_it_stands(orders, outbox):
    orders("A1;1;2026-01-01;1;1;x;y", "A2;1;2026-01-01;1;1;x", "A2;1;2026-01-01;2;1;x")
    out = outbox("preview", "orders").out
    assert "A1 | 1 | 2026-01-01 | 1 | 1 | x | y" in out
    assert "A2, quantity 1, price 1" in " ".join(out.split())
    assert "orders.csv |" not in out
    assert "{" not in out
    assert not [line for line in out.splitlines() if line.endswith(" ")]


def test_a_later_file_corrects_an_earlier_one_and_is_no_ambiguity(orders, outbox):
    folder = orders("A1;1;2026-01-01;1;1;x")
    (folder / "later.csv").write_text(
        (folder / "orders.csv").read_text("utf-8").replace(";1;1;x", ";2;1;x"), "utf-8"
    )
    result = outbox("preview", "orders")
    assert ("2 records would be stored" in result.out, "share their identity" in result.out) == (True, False)


def test_what_is_stored_already_is_counted_apart(orders, outbox):
    orders("A1;1;2026-01-01;1;1;x", "A2;1;2026-01-01;1;1;x")
    assert outbox("collect", "orders").code == 0
    orders("A1;1;2026-01-01;1;1;x", "A2;1;2026-01-01;2;1;x", "A3;1;2026-01-01;1;1;x")
    result = outbox("preview", "orders")
    assert "2 records would be stored, 1 stored already, 0 inputs rejected. Nothing was stored." in result.out
    assert json.loads(outbox("preview", "orders", "--json").out)["unchanged"] == 1


def test_numbers_that_are_equal_are_no_ambiguity(agent, outbox, tmp_path):
    folder = tmp_path / "numbers"
    folder.mkdir()
    (folder / "a.ndjson").write_text(
        '{"e":"a","at":"2026-01-01","v":1}\n{"e":"a","at":"2026-01-01","v":1.0}\n'
    )
    options = f"path = {folder}\nsettle = 0s\nentity = e\ntime = at\nvalues = v\n"
    agent.configure(source("files", "numbers", options))
    result = outbox("preview", "numbers")
    assert "1 record would be stored, 0 inputs rejected" in result.out
    assert "WARNING" not in result.out


def test_what_does_not_fit_beside_each_other_stands_in_one_column(orders, outbox, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    names = "quantity_of_the_day: Qty, price_of_the_day: Price, order_line_number: LineNo"
    orders("A1;1;2026-01-01;1;1,5;x", values=names)
    words = " ".join(outbox("preview", "orders").out.split())
    assert "entity values" in words
    assert "A1 quantity_of_the_day 1, price_of_the_day 1.5, order_line_number 1" in words


def test_a_source_that_gives_nothing_says_what_its_collector_says(orders, outbox):
    orders("A1;1;;;;x", "A2;1;;;;x")
    result = outbox("preview", "orders")
    assert "0 records would be stored, 0 inputs rejected, 2 rows without a value" in result.out
    assert "NOTE  orders.csv: 2 rows without any value were skipped" in result.out


def test_nothing_but_rejected_is_a_failure(orders, outbox):
    orders("A1;1;never;1;1;x")
    assert outbox("preview", "orders").code == 69


@pytest.mark.parametrize(
    ("lines", "advice"),
    [
        (["A1;1;2026-01-01;1;1;x", "A1;2;2026-01-01;2;1;x"], "entity = OrderNo, LineNo"),
        (["A1;1;2026-01-01;1;1;x", "A1;1;2026-01-01;2;1;y"], "entity = OrderNo, Remark"),
        (["A1;1;2026-01-01;1;1;x", "A1;1;2026-01-01;2;1;y", "A1;2;2026-01-01;3;1;x"], "entity = OrderNo, LineNo, Remark"),
        (["A1;1;2026-01-01;1;1;x", "A1;1;2026-01-01;2;1;x"], "No column that was read tells them apart."),
        (["A1;;2026-01-01;1;1;x", "A1;2;2026-01-01;2;1;x"], "No column that was read tells them apart."),
    ],
)  # fmt: skip
def test_an_ambiguous_identity_is_shown_with_the_columns_that_would_make_it_unique(
    orders, outbox, lines, advice
):
    orders(*lines)
    words = " ".join(outbox("preview", "orders").out.split())
    assert f"WARNING {len(lines)} records share their identity with another and differ, as A1 does." in words
    assert advice in words


def test_of_a_database_the_bookmark_and_tie_breaker_are_looked_at_too(agent, outbox, tmp_path):
    with closing(sqlite3.connect(tmp_path / "erp.db")) as database, database:
        database.execute("CREATE TABLE lines (id INTEGER, machine TEXT, at TEXT, n INTEGER)")
        database.execute("INSERT INTO lines VALUES (1, 'M', '2026-01-01', 5), (2, 'M', '2026-01-01', 6)")
    options = "bookmark = at\ntie_breaker = id\nentity = machine\ntime = at\nvalues = n\n"
    agent.configure(
        f"[source:lines]\ncollector = sql\nurl = sqlite:///{tmp_path / 'erp.db'}\ntable = lines\n{options}"
    )
    words = " ".join(outbox("preview", "lines").out.split())
    assert "Unique with: entity = machine, id" in words


def test_a_newest_time_in_the_future_is_suspected_to_be_of_another_zone(orders, outbox):
    local = datetime.now(UTC) + timedelta(hours=2, minutes=58)
    orders(f"A1;1;{local:%Y-%m-%dT%H:%M:%S};1;1;x")
    words = " ".join(outbox("preview", "orders").out.split())
    assert "The newest record lies 2 h 58 min in the future: another time zone?" in words
    assert "Times are read as UTC; these look like UTC+03:00." in words


@pytest.mark.parametrize("ahead", [{"minutes": 2}, {"hours": -1}, {"hours": 30}])
def test_other_times_raise_no_suspicion(orders, outbox, ahead):
    orders(f"A1;1;{datetime.now(UTC) + timedelta(**ahead):%Y-%m-%dT%H:%M:%S};1;1;x")
    assert "another time zone" not in outbox("preview", "orders").out


@pytest.mark.parametrize(
    ("minutes", "zone", "offset"),
    [(118, "UTC", "UTC+02:00"), (60, "UTC", "UTC+01:00"), (70, "UTC", "UTC+02:00"), (328, "UTC", "UTC+05:30"), (358, "America/New_York", "UTC+01:00"), (118, "America/New_York", "UTC-03:00")],
)  # fmt: skip
def test_the_likely_offset_is_a_whole_one(minutes, zone, offset):
    from zoneinfo import ZoneInfo

    assert (
        likely_offset(timedelta(minutes=minutes), ZoneInfo(zone), datetime(2026, 1, 1, tzinfo=UTC)) == offset
    )


def test_names_and_units_that_head_office_does_not_know_are_warned_of(agent, orders, outbox):
    orders("A1;1;2026-01-01;1;1;x")
    (agent.folder / "datapoints.csv").write_text(
        "name,unit,meaning\nquantity,kg,how many\nprices,EUR,x\n", encoding="utf-8"
    )
    words = " ".join(outbox("preview", "orders").out.split())
    assert "WARNING quantity is in pcs, and in datapoints.csv in kg" in words
    assert "WARNING price is not in datapoints.csv: is prices meant?" in words
    (agent.folder / "datapoints.csv").write_text("title\nx\n", encoding="utf-8")
    assert "has another header than: name, unit, meaning" in " ".join(outbox("preview", "orders").out.split())


def test_a_value_that_no_record_has_is_named(orders, outbox):
    orders("A1;1;2026-01-01;1;;x")
    assert "No record has a value for price." in outbox("preview", "orders").out


def test_json_is_one_document_on_stdout(orders, outbox):
    orders("A1;1;2026-01-01;1;0,10000000000000000000001;x", "A1;1;2026-01-02;x;1;x")
    result = outbox("preview", "orders", "--json")
    assert (result.code, result.err) == (0, "")
    found = json.loads(result.out, parse_float=str)
    assert (found["source"], found["read"], found["without_value"], found["error"]) == ("orders", 1, 0, None)
    assert found["records"][0]["values"] == {"price": "0.10000000000000000000001", "quantity": 1}
    assert found["rejected"][0]["reason"].startswith("Qty is not a number: 'x'")


def test_what_was_read_before_an_error_is_shown_and_the_error_decides(orders, outbox):
    folder = orders("A1;1;2026-01-01;1;1;x")
    (folder / "broken.csv").write_text("Wrong\n", encoding="utf-8")
    result = outbox("preview", "orders")
    assert result.code == 69
    assert "1 record would be stored" in result.out
    assert "broken.csv has no column OrderNo, Changed, Qty, Price" in result.err
    assert json.loads(outbox("preview", "orders", "--json").out)["error"].startswith("1 of 2 files")


def test_text_from_a_file_does_not_steer_the_terminal(orders, outbox):
    orders("A\x1b[31m[bold]1;1;2026-01-01;1;1;x", "A2;1;\x1b]0;x\x07;1;1")
    result = outbox("preview", "orders")
    assert "\x1b" not in result.out
    assert "[bold]" in result.out


def test_every_kind_of_source_can_be_looked_at(agent, outbox, weather, installed):
    agent.configure(WEATHER.format(name="weather", url=weather.url), "[source:fixed]\ncollector = fixed\n")
    result = outbox("preview", "weather", "--rows", "3")
    assert (result.code, "Helsinki" in result.out, "hourly" in result.out) == (0, True, True)
    result = outbox("preview", "fixed")
    assert (result.code, "Jyväskylä" in result.out) == (0, True)
    assert "REJECTED  1 ×" in result.out


def test_a_source_that_is_not_there_or_is_the_agent_is_refused(agent, outbox, orders):
    orders("A1;1;2026-01-01;1;1;x")
    assert outbox("preview", "order").code == 78
    result = outbox("preview", "agent")
    assert (result.code, "is the agent itself" in result.err) == (69, True)


def test_a_mistake_in_the_section_is_named_with_its_line(outbox, orders):
    orders("A1;1;2026-01-01;1;1;x", header_row="x")
    result = outbox("preview", "orders")
    assert result.code == 78
    assert "header_row" in result.err
