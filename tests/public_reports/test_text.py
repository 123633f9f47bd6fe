"""Text tables: what was cut, renamed or written one behind the other becomes no wrong record."""

import os

import pytest

T = "2026-11-23T05:00:00Z"
LATER = "2026-11-23T06:00:00Z"
GIVEN = "pattern = *\nentity = id\ntime = at\nvalues = v"


def test_a_last_line_without_its_end_waits_for_it(journey):
    """elastic/filebeat#296, influxdata/telegraf#11372: half of a name became an entity for ever."""
    journey.files(GIVEN)
    journey.write("a.csv", f"at,v,id\n{T},1,pump-1\n{T},123,pu")
    journey.collect()
    assert [entity for entity, _, _ in journey.values()] == ["pump-1"]
    journey.append("a.csv", "mp-17\n")
    journey.collect()
    assert [entity for entity, _, _ in journey.values()] == ["pump-1", "pump-17"]


def test_a_last_line_is_read_once_the_file_is_a_day_old_though_nobody_wrote_to_it(journey):
    journey.files(GIVEN)
    file = journey.write("a.csv", f"at,v,id\n{T},1,pump-1\n{T},123,pump-2")
    journey.collect()
    assert len(journey.values()) == 1
    old = file.stat().st_mtime - 86_401
    os.utime(file, (old, old))
    journey.collect()
    assert len(journey.values()) == 2


@pytest.mark.parametrize(("option", "count"), [("wait", 1), ("read", 2)])
def test_the_section_may_say_what_becomes_of_the_last_line(journey, option, count):
    journey.files(f"{GIVEN}\nlast_line = {option}")
    file = journey.write("a.csv", f"at,v,id\n{T},1,a\n{T},1,b")
    if option == "wait":
        os.utime(file, (1_700_000_000, 1_700_000_000))
    journey.collect()
    assert len(journey.values()) == count


def test_a_quoted_cell_that_a_flush_cut_is_read_whole(journey):
    """elastic/beats#1324: both halves were rejected, and the row never came."""
    journey.files(f"{GIVEN}\nattributes = n")
    journey.write("a.csv", f'id,at,v,n\na,{T},1,"first\n')
    journey.collect()
    assert (journey.values(), journey.rejected()) == ([], [])
    journey.append("a.csv", f'second"\nb,{T},2,x\n')
    journey.collect()
    assert [body["attributes"]["n"] for body in journey.stored()] == ["first\nsecond", "x"]
    assert journey.rejected() == []


def test_a_whole_object_needs_no_end(journey):
    journey.files(GIVEN)
    journey.write("a.ndjson", f'{{"id":"a","at":"{T}","v":1}}\n{{"id":"b","at":"{T}","v":2}}')
    journey.collect()
    assert len(journey.values()) == 2


def test_a_key_that_is_renamed_in_a_growing_file_is_rejected(journey):
    """feldera/feldera#2836, ClickHouse/ClickHouse#120348: rows were passed over, and all looked well."""
    journey.files("pattern = *\nentity = id\ntime = at\nvalues = temp")
    journey.write("a.ndjson", f'{{"id":"q","at":"{T}","temp":1}}\n')
    journey.collect()
    journey.append("a.ndjson", f'{{"id":"q","at":"{LATER}","temperature":2}}\n')
    journey.append("a.ndjson", f'{{"id":"q","at":"{LATER}","temp":null}}\n')
    journey.collect()
    assert len(journey.values()) == 1
    (reason,) = journey.rejected()
    assert reason.startswith("none of temp is there, but id, at, temperature")


def test_a_header_that_comes_again_says_nothing(journey):
    journey.files(GIVEN)
    journey.write("a.csv", f"id,at,v\na,{T},1\nid,at,v\nb,{T},2\n")
    assert journey.collect().code == 0
    assert [entity for entity, _, _ in journey.values()] == ["a", "b"]
    assert journey.rejected() == []


@pytest.mark.parametrize("header", ["id,at,w,v", "id,at,v,w,x", "id, at,w, v", "\ufeffid,at,v"])
def test_a_header_with_other_columns_ends_the_file(journey, header):
    """influxdata/telegraf#6318, #4711: the rows behind it had their values swapped."""
    journey.files("pattern = *\nentity = id\ntime = at\nvalues = v")
    journey.write("a.csv", f"id,at,v,w\na,{T},1,2\n{header}\nb,{T},20,10\n")
    ended = journey.collect()
    assert ended.code == 69
    assert "another header in line 3" in ended.err + ended.out
    assert [(entity, values) for entity, _, values in journey.values()] == [("a", {"v": 1})]


def test_lines_may_end_with_a_carriage_return_alone(journey):
    """votingworks/arlo#883: Excel for Mac's CSV could not be read."""
    journey.files(f"{GIVEN}\nlast_line = read")
    journey.write("a.csv", f"id,at,v\ra,{T},1\rb,{T},2\r")
    journey.collect()
    journey.append("a.csv", f"c,{T},3\r")
    journey.collect()
    assert [entity for entity, _, _ in journey.values()] == ["a", "b", "c"]


def test_an_unnamed_last_column_may_be_absent(journey):
    """deephaven/deephaven-core#1800: a delimiter ended the header alone."""
    journey.files(GIVEN)
    journey.write("a.csv", f"id,at,v,\na,{T},1\nb,{T},2,\n")
    journey.collect()
    assert len(journey.values()) == 2
    assert journey.rejected() == []


def test_backslashes_escape_where_the_section_says_so(journey):
    """tilo/smarter_csv#237: a quote behind a backslash; what means nothing else stays as it is."""
    journey.files(f"{GIVEN}\nattributes = n\nescape = \\")
    journey.write("a.csv", f'id,at,v,n\na,{T},1,"6\\" pipe, long"\nb,{T},1,\\N\n')
    journey.collect()
    assert [body["attributes"]["n"] for body in journey.stored()] == ['6" pipe, long', "\\N"]


def test_rows_behind_the_hole_of_a_truncated_log_are_read(journey):
    """logrotate/logrotate#363, josegonzalez/python-beaver#105: NULs where the log was truncated."""
    journey.files(GIVEN)
    journey.write("a.csv", "\0" * 300 + f"id,at,v\na,{T},1\n")
    journey.collect()
    assert len(journey.values()) == 1
    (reason,) = journey.rejected()
    assert reason.startswith("begins with 300 NUL characters")


def test_what_keeps_spreadsheets_from_making_numbers_is_no_part_of_a_name(journey):
    """parsecsv/parsecsv-for-php#213: ="00123", and a space before a quote."""
    journey.files(GIVEN)
    journey.write("a.csv", f'id,at,v\n="00123",{T},1\n"=""00124""",{T},1\n, {T},1\n "x, y", "{T}", 2\n')
    journey.collect()
    assert [entity for entity, _, _ in journey.values()] == ["00123", "00124", "x, y"]


def test_a_backslash_is_text_where_nothing_else_was_said(journey):
    """Cinchoo/ChoETL#40, stevehansen/csv#35: a cell that ends with a backslash took the next row into it."""
    journey.files(f"{GIVEN}\nattributes = n\ndelimiter = tab")
    journey.write("a.tsv", f'id\tat\tv\tn\n"C:\\"\t{T}\t1\t"D:\\"\nb\t{T}\t2\tx\n')
    journey.collect()
    assert [(body["entity"], body["attributes"]["n"]) for body in journey.stored()] == [
        ("C:\\", "D:\\"),
        ("b", "x"),
    ]


def test_a_row_that_joining_files_ran_into_a_header_is_rejected(journey):
    """CodeWithAloha/Hawaii-Zoning-Atlas#109: the first file had no line end, and a header followed it."""
    journey.files(GIVEN)
    journey.write("a.csv", f"id,at,v\na,{T},1id,at,v\nb,{T},2\n")
    journey.collect()
    assert [entity for entity, _, _ in journey.values()] == ["b"]
    (reason,) = journey.rejected()
    assert reason.startswith("the row has 5 cells, and 3 columns")


def test_with_a_marker_the_last_line_is_read_at_once(journey):
    """rapidsai/cudf#1083, parsecsv/parsecsv-for-php#85: the last line without an end was lost."""
    journey.files(f"{GIVEN}\nmarker = .done")
    journey.write("a.csv", f"id,at,v\na,{T},1\nb,{T},2")
    journey.write("a.csv.done", "")
    journey.collect()
    assert [entity for entity, _, _ in journey.values()] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.xls", "is a workbook of a kind that is not read (.xls)"),
        ("a.ods", "is a workbook of a kind that is not read (.ods)"),
        ("a.csv", "is an old workbook (.xls) by its content"),
    ],
)
def test_an_old_workbook_is_called_that(journey, name, said):
    """qax-os/excelize#881, ets/tap-spreadsheets-anywhere#54: "not a valid zip file" said it to nobody."""
    journey.files(GIVEN)
    file = journey.write(name, "")
    file.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504))
    os.utime(file, (1_700_000_000, 1_700_000_000))
    ended = journey.collect()
    assert said in ended.err + ended.out
    assert "save it as .xlsx" in ended.err + ended.out


def test_columns_are_found_in_objects_at_any_depth(journey):
    journey.files("pattern = *\nentity = meta.dev.id\ntime = at\nvalues = v: data.x.y.v")
    journey.write(
        "a.ndjson",
        f'{{"at":"{T}","meta":{{"dev":{{"id":"a"}}}},"data":{{"x":{{"y":{{"v":1}}}}}}}}\n'
        f'{{"at":"{T}","meta":{{"dev":{{"id":"b"}}}},"data":{{"x":{{"y":{{"w":1}}}}}}}}\n',
    )
    journey.collect()
    assert [(entity, values) for entity, _, values in journey.values()] == [("a", {"v": 1})]
    (reason,) = journey.rejected()
    assert reason.startswith("none of data.x.y.v is there")
