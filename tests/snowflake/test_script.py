"""The script as text: it parses in Snowflake's language, can be run again, and says what it is."""

import re

import pytest
import sqlglot
from sqlglot import exp

from outbox import snowflake
from tests.snowflake.stand_in import VALUES, Warehouse, bare, body, statements
from tests.snowflake.world import START, days_of, landed

RECIPE_VALUES = VALUES | {
    "customer": "acme",
    "site": "helsinki",
    "agent_id": "0123456789abcdef-000000000001",
    "entity": "O'Brien's \\ yard",
    "first_sequence": "5",
    "last_sequence": "9",
    "day": "2026-11-23",
    "file": "customer=acme/site=helsinki/agent=a/date=2026-11-23/1-5-0123456789abcdef.ndjson.zst",
}
PARTS = snowflake.parts()
STATEMENTS = [
    (f"{part.name} {number}", statement)
    for part in PARTS.values()
    for number, statement in enumerate(statements(snowflake.fill(part.text, RECIPE_VALUES)), 1)
]
AS_A_WHOLE = (
    "CREATE ROLE", "GRANT ROLE", "GRANT OWNERSHIP", "GRANT SELECT ON FUTURE", "CREATE PIPE", "CREATE STREAM",
    "CREATE OR REPLACE STREAM", "CREATE OR REPLACE TASK", "CREATE OR REPLACE ALERT", "CREATE NOTIFICATION INTEGRATION",
    "ALTER STORAGE INTEGRATION", "ALTER NOTIFICATION INTEGRATION",
    "ALTER TASK", "ALTER ALERT", "ALTER PIPE", "ALTER DYNAMIC TABLE", "EXECUTE TASK", "LIST",
)  # fmt: skip
"""What sqlglot knows no more of than that it begins so; bodies are parsed on their own."""
KEPT = ("ROLE", "WAREHOUSE", "DATABASE", "SCHEMA", "STORAGE INTEGRATION", "NOTIFICATION INTEGRATION", "FILE FORMAT",
        "STAGE", "TABLE", "PIPE", "STREAM")  # fmt: skip
"""What would lose data, a place or an id if it were made anew."""


@pytest.mark.parametrize("statement", [text for _, text in STATEMENTS], ids=[name for name, _ in STATEMENTS])
def test_a_statement_parses_in_snowflakes_language(statement):
    tree = sqlglot.parse_one(statement, read="snowflake")
    if isinstance(tree, exp.Command):
        assert bare(statement).startswith(AS_A_WHOLE)
    assert "<%" not in statement


@pytest.mark.parametrize("statement", [text for _, text in STATEMENTS], ids=[name for name, _ in STATEMENTS])
def test_its_parentheses_and_quotation_marks_are_closed(statement):
    """sqlglot accepts some statements without their last parenthesis."""
    code = re.sub(r"--[^\n]*|'(?:[^'\\]|''|\\.)*'", "", statement, flags=re.DOTALL)
    assert "'" not in code
    depth = 0
    for character in code:
        depth += {"(": 1, ")": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0


BODIES = [
    (name, text) for name, text in STATEMENTS if re.match(r"CREATE (OR REPLACE )?(PIPE|TASK)", bare(text))
]


@pytest.mark.parametrize("statement", [text for _, text in BODIES], ids=[name for name, _ in BODIES])
def test_the_body_of_a_pipe_or_task_parses_on_its_own(statement):
    tree = sqlglot.parse_one(body(statement), read="snowflake")
    assert isinstance(tree, exp.Copy | exp.Insert | exp.Delete)


def test_there_are_a_pipe_and_two_tasks():
    assert len(BODIES) == 3


def test_the_statements_of_the_procedure_parse_on_their_own():
    (text,) = (text for _, text in STATEMENTS if bare(text).startswith("CREATE OR REPLACE PROCEDURE"))
    inner = text.split("$$")[1].partition("BEGIN\n")[2].rpartition("END;")[0]
    found = [
        sqlglot.parse_one(each, read="snowflake") for each in statements(inner.replace("INTO :body", ""))
    ]
    kinds = [type(each) for each in found if not isinstance(each, exp.Command | exp.Transaction | exp.Commit)]
    assert kinds[:2] == [exp.Insert, exp.Select]


@pytest.mark.parametrize("part", PARTS.values(), ids=list(PARTS))
def test_a_part_says_what_it_makes_and_which_role_it_needs(part):
    first, second = part.text.splitlines()[:2]
    assert first.startswith(f"-- {part.name}: ")
    assert part.about.endswith((".", "?"))
    assert second.startswith("-- Role: ")
    if part.in_script:
        assert "be run again" in part.text.partition("\n\n")[0].partition("USE")[0]


def test_the_script_may_be_run_again_and_replaces_nothing_that_holds_something():
    made = [bare(text) for name, text in STATEMENTS if PARTS[name.split()[0]].in_script]
    kinds = "|".join([*KEPT, "VIEW", "DYNAMIC TABLE", "TASK", "PROCEDURE", "ALERT"])
    for statement in (text for text in made if text.startswith("CREATE")):
        kind = re.match(rf"CREATE (OR REPLACE )?({kinds}) (IF NOT EXISTS )?", statement)
        assert kind, statement
        assert bool(kind[1]) is not bool(kind[3]), statement
        assert bool(kind[3]) is (kind[2] in KEPT), statement


def test_run_again_it_keeps_what_landed(world):
    with world.agent() as sender:
        days_of(world, {sender: ("Helsinki", "Turku")}, days=1)
    warehouse = landed(world.objects, world.clock())
    before = warehouse.query("SELECT * FROM completeness")
    lines = warehouse.query("SELECT COUNT(*) AS n FROM lines")
    warehouse.make()
    warehouse.refresh()
    assert warehouse.query("SELECT * FROM completeness") == before
    assert warehouse.query("SELECT COUNT(*) AS n FROM lines") == lines != [{"n": 0}]


def test_an_empty_warehouse_answers_every_view():
    warehouse = Warehouse(START)
    views = warehouse.query("SELECT view_name FROM duckdb_views() WHERE NOT internal")
    assert len(views) > 15
    for row in views:
        assert warehouse.query(f"SELECT * FROM {row['view_name']}") == []


def test_nothing_that_a_stranger_may_write_stands_in_a_comment():
    """A line's end in it would end the comment, and the rest would be run."""
    quoted = {name for name, rule in snowflake.RULES.items() if rule.quoted}
    for part in PARTS.values():
        for line in part.text.splitlines():
            comment = line.partition("--")[2]
            assert not quoted & set(snowflake.PLACEHOLDER.findall(comment))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("customer", "acme' OR '1'='1"),
        ("customer", "Acme"),
        ("customer", "acme\n"),
        ("customer", ""),
        ("site", "../x"),
        ("agent_id", "0123456789abcdef-1"),
        ("database", "A; DROP DATABASE B"),
        ("schema", "1X"),
        ("warehouse", '"x"'),
        ("to", "s3://bucket/raw'"),
        ("to", "s3://bucket/a=b"),
        ("to", "https://bucket/raw"),
        ("to", "s3://bucket/raw/../x y"),
        ("role_arn", "arn:aws:iam::123:role/x"),
        ("mail", "a@b"),
        ("mail", "a'@example.com"),
        ("mail", "a@example.com\n"),
        ("day", "2026-13-01"),
        ("day", "2026-11-23'"),
        ("first_sequence", "-1"),
        ("last_sequence", "1 OR 1"),
        ("time_travel_days", "91"),
        ("time_travel_days", "0"),
        ("lag_s", "59"),
        ("lag_s", "100000"),
        ("file", "customer=x' -- "),
        ("entity", "x" * 1_001),
        ("entity", ""),
        ("entity", "a\0b"),
    ],
)
def test_a_value_that_is_not_as_it_must_be_is_refused(name, value):
    with pytest.raises(ValueError, match="is not"):
        snowflake.checked(name, value)


@pytest.mark.parametrize(
    "entity", ["O'Brien", "a\\", "\\'; DROP TABLE lines; --", "--", "a\nb", "°C <% to %>", "''"]
)
def test_any_text_becomes_one_literal_that_says_the_same(entity):
    literal = snowflake.checked("entity", entity)
    tree = sqlglot.parse_one(f"SELECT {literal}", read="snowflake")
    assert [found.this for found in tree.find_all(exp.Literal)] == [entity]
    filled = snowflake.fill("SELECT <% entity %>", {"entity": entity})
    assert filled == f"SELECT {literal}"


RESERVED = frozenset(
    re.findall(
        r"\w+",
        """
    ACCOUNT ALL ALTER AND ANY AS BETWEEN BY CASE CAST CHECK COLUMN CONNECT CONNECTION CONSTRAINT CREATE
    CROSS CURRENT CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER DATABASE DELETE DISTINCT DROP
    ELSE EXISTS FALSE FOLLOWING FOR FROM FULL GRANT GROUP GSCLUSTER HAVING ILIKE IN INCREMENT INNER
    INSERT INTERSECT INTO IS ISSUE JOIN LATERAL LEFT LIKE LOCALTIME LOCALTIMESTAMP MINUS NATURAL NOT NULL
    OF ON OR ORDER ORGANIZATION QUALIFY REGEXP REVOKE RIGHT RLIKE ROW ROWS SAMPLE SCHEMA SELECT SET SOME
    START TABLE TABLESAMPLE THEN TO TRIGGER TRUE TRY_CAST UNION UNIQUE UPDATE USING VALUES VIEW WHEN
    WHENEVER WHERE WITH
        """,
    )
)


@pytest.mark.parametrize("statement", [text for _, text in STATEMENTS], ids=[name for name, _ in STATEMENTS])
def test_no_reserved_word_is_a_name(statement):
    """As an alias or a step of a path such a word needs quotation marks."""
    code = re.sub(r"--[^\n]*|'(?:[^'\\]|''|\\.)*'", "", statement)
    query = body(statement) if bare(statement).startswith("CREATE OR REPLACE TASK") else code
    named = re.findall(r"(?<=\w):(\w+)", code) + re.findall(r"[)\w] AS (\w+)(?=[,\n)])", query)
    types = {"VARCHAR", "NUMBER", "DOUBLE", "DATE", "TIMESTAMP_NTZ"}
    assert not {name.upper() for name in named} - types & RESERVED


@pytest.mark.parametrize("statement", [text for _, text in STATEMENTS], ids=[name for name, _ in STATEMENTS])
def test_a_path_in_the_stage_is_quoted_since_it_holds_more_than_letters(statement):
    assert all(quote == "'@" for quote in re.findall(r"(?:.)@(?=bucket/)", statement))
