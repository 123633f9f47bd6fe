"""Lines on a terminal: broken at words, commands to copy never; states in colour, and elsewhere nothing of it."""

import pytest

from outbox.cli.app import say
from outbox.cli.tables import columns, show
from outbox.cli.text import folded


@pytest.mark.parametrize("width", [40, 60, 80])
@pytest.mark.parametrize(
    "text",
    [
        "Hint: ask head office whether the key is still valid, then: outbox secret set aws",
        "Hint: set its secret anew with outbox secret set meteo, and it is tried at once",
        "Hint: outbox agent renew; what was sealed after the backup was made is read again by outbox collect",
        "Hint: what is left of it is shown by outbox rejected list --source orders and that is all there is",
        "Next  everything else is right, so that now you can run outbox resend 12",
    ],
)
def test_a_line_is_broken_between_words_and_no_command_is(text, width):
    lines = folded(text, width)
    assert " ".join(line.strip() for line in lines) == text
    assert max(map(len, lines)) <= width
    for command in (
        "secret set aws",
        "secret set meteo",
        "agent renew",
        "rejected list --source orders",
        "resend 12",
    ):
        if command in text:
            assert any(f"outbox {command}" in line for line in lines), lines


def test_a_line_with_a_state_goes_on_under_its_text():
    text = "FAILED  orders: the folder /srv/export is not there\n        Hint: make it"
    assert folded(text, 30) == [
        "FAILED  orders: the folder",
        "        /srv/export is not",
        "        there",
        "        Hint: make it",
    ]


def test_what_has_no_space_to_break_at_stays_whole():
    assert folded("see " + "x" * 50, 20) == ["see", "x" * 50]


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_states_have_a_colour_on_a_terminal_unless_it_is_not_wanted(monkeypatch, capsys, no_color, coloured):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", no_color)
    say("FAILED  orders: no")
    said = capsys.readouterr().err
    assert ("\x1b[1;31mFAILED\x1b[0m" in said) == coloured
    assert said.endswith("  orders: no\n")


def test_in_a_pipe_lines_stay_as_they_are(capsys):
    say("FAILED  " + "word " * 60 + "end")
    assert capsys.readouterr().err == "FAILED  " + "word " * 60 + "end\n"


@pytest.mark.parametrize("width", [36, 60, 80])
def test_no_table_breaks_a_word_of_a_cell(monkeypatch, capsys, width):
    monkeypatch.setenv("COLUMNS", str(width))
    table = columns("source", "last", "what it says")
    rows = [
        ("orders", "2026-11-27T04:26:05Z", "of -11.3 and 1,000,000"),
        ("weather_of_helsinki", "never", "x y"),
    ]
    for row in rows:
        table.add_row(*row)
    show(table)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= width
    for word in (word for row in rows for cell in row for word in cell.split()):
        assert word in out.split()
    assert ("source        orders" in out) == (width == 36)
