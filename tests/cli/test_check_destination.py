"""check, as far as it leaves the machine: the trial object, the credentials' rights, the server's clock."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from outbox.errors import PermanentError
from outbox.object_name import is_trial
from tests.aws.cloud import BUCKET, PREFIX, REGION, deployed
from tests.cli.test_check import states
from tests.cli.test_init import store_one
from tests.support.s3_faults import DROP, page, refusal, serving, stored
from uploader.trial import trial_key, try_directory

KEY_ID, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMIK7MDENGbPxRfiCY"
NOBODY_LISTENS = "http://127.0.0.1:9"


@pytest.fixture
def on_s3(agent, outbox):
    """Point the agent at an S3 and give it a key."""

    def configure(url, key_id=KEY_ID, secret=SECRET, to="s3://b/raw", **more):
        options = {
            "region": REGION,
            "endpoint_url": url,
            "path_style": "yes",
            "credentials": "file:secrets/aws",
        }
        agent.configure(to=to, **{**options, **more})
        assert outbox("secret", "set", "aws", stdin=f"{key_id}\n{secret}\n").code == 0

    return configure


def said(result, name):
    """What the report says under a name, on one line."""
    found = re.search(rf"(?m)^(?:ok|WARNING|FAILED) +{name} +(.*(?:\n {{9}}.*)*)", result.out)
    return " ".join(found[1].split()) if found else None


# A directory


def test_a_directory_takes_a_trial_object_and_keeps_none(agent, outbox):
    result = outbox("check")
    assert said(result, "destination") == f"{agent.objects.as_uri()} took a trial object, removed again"
    assert (agent.objects / "check" / "customer=acme").is_dir()
    assert [path for path in agent.objects.rglob("*") if path.is_file()] == []


def test_a_directory_that_refuses_writes_is_found_by_writing(agent, outbox):
    (agent.objects / "check").write_text("a file where a folder should be", encoding="utf-8")
    result = outbox("check")
    assert (result.code, states(result)["destination"]) == (69, "FAILED")
    assert "cannot write below" in said(result, "destination")


def test_a_trial_object_that_may_not_be_removed_is_no_failure(tmp_path, monkeypatch):
    key = trial_key("acme", "x")
    unlink = Path.unlink

    def refuse(path, **options):
        if path.name == "x":
            raise PermissionError
        unlink(path, **options)

    monkeypatch.setattr(Path, "unlink", refuse)
    assert try_directory(tmp_path.as_uri(), key, b"trial") is False
    assert (tmp_path / key).read_bytes() == b"trial"
    with pytest.raises(PermanentError):
        try_directory((tmp_path / "absent").as_uri(), key, b"trial")


def test_offline_nothing_leaves_the_machine(agent, outbox, on_s3):
    assert outbox("check", "--offline").code == 0
    assert list(agent.objects.iterdir()) == []
    with serving(stored()) as s3:
        on_s3(s3.url)
        result = outbox("check", "--offline")
        assert (result.code, s3.requests) == (0, [])
    assert said(result, "destination") == "s3://b/raw, key AKIA…MPLE; not contacted"
    assert "credentials" not in states(result)


# What leaves the machine


def test_only_trial_objects_are_put_read_and_listed(outbox, on_s3):
    with serving(stored()) as s3:
        on_s3(s3.url)
        outbox("check")
        for request in s3.requests:
            path, _, query = request.path.partition("?")
            if request.method == "GET" and "list-type" in query:
                assert path == "/b"
                assert "prefix=raw%2Fcheck%2Fcustomer%3Dacme%2F" in query
            else:
                assert path.startswith("/b/raw/check/customer")
                assert is_trial(path.replace("%3D", "="))
        first, *others = [request for request in s3.requests if request.method == "PUT"]
        assert re.fullmatch(rb"\S+Z outbox \S+: a trial, loaded by nobody\n", first.body)
        assert first.headers["if-none-match"] == "*"
        assert {request.body for request in others} == {first.body}


def test_two_checks_put_two_objects(outbox, on_s3):
    with serving(stored()) as s3:
        on_s3(s3.url)
        outbox("check")
        outbox("check")
        puts = [r.path for r in s3.requests if r.method == "PUT" and "if-none-match" in r.headers]
        assert len(set(puts)) == len(puts) == 4  # its own, and one that is nobody's


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (refusal(403, "InvalidAccessKeyId"), 69),
        (refusal(403, "SignatureDoesNotMatch"), 69),
        (refusal(403, "AccessDenied"), 69),
        (refusal(404, "NoSuchBucket"), 69),
        (refusal(403, "RequestTimeTooSkewed"), 69),
        (refusal(301, "PermanentRedirect"), 69),
        (page(200), 69),
        (page(403), 69),
        (refusal(503, "SlowDown"), 75),
        (DROP, 75),
    ],
    ids=lambda value: None,
)
def test_a_refusal_is_told_in_the_words_of_the_upload_and_ends_with_its_code(
    agent, outbox, on_s3, answer, code
):
    with serving(answer) as s3:
        on_s3(s3.url, disk_floor="1MB\nrun_limit = 0s")
        checked = outbox("check")
        store_one(agent.folder, seal=True)
        uploaded = outbox("upload")
    assert (checked.code, states(checked)["destination"]) == (code, "FAILED")
    assert uploaded.code == code
    assert said(checked, "destination") in " ".join(uploaded.err.split())
    assert not {"credentials", "clock"} & set(states(checked))


def test_nobody_there_is_worth_waiting_for_and_says_so(outbox, on_s3):
    on_s3(NOBODY_LISTENS)
    result = outbox("check")
    assert (result.code, states(result)["destination"]) == (75, "FAILED")
    assert "127.0.0.1 cannot be reached. Nothing was lost Hint: is the way out open?" in said(
        result, "destination"
    )


def test_the_worst_finding_decides_the_code(agent, outbox, on_s3):
    on_s3(NOBODY_LISTENS, disk_floor="900TB")
    assert outbox("check").code == 73
    agent.database.write_bytes(b"\0" * 8192)
    assert outbox("check").code == 65


# The clock


@pytest.mark.parametrize(
    ("ahead", "state", "words"),
    [
        (timedelta(), "ok", "agrees with the server's"),
        (timedelta(minutes=2), "ok", "2 min ahead of the server's"),
        (timedelta(minutes=-2), "ok", "behind the server's"),
        (timedelta(minutes=10), "WARNING", "10 min ahead of the server's Hint: set the clock"),
        (timedelta(hours=-3), "WARNING", "behind the server's Hint: set the clock"),
    ],
    ids=str,
)
def test_the_clock_is_held_against_the_servers(outbox, on_s3, ahead, state, words):
    def answer(request):
        date = format_datetime(datetime.now(UTC) - ahead, usegmt=True)
        return stored(Date=date)(request)

    with serving(answer) as s3:
        on_s3(s3.url)
        result = outbox("check")
    assert states(result)["clock"] == state
    assert words in said(result, "clock")
    assert result.code == 0


def test_without_a_date_nothing_is_said_about_the_clock(outbox, on_s3):
    with serving(stored()) as s3:
        on_s3(s3.url)
        assert "clock" not in states(outbox("check"))


# What the credentials may do


def test_a_store_that_does_not_know_an_operation_leaves_the_question_open(outbox, on_s3):
    with serving(stored(), refusal(501, "NotImplemented")) as s3:
        on_s3(s3.url)
        result = outbox("check")
    assert (result.code, states(result)["credentials"]) == (0, "WARNING")
    assert said(result, "credentials").startswith("AKIA…MPLE may put; what else it may do was not found out:")


def test_what_was_found_out_before_is_said(outbox, on_s3):
    denied = refusal(403, "AccessDenied")
    with serving(stored(), stored(), denied, denied, denied, refusal(501, "NotImplemented")) as s3:
        on_s3(s3.url)
        told = said(outbox("check"), "credentials")
    assert told.startswith("AKIA…MPLE may do more than put: read; what else it may do was not found out:")


class Account(NamedTuple):
    """An AWS account whose IAM is obeyed."""

    cloud: object
    configure: object

    def check_as(self, outbox, name):
        key = self.cloud.keys[name]
        self.configure(self.cloud.gate_url, key.key_id, key.secret, to=f"s3://{BUCKET}/{PREFIX}")
        return outbox("check")

    def objects(self):
        listed = self.cloud.admin().list_objects_v2(Bucket=BUCKET, Prefix=f"{PREFIX}/")
        return {item["Key"]: item["ETag"] for item in listed.get("Contents", [])}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with deployed(tmp_path_factory.mktemp("moto")) as account:
        yield account


@pytest.fixture
def account(cloud, on_s3):
    return Account(cloud, on_s3)


@pytest.mark.xdist_group("moto-iam")
def test_the_credentials_of_the_template_may_put_and_nothing_else(outbox, account):
    before = account.objects()
    result = account.check_as(outbox, "acme")
    shown = f"AKIA…{account.cloud.keys['acme'].key_id[-4:]}"
    assert said(result, "credentials") == f"{shown} may put, not read, list, overwrite or delete"
    assert states(result)["credentials"] == states(result)["clock"] == "ok"
    assert result.code == 0
    (made,) = set(account.objects()) - set(before)
    assert made.startswith("raw/check/customer=acme/")
    assert is_trial(made)


@pytest.mark.xdist_group("moto-iam")
def test_credentials_that_may_do_everything_are_a_warning_and_data_stays_as_it_is(outbox, account):
    data = f"{PREFIX}/data/customer=acme/site=helsinki/x.ndjson"
    account.cloud.admin().put_object(Bucket=BUCKET, Key=data, Body=b"data")
    before = account.objects()
    result = account.check_as(outbox, "admin")
    assert (result.code, states(result)["credentials"]) == (0, "WARNING")
    assert said(result, "credentials").endswith(
        "may do more than put: read, list, overwrite, put for other customers and delete "
        "Hint: head office gives it only what it needs: outbox aws --customer acme"
    )
    assert account.objects() == before


@pytest.mark.xdist_group("moto-iam")
@pytest.mark.parametrize(
    ("actions", "more"),
    [
        (["s3:PutObject", "s3:GetObject"], "read, overwrite and put for other customers"),
        (["s3:PutObject", "s3:ListBucket"], "list, overwrite and put for other customers"),
        (["s3:PutObject", "s3:DeleteObject"], "overwrite, put for other customers and delete"),
    ],
    ids=["read", "list", "delete"],
)
def test_what_is_too_much_is_named(outbox, account, actions, more):
    name = f"agent-{actions[1][3:]}"
    account.cloud.add_user(name, actions)
    result = account.check_as(outbox, name)
    assert states(result)["credentials"] == "WARNING"
    assert f"may do more than put: {more} Hint:" in said(result, "credentials")


@pytest.mark.xdist_group("moto-iam")
def test_another_customers_key_is_refused_here(outbox, account):
    result = account.check_as(outbox, "acme2")
    assert (result.code, states(result)["destination"]) == (69, "FAILED")
    assert "S3 says AccessDenied" in said(result, "destination")


@pytest.mark.xdist_group("moto-iam")
def test_a_store_without_conditional_puts_is_not_asked_about_overwriting(outbox, account):
    key = account.cloud.keys["admin"]
    account.configure(
        account.cloud.url, key.key_id, key.secret, to=f"s3://{BUCKET}/{PREFIX}", conditional="no"
    )
    assert "more than put: read, list, put for other customers and delete" in said(
        outbox("check"), "credentials"
    )
