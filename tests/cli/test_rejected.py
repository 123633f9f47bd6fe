"""rejected: what was refused is listed, read again once its section was mended, or dismissed."""

import csv
import io
import json

import pytest

from tests.cli.conftest import source

LINES = "lines =\n    oven 1,5\n    hall x\n    =cmd() \x1b]0;evil\n"


@pytest.fixture
def refused(agent, outbox, installed):
    """An agent that refused three inputs of a source whose section has the wrong decimal sign."""
    agent.configure(source("mended", more=LINES))
    assert outbox("collect").code == 0
    return agent


def mend(agent, more=LINES):
    agent.configure(source("mended", more="decimal = ,\n" + more))


def test_the_list_says_which_why_and_what_in_80_columns(refused, outbox, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    result = outbox("rejected", "list")
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0].split() == ["id", "times", "last", "source", "reason,", "and", "what", "it", "is"]
    assert [line.split()[0] for line in lines[1:]] == ["3", "2", "1"]
    assert lines[3].endswith("mended  '1,5' is not a number  oven 1,5")
    assert max(map(len, lines)) <= 80
    assert "outbox rejected show ID" in result.err


def test_a_long_list_is_cut_and_says_so(agent, outbox, installed):
    agent.configure(
        source("mended", more="lines =\n" + "".join(f"    a{n} x{'y' * 200}\n" for n in range(120)))
    )
    outbox("collect")
    result = outbox("rejected", "list")
    lines = result.out.splitlines()
    assert len(lines) == 101
    assert max(map(len, lines)) <= 100
    assert lines[1].split()[:2] + lines[1].split()[5:6] == ["120", "1", "mended"]
    assert "20 more; all of them: --csv" in result.err


def test_nothing_rejected_is_said(agent, outbox):
    assert outbox("rejected", "list").err == "Nothing is rejected.\n"


def test_a_source_that_is_not_there_is_a_mistake_and_not_nothing(refused, outbox):
    for command in ("list", "retry", "dismiss"):
        result = outbox("rejected", command, "--source", "mendet")
        assert (result.code, "there is no source 'mendet'" in result.err) == (78, True)
        assert "Hint: known: mended, agent" in result.err
    refused.configure()
    assert len(outbox("rejected", "list", "--source", "mended").out.splitlines()) == 4
    assert "Dismissed 3 inputs" in outbox("rejected", "dismiss", "--source", "mended").err


def test_csv_holds_all_of_it_and_no_formula(refused, outbox):
    rows = list(csv.DictReader(io.StringIO(outbox("rejected", "list", "--csv").out)))
    assert [row["id"] for row in rows] == ["3", "2", "1"]
    assert rows[0]["raw"].startswith("'=cmd()")
    assert rows[2] | {"first_at": "", "last_at": ""} == {
        "id": "1",
        "source": "mended",
        "reason": "'1,5' is not a number",
        "raw": "oven 1,5",
        "times": "1",
        "first_at": "",
        "last_at": "",
        "resolved_at": "",
    }


def test_one_is_shown_whole_and_no_terminal_obeys_it(refused, outbox):
    outbox("collect")
    result = outbox("rejected", "show", 3)
    assert "Source    mended\n" in result.out
    assert "Read      2 times, from 20" in result.out
    assert "Resolved  no\n" in result.out
    assert "=cmd() \\x1b]0;evil" in result.out
    assert "\x1b" not in result.out + outbox("rejected", "list").out


def test_one_that_is_json_is_shown_indented(agent, outbox, installed):
    agent.configure(source("fixed"))
    outbox("collect")
    assert '\n  "entity": "bad",\n' in outbox("rejected", "show", 1).out


def test_a_number_that_is_none_of_theirs_is_said(refused, outbox):
    for command in ("show", "retry", "dismiss"):
        result = outbox("rejected", command, 99)
        assert result.code == 69
        assert "there is no rejected input 99\nHint: their numbers: outbox rejected list --all" in result.err


def test_a_mended_section_makes_records_of_them(refused, outbox):
    mend(refused)
    result = outbox("rejected", "retry", "--source", "mended")
    assert result.code == 69
    assert "mended: 1 stored, 0 already known or empty, 2 still rejected" in result.err
    rows = refused.query('SELECT entity, "values", source FROM pending')
    assert [(entity, json.loads(values), name) for entity, values, name in rows] == [
        ("oven", {"t": 1.5}, "mended")
    ]
    assert refused.query("SELECT command, source, new, unchanged, rejected, exit_code FROM runs")[-1] == (
        "retry", "mended", 1, 0, 2, 0,
    )  # fmt: skip
    assert len(outbox("rejected", "list").out.splitlines()) == 3
    assert len(outbox("rejected", "list", "--all").out.splitlines()) == 4


def test_only_those_that_are_named_are_read_again(refused, outbox):
    mend(refused)
    assert outbox("rejected", "retry", 1).code == 0
    again = outbox("rejected", "retry", 1)
    assert (again.code, again.err) == (0, "Nothing is open.\n")


def test_a_source_that_cannot_read_them_again_says_so(agent, outbox, installed):
    agent.configure(source("fixed"))
    outbox("collect")
    result = outbox("rejected", "retry", "--source", "fixed")
    assert result.code == 69
    assert "fixed: a collector of its kind cannot read a rejected input again" in result.err
    assert agent.query("SELECT count(*) FROM runs WHERE command = 'retry'") == [(0,)]


def test_a_source_that_is_gone_or_mistaken_reads_nothing_again(refused, outbox):
    refused.configure()
    result = outbox("rejected", "retry", 1)
    assert (result.code, "no such source is configured any more" in result.err) == (69, True)
    refused.configure(source("mended", more="decimals = ,\n"))
    result = outbox("rejected", "retry", 1)
    assert (result.code, "did you mean decimal?" in result.err) == (78, True)


def test_dismissed_ones_are_no_problem_any_more(refused, outbox):
    problem = outbox("status")
    assert problem.code == 69
    assert "Hint: outbox rejected list --source mended" in problem.out
    assert outbox("rejected", "dismiss", 1, 2).err == "Dismissed 2 inputs.\n"
    assert outbox("rejected", "dismiss", "--source", "mended").err == "Dismissed 1 input.\n"
    assert outbox("status").code == 0
    assert "resolved" in outbox("rejected", "list", "--all").out


def test_what_is_meant_has_to_be_said_and_once(refused, outbox):
    for command in ("retry", "dismiss"):
        assert outbox("rejected", command).code == 2
        assert outbox("rejected", command, 1, "--source", "mended").code == 2
    assert refused.query("SELECT count(*) FROM rejected WHERE resolved_at IS NOT NULL") == [(0,)]
