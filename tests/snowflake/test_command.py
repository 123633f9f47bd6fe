"""outbox snowflake: what is printed can be pasted, and is refused where it could not."""

import pytest
import sqlglot

from outbox import snowflake
from tests.cli.test_init import store_one
from tests.snowflake.stand_in import VALUES, statements

GIVEN = [
    "--to", VALUES["to"], "--role-arn", VALUES["role_arn"], "--mail", VALUES["mail"], "--time-travel-days", "14",
]  # fmt: skip
PARTS = snowflake.parts()


def test_the_whole_script_is_every_part_in_order_and_no_recipe(outbox):
    result = outbox("snowflake", *GIVEN)
    assert result.code == 0
    parts = [part for part in PARTS.values() if part.in_script]
    assert [part.name for part in parts] == [
        "database", "storage", "landing", "lines", "records", "completeness", "fleet", "problems",
    ]  # fmt: skip
    assert result.out == "\n".join(snowflake.fill(part.text, VALUES) for part in parts)
    assert "<%" not in result.out


def test_stdout_is_sql_and_talk_is_on_stderr(outbox):
    result = outbox("snowflake", *GIVEN)
    assert len([sqlglot.parse_one(each, read="snowflake") for each in statements(result.out)]) > 50
    assert "Paste it" in result.err
    assert "SHOW PIPES LIKE 'landing_pipe' IN SCHEMA OUTBOX.CORE" in result.err
    storage = outbox("snowflake", "--part", "storage", "--database", "RAW", *GIVEN)
    assert "DESC INTEGRATION RAW_BUCKET" in storage.err


@pytest.mark.parametrize("name", [name for name, part in PARTS.items() if part.in_script])
def test_one_part_is_that_part(outbox, name):
    result = outbox("snowflake", "--part", name, *GIVEN)
    assert (result.code, result.out) == (0, snowflake.fill(PARTS[name].text, VALUES))


def test_every_part_is_named_in_the_help_and_on_a_wrong_name(outbox):
    shown = outbox("snowflake", "--help").out
    wrong = outbox("snowflake", "--part", "nonsense")
    assert (wrong.code, wrong.out) == (2, "")
    for name in PARTS:
        assert name in shown
        assert name in wrong.err


def test_everything_that_is_missing_is_named_at_once_and_nothing_is_printed(outbox):
    result = outbox("snowflake")
    assert (result.code, result.out) == (2, "")
    for option in ("--to", "--role-arn", "--mail"):
        assert option in result.err


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--customer", "a' OR '1'='1"),
        ("--database", "x;y"),
        ("--schema", "1X"),
        ("--to", "s3://b/'"),
    ],
)
def test_a_value_that_could_be_sql_is_refused(outbox, option, value):
    good = {"--to": VALUES["to"], "--customer": "acme"}
    given = [word for pair in (good | {option: value}).items() for word in pair]
    result = outbox("snowflake", "--part", "erase", *given)
    assert (result.code, result.out) == (2, "")
    assert option in result.err


def test_the_destination_is_the_configurations_when_nobody_says_another(agent, outbox):
    agent.configure(to="s3://from-config/raw")
    result = outbox("snowflake", "--part", "storage", "--role-arn", VALUES["role_arn"])
    assert "URL = 's3://from-config/raw/data/'" in result.out
    result = outbox("snowflake", "--part", "storage", *GIVEN)
    assert f"URL = '{VALUES['to']}/data/'" in result.out


def test_a_configuration_that_was_named_and_is_not_there_is_an_error(outbox, tmp_path):
    result = outbox("snowflake", "--part", "storage", "--config", tmp_path / "none.ini")
    assert (result.code, result.out) == (78, "")


def test_arrived_asks_for_this_agent_and_what_it_has_sent(agent, outbox):
    agent.configure()
    nothing = outbox("snowflake", "--part", "arrived")
    assert (nothing.code, "0 AS sent_to" in nothing.out) == (0, True)
    store_one(agent.folder, seal=False)
    assert outbox("upload").code == 0
    ((agent_id,),) = agent.query("SELECT agent_id FROM agents")
    result = outbox("snowflake", "--part", "arrived")
    assert f"'{agent_id}' AS agent_id" in result.out
    assert "1 AS sent_to" in result.out
    assert "'acme' AS customer, 'helsinki' AS site" in result.out


def test_arrived_for_another_agent_takes_nothing_of_this_one(agent, outbox):
    agent.configure()
    result = outbox("snowflake", "--part", "arrived", "--customer", "bolt")
    assert (result.code, result.out) == (2, "")
    assert "--agent-id" in result.err


def test_erase_of_an_entity_names_it_as_one_literal(outbox):
    result = outbox(
        "snowflake", "--part", "erase", "--customer", "acme", "--entity", "O'Brien", "--to", VALUES["to"]
    )
    assert result.out.count("'O''Brien'") == 6
    assert "'O'Brien'" not in result.out
    whole = outbox("snowflake", "--part", "erase", "--customer", "acme", "--to", VALUES["to"])
    assert "(NULL IS NULL OR entity = NULL)" in whole.out
