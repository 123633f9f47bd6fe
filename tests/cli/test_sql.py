"""sql: a look into the outbox on hosts without sqlite3, and no more than a look."""

import json

import pytest

from tests.cli.test_init import store_one


@pytest.fixture
def stored(agent):
    store_one(agent.folder, seal=True)
    return agent


def test_a_query_is_shown_as_a_table_on_stdout(stored, outbox):
    result = outbox("sql", 'SELECT source, entity, "values" FROM pending')
    assert (result.code, result.err) == (0, "")
    assert [word for word in ("source", "entity", "values", "x", '{"t":1}') if word not in result.out] == []


def test_json_is_an_object_a_row_and_bytes_are_hex(stored, outbox):
    result = outbox(
        "sql", "--json", "SELECT sequence, source, record_id, NULL AS void, 'ä' AS text FROM outbox"
    )
    (row,) = [json.loads(line) for line in result.out.splitlines()]
    assert (result.code, result.err) == (0, "")
    assert (row["sequence"], row["source"], row["void"], row["text"]) == (1, "x", None, "ä")
    assert len(bytes.fromhex(row["record_id"])) == 16


def test_json_has_no_infinity_and_takes_several_statements(stored, outbox):
    result = outbox("sql", "--json", "SELECT 9e999 AS x; SELECT 1 AS a, 2 AS b")
    assert result.code == 0
    found = [json.loads(line, parse_constant=pytest.fail) for line in result.out.splitlines()]
    assert found == [{"x": "inf"}, {"a": 1, "b": 2}]


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_no_rows_are_no_error(stored, outbox, form):
    assert outbox("sql", *form, "SELECT * FROM rejected").code == 0
    assert outbox("sql", *form, "SELECT * FROM rejected").err == ""


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM runs",
        "UPDATE runs SET error = 'x'",
        "INSERT INTO bookmarks VALUES ('x', 0, 'y', 'z', 1, 'now')",
        "DROP TABLE outbox",
        "PRAGMA user_version = 9",
        "PRAGMA query_only = 0; DELETE FROM runs",
        "VACUUM",
    ],
)
def test_nothing_can_be_changed(stored, outbox, statement, form):
    def everything():
        return list(
            map(
                stored.query,
                (
                    "SELECT * FROM runs",
                    "SELECT * FROM outbox",
                    "PRAGMA user_version",
                    "SELECT * FROM bookmarks",
                ),
            )
        )

    before = everything()
    outbox("sql", *form, statement)
    assert everything() == before


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.parametrize(
    "statement", ["DELETE FROM runs", "SELEC 1", "SELECT * FROM nothing", "SELECT json('{')"]
)
def test_what_sqlite_refuses_is_said_in_its_words(stored, outbox, statement, form):
    result = outbox("sql", *form, statement)
    assert (result.code, result.out) == (69, "")
    assert result.err.startswith("outbox: SQLite says: ")


def test_without_a_query_statements_come_from_a_pipe_and_a_wrong_one_stops_no_other(stored, outbox):
    result = outbox("sql", "--json", stdin="SELECT 1\nAS a;\nSELEC 2;\nSELECT 3 AS c")
    assert result.code == 0
    assert [json.loads(line) for line in result.out.splitlines()] == [{"a": 1}, {"c": 3}]
    assert "SQLite says: " in result.err


def test_a_damaged_database_is_damage_and_no_mistake_in_the_query(stored, outbox):
    outbox("vacuum")
    data = bytearray(stored.database.read_bytes())
    data[8192:] = b"\xff" * (len(data) - 8192)
    stored.database.write_bytes(data)
    result = outbox("sql", "SELECT * FROM outbox, bodies, batches, runs, agents")
    assert result.code == 65
    assert "is damaged" in result.err


def test_what_goes_into_a_file_is_utf_8_whatever_the_machine_speaks(agent):
    result = agent.run(
        "sql", "SELECT 'Jyväskylä 21 °C'", env={"PYTHONIOENCODING": "cp437", "PYTHONUTF8": "0"}
    )
    assert result.code == 0
    assert "Jyväskylä 21 °C" in result.out


@pytest.fixture
def terminal(monkeypatch):
    """terminal(60) makes this process's stdout a terminal of so many columns."""

    def terminal(columns):
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    return terminal


WIDE = "SELECT 'weather' AS source, 150 AS records, 'sent' AS status, '2026-11-27T04:26:05Z' AS sent_at"


def test_a_table_that_fits_the_terminal_stands_side_by_side(stored, outbox, terminal):
    terminal(80)
    assert outbox("sql", WIDE).out.splitlines() == [
        "source   records  status  sent_at",
        "-------  -------  ------  --------------------",
        "weather      150  sent    2026-11-27T04:26:05Z",
    ]


def test_on_a_narrow_terminal_no_cell_is_broken(stored, outbox, terminal):
    terminal(40)
    assert outbox("sql", f"{WIDE} UNION ALL SELECT 'x', -11.3, 'sealed', NULL").out.splitlines() == [
        "source   weather",
        "records  150",
        "status   sent",
        "sent_at  2026-11-27T04:26:05Z",
        "",
        "source   x",
        "records  -11.3",
        "status   sealed",
        "sent_at",
    ]


@pytest.mark.parametrize("columns", [20, 31, 40, 60, 79])
def test_a_long_value_goes_on_in_marked_lines_and_is_whole(stored, outbox, terminal, columns):
    terminal(columns)
    value = '{"a":-11.3,"b":1,"long":"eins zwei drei, 1,000,000 at 2026-11-27 04:26:05, file:///a/b"}' * 3
    lines = outbox("sql", f"SELECT '{value}' AS v").out.splitlines()
    assert max(map(len, lines)) <= columns
    assert lines[0].startswith("v  ")
    assert {line[:3] for line in lines[1:]} == {" > "}
    pieces = [line[3:] for line in lines]
    assert "".join(pieces).replace(" ", "") == value.replace(" ", "")
    if columns >= 40:
        assert all("-11.3" in piece for piece in pieces if "-11." in piece or "1.3" in piece)
        assert all("1,000,000" in piece for piece in pieces if "1,0" in piece or "000" in piece)


def test_a_value_longer_than_any_line_is_cut_and_marked(stored, outbox, terminal):
    terminal(30)
    assert outbox("sql", "SELECT replace(printf('%040d', 7), '0', '1') AS number").out.splitlines() == [
        "number  1111111111111111111111",
        "      > 111111111111111117",
    ]


def test_what_would_steer_the_terminal_is_shown_escaped(stored, outbox, terminal):
    terminal(80)
    assert (
        "\\x1b[31m\\nb\\tc"
        in outbox("sql", "SELECT char(27) || '[31m' || char(10) || 'b' || char(9) || 'c'").out
    )


def test_in_a_pipe_rows_are_separated_by_tabs_and_say_exactly_what_is_there(stored, outbox):
    result = outbox(
        "sql", r"SELECT 'a' || char(9) || 'b' || char(10) || 'c\n' AS x, NULL AS y, '' AS z, 1.5 AS n"
    )
    assert result.out == "x\ty\tz\tn\n" + r"a\tb\nc\\n" + "\t" + r"\N" + "\t\t1.5\n"


def test_csv_quotes_what_has_to_be_quoted(stored, outbox):
    result = outbox("sql", "--csv", "SELECT 'a,\"b\"' AS x, char(10) AS y, NULL AS z, 7 AS n")
    assert result.out == 'x,y,z,n\n"a,""b""","\n",,7\n'


def test_no_rows_have_their_columns_names_and_each_statement_its_own(stored, outbox):
    assert outbox("sql", "SELECT 1 AS a WHERE 0; SELECT 2 AS b, 3 AS c").out == "a\nb\tc\n2\t3\n"


def test_a_long_answer_is_shown_by_the_page(stored, outbox, monkeypatch, terminal):
    monkeypatch.setattr("outbox.cli.commands.sql.PAGE_ROWS", 2)
    terminal(80)
    found = outbox("sql", "SELECT value AS v FROM json_each('[1,2,3,40000]')").out.split()
    assert [word for word in found if word.isdigit()] == ["1", "2", "3", "40000"]
    assert outbox("sql", "--csv", "SELECT value AS v FROM json_each('[1,2,3,4]')").out == "v\n1\n2\n3\n4\n"


def test_the_prompt_knows_its_own_words(stored, outbox):
    result = outbox("sql", stdin=".tables\nhelp\n.nothing\nSELECT 1 AS a;\n.quit\nSELECT 2;\n")
    assert result.code == 0
    assert "problems\tview\n" in result.out
    assert result.out.endswith("a\n1\n")
    assert "A query in SQL, ended with ;" in result.err
    assert ".nothing is not known here" in result.err


def test_csv_and_json_exclude_each_other(stored, outbox):
    assert outbox("sql", "--csv", "--json", "SELECT 1").code == 2
