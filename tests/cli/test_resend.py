"""resend: an object that vanished from the store is put again, the very same, and nothing else."""

import re
import sqlite3
from contextlib import closing

import pytest

from tests.cli.test_audit import lines_of, paths, send
from tests.cli.test_check_destination import on_s3
from tests.support.s3_faults import refusal, serving, stored

__all__ = ["on_s3"]  # the fixture


@pytest.fixture
def sent(agent):
    """Sequences 1 to 6 in three objects."""
    send(agent, *range(6))
    return agent


def runs(agent):
    return agent.query("SELECT exit_code, objects, sent FROM runs WHERE command = 'resend' ORDER BY id")


def batches(agent):
    return agent.query("SELECT * FROM batches ORDER BY id")


def prune(agent, first=3, last=4):
    with closing(sqlite3.connect(agent.database)) as other, other:
        other.execute("DELETE FROM bodies WHERE sequence BETWEEN ? AND ?", (first, last))


def test_what_audit_names_as_the_cure_is_the_cure(sent, outbox):
    path = paths(sent)[1]
    before, rows = path.read_bytes(), batches(sent)
    path.unlink()
    found = outbox("audit", "--store")
    assert found.code == 65
    (cure,) = re.findall(r"What to do: outbox (resend 2)\.", found.out)
    result = outbox(*cure.split())
    assert (result.code, result.out) == (0, "")
    assert result.err.startswith("Sent batch 2 again, 2 records: file://")
    assert path.read_bytes() == before
    assert batches(sent) == rows
    assert runs(sent) == [(0, 1, 0)]
    assert outbox("audit", "--store", "--deep").code == 0
    assert "sent again: " in (sent.folder / "logs" / "upload.log").read_text("utf-8")


@pytest.mark.parametrize("form", ["{id}", "{key}", "{store}/{key}"])
def test_the_batch_is_named_by_number_key_or_address(sent, outbox, form):
    path = paths(sent)[0]
    key, store = path.relative_to(sent.objects).as_posix(), sent.objects.as_uri()
    before = path.read_bytes()
    path.unlink()
    assert outbox("resend", form.format(id=1, key=key, store=store)).code == 0
    assert path.read_bytes() == before


def test_an_object_that_is_there_is_said_and_left_alone(sent, outbox):
    path = paths(sent)[1]
    path.write_bytes(b"theirs")
    result = outbox("resend", "2")
    assert result.code == 0
    assert "Batch 2 is there already, nothing was sent: " in result.err
    assert path.read_bytes() == b"theirs"
    assert runs(sent) == [(0, 0, 0)]


def test_what_was_never_sent_is_refused(sent, outbox):
    for which in ("9", "data/nothing", "", "1 OR 1"):
        result = outbox("resend", which)
        assert result.code == 69
        assert f"no batch or object {which} was sent by this agent" in result.err
    with closing(sqlite3.connect(sent.database)) as other, other:
        (trigger,) = other.execute(
            "SELECT sql FROM sqlite_schema WHERE name = 'batches_stay_sent'"
        ).fetchone()
        other.execute("DROP TRIGGER batches_stay_sent")
        other.execute("UPDATE batches SET status = 'sealed', store = NULL, sent_at = NULL WHERE id = 3")
        other.execute(trigger)
    result = outbox("resend", "3")
    assert (result.code, "Hint: outbox upload" in result.err) == (69, True)
    assert runs(sent) == []


def test_without_its_texts_it_is_refused_and_audit_names_no_cure_that_is_none(sent, outbox):
    path = paths(sent)[1]
    path.unlink()
    prune(sent, 4, 4)
    found = outbox("audit", "--store").out
    assert "Its texts are no longer kept here: take it from the store's older versions" in found
    assert "outbox resend" not in found
    result = outbox("resend", "2")
    assert result.code == 69
    assert (
        "the texts of batch 2 are no longer kept (1 of 2): they are deleted once [upload] keep_sent"
        in result.err
    )
    assert not path.exists()
    assert runs(sent) == []


def test_texts_that_were_altered_are_not_sent(sent, outbox):
    path = paths(sent)[1]
    path.unlink()
    with closing(sqlite3.connect(sent.database)) as other, other:
        (trigger,) = other.execute(
            "SELECT sql FROM sqlite_schema WHERE name = 'bodies_are_immutable'"
        ).fetchone()
        other.execute("DROP TRIGGER bodies_are_immutable")
        other.execute("UPDATE bodies SET body = replace(body, '1.5', '2.5') WHERE sequence = 3")
        other.execute(trigger)
    result = outbox("resend", "2")
    assert result.code == 65
    assert "no longer matches its seal" in result.err
    assert not path.exists()


def test_a_batch_is_put_only_where_it_was(sent, outbox):
    elsewhere = sent.folder / "elsewhere"
    elsewhere.mkdir()
    paths(sent)[1].unlink()
    was = sent.objects.as_uri()
    sent.configure(to=elsewhere.as_uri())
    result = outbox("resend", "2")
    assert result.code == 69
    assert f"batch 2 was sent to {was}, and [upload] to is {elsewhere.as_uri()}" in result.err
    assert f"Hint: to put it where it was, name in --config a copy of it with to = {was}" in result.err
    assert list(elsewhere.iterdir()) == []


def test_a_store_that_cannot_be_written_is_said_and_kept_in_runs(sent, outbox):
    path = paths(sent)[1]
    before = lines_of(path)
    path.unlink()
    sent.objects.rename(sent.folder / "away")
    result = outbox("resend", "2")
    assert (result.code, "Hint: " in result.err) == (69, True)
    assert runs(sent) == [(69, 0, 0)]
    (sent.folder / "away").rename(sent.objects)
    assert outbox("resend", "2").code == 0
    assert lines_of(path) == before


def test_on_s3_it_is_the_same_conditional_put(agent, outbox, on_s3):
    with serving(stored()) as s3:
        on_s3(s3.url)
        send_to_s3 = outbox("collect", "agent"), outbox("upload")
        assert [result.code for result in send_to_s3] == [0, 0]
        (first,) = s3.requests
        assert outbox("resend", "1").code == 0
        _, again = s3.requests
    assert (again.method, again.path, again.body) == ("PUT", first.path, first.body)
    assert again.headers["if-none-match"] == "*"
    assert again.headers["x-amz-checksum-sha256"] == first.headers["x-amz-checksum-sha256"]
    with serving(refusal(412, "PreconditionFailed")) as s3:
        agent.configure(
            to="s3://b/raw",
            region="eu-north-1",
            endpoint_url=s3.url,
            path_style="yes",
            credentials="file:secrets/aws",
        )
        result = outbox("resend", "1")
    assert (result.code, "is there already, nothing was sent: s3://b/raw/data/" in result.err) == (0, True)
