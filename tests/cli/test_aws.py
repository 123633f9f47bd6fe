"""aws: templates filled in, what to do with them, and the line with which a customer's server begins."""

import shlex

import pytest
from cfnlint.decode.cfn_yaml import loads

from outbox.cli.commands.aws import stack_name
from tests.aws.template import CUSTOMER, LANDING

TO, REGION = "s3://example-landing/raw/v1", "eu-north-1"
WHERE = ("--to", TO, "--region", REGION)
ANCHOR = "arn:aws:rolesanywhere:eu-north-1:123456789012:trust-anchor/0b1c"


def defaults(text):
    return {name: given.get("Default") for name, given in loads(text)["Parameters"].items()}


def commands(result):
    """The pasteable lines of what was said."""
    return [line for line in result.err.splitlines() if line.startswith(("aws ", "outbox "))]


def option(command, name):
    words = shlex.split(command)
    return words[words.index(name) + 1]


def test_the_landing_template_is_filled_in_and_otherwise_as_it_was(outbox):
    result = outbox("aws", *WHERE)
    assert result.code == 0
    said, original = defaults(result.out), defaults(LANDING.read_text(encoding="utf-8"))
    assert said == original | {"BucketName": "example-landing", "Prefix": "raw/v1"}
    assert loads(result.out)["Resources"] == loads(LANDING.read_text(encoding="utf-8"))["Resources"]


def test_a_customers_part_is_filled_in_and_otherwise_as_it_was(outbox):
    result = outbox("aws", "--customer", "acme", *WHERE)
    said, original = defaults(result.out), defaults(CUSTOMER.read_text(encoding="utf-8"))
    assert said == original | {"BucketName": "example-landing", "Prefix": "raw/v1", "Customer": "acme"}
    assert said["Access"] == "key"


@pytest.mark.parametrize("customer", ["on", "null", "123", "1e5", "0x1f", "2026-11-23"])
def test_a_name_that_yaml_would_take_for_something_else_stays_a_name(outbox, customer):
    assert defaults(outbox("aws", "--customer", customer, *WHERE).out)["Customer"] == customer


def test_the_file_and_the_person_hear_what_to_do_the_init_line_last(outbox):
    result = outbox("aws", "--customer", "acme", "--site", "helsinki", "--site", "oulu", *WHERE)
    assert result.code == 0
    told = [line for line in result.out.splitlines() if line.startswith("# ")]
    assert (
        [line[2:] for line in told[-2:]]
        == commands(result)[-2:]
        == [
            f"outbox init --customer acme --site {site} --to {TO} --region {REGION}"
            for site in ("helsinki", "oulu")
        ]
    )
    assert result.out.splitlines()[-1] == told[-1]


def test_without_a_site_its_place_is_held_by_a_word_that_init_refuses(outbox, tmp_path):
    line = commands(outbox("aws", "--customer", "acme", *WHERE))[-1]
    program, *arguments = shlex.split(line)
    assert (program, arguments[0]) == ("outbox", "init")
    refused = outbox(*arguments, "--folder", str(tmp_path / "new"))
    assert refused.code == 78
    assert "'SITE' is no name here" in refused.err
    assert not (tmp_path / "new" / "outbox.db").exists()


def test_the_init_line_makes_an_agent_that_delivers_there(outbox, tmp_path):
    line = commands(outbox("aws", "--customer", "acme", "--site", "helsinki", *WHERE))[-1]
    made = outbox(*shlex.split(line)[1:], "--folder", str(tmp_path / "new"))
    assert made.code == 0
    text = (tmp_path / "new" / "config.ini").read_text(encoding="utf-8")
    for value in ("acme", "helsinki", TO, REGION):
        assert f"= {value}\n" in text


def test_the_commands_name_one_stack_one_file_and_the_region(outbox):
    for result, capability in (
        (outbox("aws", *WHERE), "CAPABILITY_NAMED_IAM"),
        (outbox("aws", "--customer", "acme_1", *WHERE), "CAPABILITY_IAM"),
    ):
        found = commands(result)
        stack = option(found[0], "--stack-name")
        assert option(found[0], "--template-file") == f"{stack}.yaml"
        assert option(found[0], "--capabilities") == capability
        assert f"as {stack}.yaml" in result.err
        assert {option(command, "--region") for command in found} == {REGION}


def test_the_metrics_are_those_that_the_customers_alarms_listen_to(outbox):
    result = outbox("aws", "--customer", "acme", *WHERE)
    (command,) = [line for line in commands(result) if " s3api " in line]
    alarm = loads(result.out)["Resources"]["BytesAlarm"]["Properties"]
    assert alarm["Dimensions"][1] == {"Name": "FilterId", "Value": {"Ref": "Customer"}}
    assert option(command, "--id") == "acme"
    wanted = "Id=acme,Filter={Prefix=raw/v1/data/customer=acme/}"
    assert option(command, "--metrics-configuration") == wanted


@pytest.mark.parametrize(
    ("output", "word"), [("RequestMetricsCommand", " s3api "), ("KeyCommand", " secretsmanager ")]
)
def test_the_stacks_outputs_say_the_same(outbox, output, word):
    result = outbox("aws", "--customer", "acme", *WHERE)
    (command,) = [line for line in commands(result) if word in line]
    filled = {
        "AWS::Region": REGION,
        "BucketName": "example-landing",
        "Prefix": "raw/v1",
        "Customer": "acme",
    }
    text = loads(result.out)["Outputs"][output]["Value"]["Fn::Sub"]
    for name, value in filled.items():
        text = text.replace(f"${{{name}}}", value)
    assert text == command


def test_the_key_is_fetched_from_where_the_template_keeps_it(outbox):
    result = outbox("aws", "--customer", "acme", *WHERE)
    (command,) = [line for line in commands(result) if " secretsmanager " in line]
    kept = loads(result.out)["Resources"]["AgentKeySecret"]["Properties"]["Name"]["Fn::Sub"]
    assert option(command, "--secret-id") == kept.replace("${BucketName}", "example-landing").replace(
        "${Customer}", "acme"
    )


def test_with_a_trust_anchor_no_key_is_made_or_fetched(outbox):
    result = outbox("aws", "--customer", "acme", "--trust-anchor", ANCHOR, *WHERE)
    said = defaults(result.out)
    assert (said["Access"], said["TrustAnchorArn"]) == ("roles-anywhere", ANCHOR)
    assert "get-secret-value" not in result.err
    assert "credentials = profile:NAME" in result.err


def test_what_is_not_said_comes_from_the_configuration(outbox, agent):
    agent.configure(to=TO, region=REGION)
    assert outbox("aws", "--customer", "acme") == outbox("aws", "--customer", "acme", *WHERE)
    other = outbox("aws", "--to", "s3://another/x")
    assert defaults(other.out)["BucketName"] == "another"
    assert option(commands(other)[0], "--region") == REGION


def test_a_broken_configuration_is_not_looked_at_where_everything_is_said(outbox, agent):
    agent.config.write_text("nonsense", encoding="utf-8")
    assert outbox("aws", *WHERE).code == 0
    assert outbox("aws").code == 78


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "--to"),
        (("--to", TO), 2, "--region"),
        (("--customer", "Acme", *WHERE), 2, "is no name here"),
        (("--customer", "a/b", *WHERE), 2, "is no name here"),
        (("--customer", "a*", *WHERE), 2, "is no name here"),
        (("--customer", "acme", "--site", "Å", *WHERE), 2, "is no name here"),
        (("--site", "helsinki", *WHERE), 2, "belongs to a customer"),
        (("--trust-anchor", ANCHOR, *WHERE), 2, "belongs to a customer"),
        (("--customer", "acme", "--trust-anchor", "arn:x", *WHERE), 2, "TrustAnchorArn"),
        (("--to", "s3://example.dots/raw", "--region", REGION), 2, "BucketName"),
        (("--to", "s3://example-landing/raw*", "--region", REGION), 2, "Prefix"),
        (("--to", "https://example-landing/raw", "--region", REGION), 2, "is not a destination"),
        (("--to", TO, "--region", "eu-north-1; rm"), 2, "is no region"),
        (("--to", "s3://example-landing", "--region", REGION), 78, "--to s3://bucket/prefix"),
        (("--to", "file:///objects", "--region", REGION), 78, "--to s3://bucket/prefix"),
    ],
)
def test_what_cannot_be_deployed_is_refused_and_nothing_is_printed(outbox, arguments, code, said):
    result = outbox("aws", *arguments)
    assert (result.code, result.out) == (code, "")
    assert said in " ".join(result.err.split())


def test_stacks_have_names_that_cloudformation_takes_and_no_two_customers_share():
    customers = ["acme", "ac-me", "ac_me", "a" * 63, "a" * 62 + "_", "a" * 62 + "b"]
    for bucket in ("example-landing", "b" * 63):
        names = [stack_name(bucket, customer) for customer in [None, *customers]]
        assert len(set(names)) == len(names)
        for name in names:
            assert len(name) <= 128
            assert name.replace("-", "").isalnum()
            assert name[0].isalpha()
