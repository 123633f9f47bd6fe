"""outbox audit: clean agents, sabotaged stores, and buckets alone; a sentence each, and the exit code."""

import hashlib
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest

from outbox.database import Database
from outbox.delivery import Delivery, Limits
from outbox.object_name import ObjectName
from outbox.retry import Retry
from tests.support.agent import Agent as Sides
from tests.support.agent import Clock, record
from tests.support.s3_faults import refusal, serving
from uploader.compression import compress, decompress
from uploader.directory import DirectoryStore
from uploader.upload import Upload


def send(agent, *numbers, size=2):
    """Collect records and upload them as `upload` does, two to an object."""
    clock = Clock()
    with Database.open(agent.database) as database:
        sides = Sides(database, clock)
        if numbers:
            sides.collect(*[record(number) for number in numbers])
        Upload(
            Delivery(database, now=clock),
            DirectoryStore(agent.objects.as_uri()),
            retry=Retry(attempts=1),
            limits=Limits(size, 10**6),
            encoding="zstd",
            parallel=2,
            run_id=sides.run_id,
        )()


@pytest.fixture
def sent(agent):
    """Sequences 1 to 6 in three objects."""
    send(agent, *range(6))
    return agent


def paths(agent):
    return sorted(agent.objects.rglob("*.ndjson.zst"), key=lambda path: path.name)


def name_of(agent, path):
    return ObjectName.parse(path.relative_to(agent.objects).as_posix())


def put(agent, name, lines):
    """Leave an object whose name tells the truth about its lines' digest."""
    name = name._replace(digest=hashlib.sha256(lines).hexdigest()[:16])
    path = agent.objects / name.key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(compress(lines, name.encoding))


def lines_of(path):
    return decompress(path.read_bytes(), "zstd")


def test_a_clean_agent_gives_no_finding_whatever_is_looked_at(sent, outbox):
    for options in (
        (),
        ("--deep",),
        ("--store",),
        ("--store", "--deep"),
        ("--objects", sent.objects.as_uri()),
    ):
        result = outbox("audit", *options)
        assert (result.code, result.err) == (0, "")
        assert result.out.startswith("Nothing wrong was found. ")
    assert "The database: sequences 1 to 6, 3 objects sent, 0 sealed." in outbox("audit").out
    assert "holds sequences 1 to 6 in 3 objects." in result.out


def test_a_new_agent_and_one_in_the_middle_of_an_upload_give_no_finding(agent, outbox):
    assert outbox("audit", "--store", "--deep").code == 0
    with Database.open(agent.database) as database:
        sides = Sides(database, Clock())
        sides.collect(*[record(number) for number in range(4)])
        put_unconfirmed = sides.delivery.seal(Limits(2, 10**6), "zstd")
        path = agent.objects / put_unconfirmed.batch.object_key
        path.parent.mkdir(parents=True)
        path.write_bytes(compress(put_unconfirmed.lines, "zstd"))
        sides.seal(Limits(1, 10**6))
    assert outbox("audit", "--store", "--deep").code == 0
    send(agent)
    assert outbox("audit", "--store", "--deep").code == 0


def test_for_machines_there_is_json(sent, outbox):
    told = json.loads(outbox("audit", "--json", "--store").out)
    assert (told["clean"], told["findings"]) == (True, [])
    paths(sent)[0].unlink()
    told = json.loads(outbox("audit", "--json", "--store").out)
    assert (told["clean"], [found["kind"] for found in told["findings"]]) == (False, ["object-missing"])


def truncate(agent):
    path = paths(agent)[1]
    path.write_bytes(path.read_bytes()[:-9])


def repack(agent):
    """The same lines in other bytes, where the store had confirmed an ETag."""
    path = paths(agent)[1]
    path.write_bytes(path.read_bytes() + compress(b"", "zstd"))
    with closing(sqlite3.connect(agent.database)) as other, other:
        (trigger,) = other.execute(
            "SELECT sql FROM sqlite_schema WHERE name = 'batches_stay_sent'"
        ).fetchone()
        other.execute("DROP TRIGGER batches_stay_sent")
        other.execute("UPDATE batches SET etag = 'e'")
        other.execute(trigger)


def alter(agent):
    path = paths(agent)[1]
    path.write_bytes(compress(lines_of(path).replace(b"1.5", b"22.5"), "zstd"))


def garble(agent):
    path = paths(agent)[1]
    path.write_bytes(compress(b"no record\n" + lines_of(path).partition(b"\n")[2], "zstd"))


def shorten(agent):
    path = paths(agent)[1]
    path.write_bytes(compress(lines_of(path)[:-30], "zstd"))


def fork(agent):
    """A copy of the database sent the same sequences with other content."""
    path = paths(agent)[1]
    put(agent, name_of(agent, path), lines_of(path).replace(b"1.5", b"2.5"))


def run_ahead(agent):
    """The store has what the database, restored from a backup, has forgotten."""
    path = paths(agent)[-1]
    lines = lines_of(path).replace(b'"sequence":5', b'"sequence":7').replace(b'"sequence":6', b'"sequence":8')
    put(agent, name_of(agent, path)._replace(first_sequence=7, last_sequence=8), lines)


def leave_a_stranger(agent):
    (paths(agent)[0].parent / "notes.txt").write_text("hello")


STORE_DAMAGE = {
    "an object was removed": (lambda agent: paths(agent)[1].unlink(), (), ["object-missing"], "(batch 2, sequences 3 to 4) was confirmed by"),
    "an object was truncated": (truncate, (), ["object-damaged"], "bytes are no zstd"),
    "an object was packed anew": (repack, (), ["object-size"], "though its lines are the same"),
    "an object was altered": (alter, ("--deep",), ["object-digest"], "does not hold the lines that were sealed"),
    "a line was garbled": (garble, ("--deep",), ["object-digest", "line-garbled"], "Line 1 of"),
    "lines are missing": (shorten, ("--deep",), ["object-digest", "object-lines"], "1 whole lines and a part"),
    "a copy uploads too": (fork, (), ["object-unknown"], "which this database sealed as batch 2"),
    "the database is older": (run_ahead, (), ["object-unknown"], "holds sequences 7 to 8, which this database never"),
    "a stranger's file": (leave_a_stranger, (), ["object-foreign"], "notes.txt is none of ours"),
}  # fmt: skip


@pytest.mark.parametrize(("sabotage", "more", "kinds", "text"), STORE_DAMAGE.values(), ids=list(STORE_DAMAGE))
def test_what_is_wrong_in_the_store_is_found(sent, outbox, sabotage, more, kinds, text):
    sabotage(sent)
    assert outbox("audit").code == 0
    result = outbox("audit", "--store", *more)
    assert result.code == 65
    assert text in result.out
    told = json.loads(outbox("audit", "--store", "--json", *more).out)
    assert [found["kind"] for found in told["findings"]] == kinds
    assert result.out.splitlines()[-1].startswith(f"{len(kinds)} finding")


def test_objects_of_another_agent_are_not_this_agents_business(sent, outbox):
    path = paths(sent)[0]
    other = "ffffffffffffffff-000000000001"
    name = name_of(sent, path)
    put(sent, name._replace(agent_id=other), lines_of(path).replace(name.agent_id.encode(), other.encode()))
    assert outbox("audit", "--store", "--deep").code == 0
    result = outbox("audit", "--objects", sent.objects.as_uri(), "--deep")
    assert (result.code, result.out.count(" holds sequences 1 to ")) == (0, 2)


def test_a_key_that_may_only_put_is_said_plainly_and_only_matters_where_the_store_was_asked_for(
    sent, outbox, monkeypatch
):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    with serving(refusal(403, "AccessDenied")) as server:
        sent.configure(to="s3://landing", region="eu-north-1", credentials="env", endpoint_url=server.url)
        assert outbox("audit").code == 0
        result = outbox("audit", "--store")
    assert (result.code, "An audit was not finished" in result.out) == (69, True)
    assert "the key AKIA…MPLE may not list or read" in result.err


def test_batches_that_went_to_another_store_are_named_and_not_missed(sent, outbox):
    other = sent.folder / "other"
    other.mkdir()
    sent.configure(to=other.as_uri())
    result = outbox("audit", "--store")
    assert f"Not looked at: 3 objects that went to {sent.objects.as_uri()}." in result.out


def test_an_object_sealed_after_the_listing_is_known(sent, outbox):
    """A key that batches or voided seals hold is no stranger, although the reading side came to it first."""
    path = paths(sent)[1]
    name = name_of(sent, path)
    put(sent, name, lines_of(path).replace(b"1.5", b"2.5"))
    (stranger,) = [
        found for found in paths(sent) if name_of(sent, found).first_sequence == 3 and found != path
    ]
    key = stranger.relative_to(sent.objects).as_posix()
    with closing(sqlite3.connect(sent.database)) as other, other:
        other.execute(
            "INSERT INTO voided VALUES (9, ?, 3, 4, ?, x'00', 1, 't', 't', 'why')", (name.agent_id, key)
        )
    assert outbox("audit", "--store").code == 0


def test_what_a_restore_explains_is_a_note_and_no_finding(sent, outbox):
    """After the cure of a restore the store holds what the database never knew: for ever, and rightly."""
    path = paths(sent)[-1]
    lines = lines_of(path).replace(b'"sequence":5', b'"sequence":7').replace(b'"sequence":6', b'"sequence":8')
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    put(sent, name_of(sent, path)._replace(first_sequence=7, last_sequence=8, date=today), lines)
    assert outbox("audit", "--store").code == 65
    assert outbox("agent", "renew").code == 0
    result = outbox("audit", "--store")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("Note: The object data/customer=acme/")
    assert "Nothing wrong was found. " in result.out
    told = json.loads(outbox("audit", "--store", "--json").out)
    assert (told["clean"], [found["is_note"] for found in told["findings"]]) == (True, [True])


def overlap(agent):
    path = paths(agent)[2]
    name = name_of(agent, path)
    put(
        agent, name._replace(first_sequence=4), lines_of(paths(agent)[1]).partition(b"\n")[2] + lines_of(path)
    )


def wrong_range(agent):
    path = paths(agent)[2]
    put(agent, name_of(agent, path)._replace(first_sequence=7, last_sequence=8), lines_of(path))


def reword(old, new):
    def sabotage(agent):
        path = paths(agent)[2]
        put(agent, name_of(agent, path), lines_of(path).replace(old, new))
        path.unlink()

    return sabotage


def lost_record(agent):
    path = paths(agent)[2]
    head, _, tail = lines_of(path).partition(b"\n")
    start = head.partition(b'"entity"')[0]
    put(agent, name_of(agent, path), start + b'"lost":"damaged"}\n' + tail)
    path.unlink()


OBJECT_DAMAGE = {
    "the first is gone": (
        lambda agent: paths(agent)[0].unlink(),
        {"object-gap"},
        "holds sequences 1 to 2, though",
    ),
    "one is gone": (lambda agent: paths(agent)[1].unlink(), {"object-gap"}, "holds sequences 3 to 4, though"),
    "a fork": (fork, {"object-overlap"}, "Two objects hold sequences 3 to 4, "),
    "an overlap": (overlap, {"object-overlap"}, "Two objects hold sequence 4, "),
    "a stranger": (leave_a_stranger, {"object-foreign"}, "notes.txt is none of ours"),
    "altered": (alter, {"object-digest"}, "their SHA-256 is"),
    "truncated": (truncate, {"object-damaged"}, "cannot be read"),
    "garbled": (garble, {"object-digest", "line-garbled"}, "is no record of ours"),
    "a wrong range": (wrong_range, {"line-sequence"}, "is sequence 5, where 7 belongs"),
    "another's lines": (reword(b'"site":"helsinki"', b'"site":"espoo"'), {"line-agent"}, "is acme / espoo, agent"),
    "another's identity": (reword(b'"Helsinki"', b'"Espoo"'), {"line-record"}, "that its own source, entity and time deny"),
    "a lost record": (lost_record, {"line-lost"}, "(sequence 5) says that its record was lost: damaged"),
    "none": (
        lambda agent: [path.unlink() for path in paths(agent)],
        {"object-none"},
        "is this the right place?",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("sabotage", "kinds", "text"), OBJECT_DAMAGE.values(), ids=list(OBJECT_DAMAGE))
def test_what_is_wrong_shows_in_the_objects_alone(sent, outbox, tmp_path, sabotage, kinds, text):
    sabotage(sent)
    where = ("audit", "--objects", sent.objects.as_uri(), "--deep")
    result = outbox(*where, cwd=tmp_path)
    assert result.code == 65
    assert text in result.out
    assert {found["kind"] for found in json.loads(outbox(*where, "--json").out)["findings"]} == kinds


def test_trial_puts_and_a_prefix_above_are_no_findings(sent, outbox):
    trial = sent.objects / "check" / "customer=acme"
    trial.mkdir(parents=True)
    (trial / "trial").write_text("x")
    assert outbox("audit", "--objects", sent.objects.as_uri()).code == 0
    (sent.folder / "above").mkdir()
    sent.objects.rename(sent.folder / "above" / "raw")
    result = outbox("audit", "--objects", (sent.folder / "above").as_uri(), "--deep")
    assert (result.code, "raw/data/customer=acme" in result.out) == (0, True)
