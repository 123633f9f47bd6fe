"""What can go wrong with agents and with what they read: deeds done by the real outbox and the real upload."""

import shutil
from datetime import timedelta

import apsw
import pytest

from outbox.delivery import Delivery, Limits
from outbox.errors import DataError
from tests.snowflake.sabotage import COMPLETE, PLACES, Scene, sabotage
from tests.snowflake.world import Sender, days_of, weather
from uploader.directory import DirectoryStore

STATES = "SELECT site, state FROM agents WHERE customer = 'acme' ORDER BY site, agent_id"


def a_day(scene: Scene, **senders: Sender) -> None:
    """One more day for everyone, as before."""
    with scene.agent(2) as bolt:
        days_of(
            scene.world,
            {bolt: ("Tampere", "Turku")} | dict.fromkeys(senders.values(), PLACES),
            days=1,
        )
    bring_new(scene)


def bring_new(scene: Scene) -> None:
    """Let everything land that was put and did not land yet."""
    known = {each for each, _ in scene.landing}
    scene.bring([each for each in scene.world.objects if each not in known])


@sabotage(STATES, [("helsinki", "silent")], "silent", "coverage")
def agent_gone_silent(scene: Scene) -> None:
    scene.world.clock.advance(hours=1)
    a_day(scene)
    scene.world.clock.advance(hours=2)


@sabotage("SELECT state, agent_id FROM agents WHERE site = 'turku'", [("never seen", None)], "never seen")
def expected_agent_never_seen(scene: Scene) -> None:
    scene.expect("acme", "turku")


@sabotage(STATES, [("helsinki", "unexpected")], "unexpected")
def agent_that_nobody_expects(scene: Scene) -> None:
    del scene.expected["acme", "helsinki"]


@sabotage(STATES, [("helsinki", "retired")], "coverage")
def agent_retired(scene: Scene) -> None:
    scene.expect("acme", "helsinki", f"'{scene.world.clock():%Y-%m-%d}'")
    scene.world.clock.advance(hours=1)
    a_day(scene)
    scene.world.clock.advance(hours=2)


@sabotage(STATES, [("helsinki", "heard after retirement")], "heard after retirement")
def retired_agent_heard_again(scene: Scene) -> None:
    scene.expect("acme", "helsinki", "'2026-11-21'")


@sabotage(
    "SELECT state, COUNT(*) FROM agents WHERE customer = 'acme' GROUP BY state ORDER BY state",
    [("heard", 1), ("second agent", 1)], "second agent", "collision",
)  # fmt: skip
def two_agents_of_one_site(scene: Scene) -> None:
    with scene.world.agent() as second, scene.agent() as first:
        scene.world.clock.advance(minutes=1)
        moment = scene.world.clock()
        for sender, value in ((first, 3.5), (second, 3.6)):
            sender.collect(weather(moment, values={"temperature_2m": value}))
            sender.tell()
            sender.upload()
    bring_new(scene)


@sabotage("SELECT agents, revisions, contents FROM collisions", [(2, 2, 1)], "second agent")
def same_record_from_two_agents(scene: Scene) -> None:
    with scene.world.agent() as second, scene.agent() as first:
        moment = scene.world.clock()
        for sender in (first, second):
            sender.collect(weather(moment))
            sender.tell()
            sender.upload()
    bring_new(scene)


def restored(scene: Scene) -> None:
    """Put an older database back in acme's place: that of a day ago."""
    path = scene.world.path(1)
    with scene.agent() as sender:
        copy = apsw.Connection(str(path.with_name("backup.db")))
        with copy.backup("main", sender.database.connection, "main") as backup:
            backup.step(-1)
        copy.close()
        a_day(scene, acme=sender)
    for name in ("outbox.db-wal", "outbox.db-shm"):
        path.with_name(name).unlink(missing_ok=True)
    shutil.move(path.with_name("backup.db"), path)


@sabotage(
    COMPLETE.format("forks > 0, overlaps > 0, gaps, state"), [(True, True, 0, "forked")],
    "fork", "overlap", "reconciliation",
)  # fmt: skip
def agent_restored_from_an_old_backup(scene: Scene) -> None:
    restored(scene)
    with scene.agent() as sender:
        a_day(scene, acme=sender)
    scene.world.clock.advance(hours=1)


@sabotage(
    "SELECT state, COUNT(*) FROM agents WHERE customer = 'acme' GROUP BY state ORDER BY state",
    [("heard", 1), ("replaced", 1)],
)  # fmt: skip
def agent_restored_and_renewed(scene: Scene) -> None:
    restored(scene)
    with scene.agent() as sender:
        sender.renew()
        a_day(scene, acme=sender)
    scene.world.clock.advance(hours=1)


@sabotage(
    "SELECT record_values:temperature_2m::VARCHAR,"
    " (SELECT MAX(number) FROM observations AS o WHERE o.record_id = r.record_id AND datapoint = 'temperature_2m'),"
    " (SELECT MAX(agents) FROM collisions) FROM records AS r"
    " WHERE customer = 'acme' AND entity = 'Helsinki' AND observed_at = '2026-11-23 20:00:00'",
    [("7.5", 7.5, 2)],
)  # fmt: skip
def correction_by_a_renewed_agent_under_a_lower_sequence(scene: Scene) -> None:
    """A later agent_since counts before a higher sequence."""
    restored(scene)
    with scene.agent() as sender:
        sender.renew()
        evening = scene.world.clock() - timedelta(hours=6)
        sender.collect(weather(evening, "Helsinki", values={"temperature_2m": 7.5}))
        sender.tell()
        sender.upload()
    bring_new(scene)


@sabotage(COMPLETE.format("forks > 0, overlaps > 0, gaps"), [(True, True, 0)], "fork", "overlap")
def database_copied_and_both_go_on(scene: Scene) -> None:
    path = scene.world.path(1)
    shutil.copytree(path.parent, path.parent.with_name("copy"))
    moment = scene.world.clock()
    with scene.agent() as sender:
        sender.collect(weather(moment))
        sender.tell()
        sender.upload()
    with scene.world.opened(path.parent.with_name("copy") / "outbox.db") as sender:
        sender.collect(weather(moment + timedelta(minutes=1)))
        sender.tell()
        sender.upload()
    bring_new(scene)


@sabotage(COMPLETE.format("state, gaps") + " ORDER BY first_sequence", [("complete", 0), ("complete", 0)])
def agent_renewed(scene: Scene) -> None:
    with scene.agent() as sender:
        sender.renew()
        a_day(scene, acme=sender)
    scene.world.clock.advance(hours=1)


@sabotage(
    COMPLETE.format("state, missing") + " ORDER BY first_sequence", [("missing", 4), ("complete", 0)],
    "gap",
)  # fmt: skip
def last_object_of_a_renewed_agents_predecessor_deleted(scene: Scene) -> None:
    last = scene.acme()[-1]
    agent_renewed(scene)
    scene.drop(last)


def damage(scene: Scene, sender: Sender) -> None:
    """Flip a bit in the text of the record that waits last."""
    connection = sender.database.connection
    connection.execute("DROP TRIGGER bodies_are_immutable")
    connection.execute(
        "UPDATE bodies SET body = replace(body, '3.5', '3.7') WHERE sequence = (SELECT max(sequence) FROM bodies)"
    )


@sabotage(COMPLETE.format("lost, missing, state"), [(1, 0, "lost on the agent")], "lost")
def record_lost_on_the_agents_disk(scene: Scene) -> None:
    with scene.agent() as sender:
        sender.tell()
        sender.collect(weather(scene.world.clock()))
        damage(scene, sender)
        with pytest.raises(DataError, match="damaged"):
            sender.upload()
        sender.world.note_new()
    bring_new(scene)


@sabotage(
    COMPLETE.format("overlaps, lost, forks, missing, state"), [(1, 0, 0, 0, "complete")], "overlap",
)  # fmt: skip
def voided_seal_whose_first_object_had_arrived(scene: Scene) -> None:
    with scene.agent() as sender:
        sender.collect(weather(scene.world.clock()))
        delivery = Delivery(sender.database, now=scene.world.clock)
        sealed = delivery.seal(Limits(10, 10**6), "none")
        assert sealed
        DirectoryStore(scene.world.bucket.as_uri()).put(
            sealed.batch.object_key, sealed.lines
        )  # no word of it
        damage(scene, sender)
        with pytest.raises(DataError, match="damaged"):
            sender.upload()
        sender.world.note_new()
    bring_new(scene)
