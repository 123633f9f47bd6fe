"""What can go wrong with objects, between the bucket and the views: deeds done to their bytes, names and order."""

from datetime import timedelta

from tests.snowflake.sabotage import COMPLETE, Scene, renamed, sabotage


@sabotage(
    COMPLETE.format("complete_to, gaps, missing, state"), [(13, 1, 5, "missing")], "gap", "reconciliation"
)
def object_deleted(scene: Scene) -> None:
    scene.drop(scene.acme()[4])


@sabotage(COMPLETE.format("complete_to, gaps, missing"), [(0, 1, 5)], "gap", "reconciliation")
def first_object_deleted(scene: Scene) -> None:
    scene.drop(scene.acme()[0])


@sabotage(COMPLETE.format("complete_to, gaps, missing, known_to"), [(80, 1, 9, 93)], "gap")
def last_objects_deleted_and_the_agent_goes_on(scene: Scene) -> None:
    scene.drop(*scene.acme()[-2:])
    with scene.agent() as sender:
        sender.tell()
        scene.bring(sender.upload())
    scene.world.clock.advance(hours=2)


@sabotage(
    "SELECT kind, first_sequence, last_sequence FROM overlaps WHERE customer = 'acme'",
    [("copied", 14, 18)],
    "overlap",
)
def object_copied_under_another_name(scene: Scene) -> None:
    scene.bring([renamed(scene.acme()[4], date="2026-11-22")])


@sabotage("SELECT problem, detail FROM file_problems", [("short", "4 of 5 lines")], "short file", "gap")
def object_cut_off_after_a_line(scene: Scene) -> None:
    scene.edit(4, lambda lines: lines[:-1])


@sabotage(
    "SELECT status, first_error_line_number FROM load_problems",
    [("Load failed", 5)],
    "load",
    "gap",
    "reconciliation",
)
def object_cut_off_within_a_line(scene: Scene) -> None:
    old = scene.acme()[4]
    scene.replace(old, old._replace(ndjson=old.ndjson[:-20]))


@sabotage("SELECT status, row_count FROM load_problems", [("Loaded", 0)], "load", "gap", "reconciliation")
def object_emptied(scene: Scene) -> None:
    old = scene.acme()[4]
    scene.replace(old, old._replace(ndjson=b""))


@sabotage(
    COMPLETE.format("complete_to, missing, short_files, state"), [(13, 5, 1, "missing")],
    "short file", "gap", "reconciliation",
)  # fmt: skip
def line_dropped(scene: Scene) -> None:
    scene.edit(4, lambda lines: lines[1:])


@sabotage(
    COMPLETE.format("short_files, violations, missing"),
    [(1, 1, 5)],
    "short file",
    "violation file",
    "gap",
    "reconciliation",
)
def sequence_altered_to_one_of_another_object(scene: Scene) -> None:
    scene.edit(4, lambda lines: [lines[0] | {"sequence": 7}, *lines[1:]])


@sabotage(COMPLETE.format("short_files, long_files"), [(1, 0)], "short file", "gap", "reconciliation")
def sequence_altered_to_its_neighbours(scene: Scene) -> None:
    scene.edit(4, lambda lines: [lines[0] | {"sequence": lines[1]["sequence"]}, *lines[1:]])


@sabotage(
    COMPLETE.format("rewritten, forks, loaded_twice, state"), [(1, 1, 1, "forked")],
    "rewritten file", "loaded twice file", "fork",
)  # fmt: skip
def value_altered_and_loaded_again(scene: Scene) -> None:
    old = scene.acme()[4]
    scene.bring(
        [old._replace(ndjson=old.ndjson.replace(b'"temperature_2m":3.5', b'"temperature_2m":9.5', 1))]
    )


@sabotage(
    "SELECT violation, sequence FROM violations",
    [("customer", 14)],
    "violation file",
    "short file",
    "gap",
    "reconciliation",
)
def line_from_another_customer(scene: Scene) -> None:
    scene.edit(4, lambda lines: [lines[0] | {"customer_id": "bolt"}, *lines[1:]])


@sabotage(
    "SELECT violation, sequence FROM violations",
    [("site", 15)],
    "violation file",
    "short file",
    "gap",
    "reconciliation",
)
def line_from_another_site(scene: Scene) -> None:
    scene.edit(4, lambda lines: [lines[0], lines[1] | {"site": "turku"}, *lines[2:]])


@sabotage(
    "SELECT violation, customer, COUNT(*) FROM violations GROUP BY violation, customer", [("customer", "bolt", 5)],
    "violation file", "short file", "gap",
)  # fmt: skip
def object_in_another_customers_folder(scene: Scene) -> None:
    scene.bring([renamed(scene.acme()[4], customer="bolt")])


@sabotage(
    "SELECT violation, COUNT(*) FROM violations GROUP BY violation", [("agent", 5)],
    "violation file", "short file", "gap",
)  # fmt: skip
def object_in_another_agents_folder(scene: Scene) -> None:
    scene.bring([renamed(scene.acme()[4], agent_id="ffffffffffffffff-000000000014")])


@sabotage("SELECT violation, customer FROM violations", [("name", None)] * 5, "violation file")
def object_with_a_wrong_name(scene: Scene) -> None:
    old = scene.acme()[4]
    scene.bring([old._replace(key="raw/data/customer=acme/site=helsinki/copy of export.ndjson")])


@sabotage("SELECT violation, customer FROM violations", [("name", None)] * 5, "violation file")
def object_named_as_before_its_agent_began(scene: Scene) -> None:
    scene.bring([renamed(scene.acme()[4], agent_id="ffffffffffffffff-000000000099")])


@sabotage("SELECT violation, customer FROM violations", [("name", None)] * 5, "violation file")
def object_in_the_wrong_folder(scene: Scene) -> None:
    old = scene.acme()[4]
    scene.bring([old._replace(key=old.key.replace("/site=helsinki", ""))])


@sabotage(
    "SELECT problem, detail FROM file_problems ORDER BY problem",
    [("long", "6 lines for 5"), ("violation", "1 lines are not what the path says")],
    "long file", "violation file",
)  # fmt: skip
def line_added_beyond_the_range(scene: Scene) -> None:
    scene.edit(4, lambda lines: [*lines, lines[-1] | {"sequence": 19}])


@sabotage("SELECT problem, detail FROM file_problems", [("long", "6 lines for 5")], "long file")
def line_twice_in_an_object(scene: Scene) -> None:
    scene.edit(4, lambda lines: [*lines, lines[-1]])


@sabotage(
    "SELECT violation FROM violations", [("record",)], "violation file", "short file", "gap", "reconciliation"
)
def line_without_a_record_id(scene: Scene) -> None:
    scene.edit(4, lambda lines: [{k: v for k, v in lines[0].items() if k != "record_id"}, *lines[1:]])


@sabotage(
    COMPLETE.format("short_files, missing, known_to"), [(1, 9, 98)], "short file", "gap", "violation file"
)
def name_that_promises_more_than_there_is(scene: Scene) -> None:
    last = scene.acme()[-1]
    scene.bring([renamed(last, first_sequence=94, last_sequence=98)._replace(ndjson=b'{"a":1}\n')])


@sabotage(
    "SELECT landed_worst_s FROM latency WHERE source = 'weather' AND landed_worst_s > 3600", [(172_830,)]
)
def object_that_landed_two_days_late(scene: Scene) -> None:
    old = scene.acme()[4]
    scene.drop(old)
    scene.world.clock.advance(days=2)
    scene.landing.append((old, old.stored_at + timedelta(days=2, seconds=30)))
    scene.expected = {key: text.replace("21600", "86400") for key, text in scene.expected.items()}


@sabotage(COMPLETE.format("complete_to, state, gaps"), [(89, "complete", 0)])
def objects_out_of_order(scene: Scene) -> None:
    scene.landing.reverse()


@sabotage(
    COMPLETE.format("complete_to, gaps, missing"), [(13, 1, 5)],
    "reconciliation",
)  # fmt: skip
def object_overtaken_only_now(scene: Scene) -> None:
    late, *rest = scene.acme()[4:]
    now = scene.world.clock()
    scene.drop(late)
    scene.landing = [(each, now if each in rest else at) for each, at in scene.landing]


@sabotage(COMPLETE.format("loaded_twice, complete_to, state"), [(24, 89, "complete")], "loaded twice file")
def everything_loaded_twice(scene: Scene) -> None:
    scene.bring(scene.acme())


@sabotage(
    "SELECT first_sequence, last_sequence, kind FROM overlaps ORDER BY first_sequence LIMIT 1",
    [(14, 18, "overlapping")], "overlap",
)  # fmt: skip
def range_replayed_in_one_object(scene: Scene) -> None:
    first, second = scene.acme()[4:6]
    joined = renamed(first, last_sequence=20, digest="f" * 16)._replace(ndjson=first.ndjson + second.ndjson)
    scene.bring([joined])


@sabotage("SELECT violation, customer FROM violations", [("name", None)] * 5, "violation file")
def object_that_nests_another_customers_path_in_its_own(scene: Scene) -> None:
    """What a stolen key of acme's may put: its policy allows every key that begins as acme's do."""
    theirs = next(each for each, _ in scene.landing if "customer=bolt/" in each.key)
    key = theirs.key.replace("raw/data/", "raw/data/customer=acme/data/")
    scene.bring([theirs._replace(key=key)])


@sabotage("SELECT first_sequence, last_sequence FROM gaps", [(86, 89)], "short file")
def newest_object_short_just_now(scene: Scene) -> None:
    """A gap is no problem before an hour has passed; how old the agent is makes no difference."""
    scene.edit(-1, lambda lines: lines[1:])
    newest = scene.acme()[-1]
    now = scene.world.clock()
    scene.landing = [(each, now if each == newest else at) for each, at in scene.landing]
