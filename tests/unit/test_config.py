"""The configuration file: what is read, and every mistake at once, with its line."""

from zoneinfo import ZoneInfo

import pytest

from collectors.collector import SourceOptions
from outbox.config.file import ConfigFile, load
from outbox.config.options import Options, Reference
from outbox.errors import ConfigError, Exit

GOOD = """\
[agent]
customer = acme
site = helsinki
folder = data
[upload]
to = s3://bucket/raw
"""
CANARY = "CANARY-3f9c-secret"


@pytest.fixture
def write(tmp_path):
    def write(text, name="config.ini"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.fixture
def mistakes(write):
    """Every mistake in a text, a line each."""

    def mistakes(text, **also):
        with pytest.raises(ConfigError) as caught:
            load(write(text), **also).file.require_valid()
        assert caught.value.exit_code is Exit.CONFIG
        assert CANARY not in f"{caught.value}"
        return list(caught.value.problems)

    return mistakes


def test_what_is_said_is_read_and_the_rest_has_its_default(write):
    config = load(write(GOOD))
    assert (config.agent.customer, config.agent.site, config.upload.to) == (
        "acme",
        "helsinki",
        "s3://bucket/raw",
    )
    assert config.agent.timezone == ZoneInfo("UTC")
    assert config.network.timeout == 60
    assert config.folder == config.file.path.parent / "data"
    assert config.database == config.folder / "outbox.db"
    assert config.sources == ()


def test_a_folder_that_is_absolute_is_taken_as_it_is(write, tmp_path):
    assert load(write(GOOD.replace("= data", f"= {tmp_path / 'x'}"))).folder == tmp_path / "x"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\n\n"),
        lambda text: text.replace("\n", "\n# a comment\n; another\n"),
        lambda text: text.replace(" = ", "\t:\t"),
        lambda text: text.replace("customer", "Customer").replace("to =", "TO ="),
        lambda text: text.replace("\nsite", "  \nsite"),
        lambda text: text.replace("\n", "\n  ").replace("  [", "["),
        lambda text: text + "[network]\n",
    ],
    ids=["CRLF", "BOM", "empty lines", "comments", "tabs and colons", "capitals", "space at the end", "indented", "[network]"],
)  # fmt: skip
def test_the_ways_people_and_editors_write_a_file_are_all_read(write, change):
    config = load(write(change(GOOD)))
    assert (config.agent.customer, config.agent.site, config.upload.to) == (
        "acme",
        "helsinki",
        "s3://bucket/raw",
    )


def test_a_percent_sign_is_a_percent_sign(write):
    assert load(write(GOOD.replace("raw", "50%/%(x)s"))).upload.to == "s3://bucket/50%/%(x)s"


def test_every_mistake_is_reported_at_once_with_its_line_in_the_files_order(mistakes):
    text = """\
[source:Weather]
collector = open_meteo
[agent]
customer = Acme Ltd
timezone = Mars/Olympus
disk_flor = 2GB

[upload]
to = ftp://bucket
  # a comment
every = often
parallel = 99
encryption = rot13
[netwrok]
proxy =
"""
    assert mistakes(text) == [
        "config.ini:1  [source:Weather]: a source's name has a-z, 0-9, - and _ only, at most 63 of them",
        "config.ini:3  [agent] site: is missing",
        "config.ini:3  [agent] folder: is missing",
        ("config.ini:4  [agent] customer: 'Acme Ltd' is no name here: a-z, 0-9, - and _, at most 63 of them, the first "
        "a letter or digit"),
        "config.ini:5  [agent] timezone: 'Mars/Olympus' is not a time zone: write one like Europe/Helsinki or UTC",
        ("config.ini:6  [agent] disk_flor: unknown option; did you mean disk_floor? Known: customer, disk_floor, folder, "
        "run_limit, site, timezone"),
        "config.ini:9  [upload] to: is not a destination: write s3://bucket/prefix or file:///folder",
        "config.ini:11  [upload] every: 'often' is no duration: write 90s, 15m, 2h, 7d or 1w",
        "config.ini:12  [upload] parallel: '99' should be less than or equal to 32",
        "config.ini:13  [upload] encryption: 'rot13' should be '', 'AES256' or 'aws:kms'",
        "config.ini:14  [netwrok]: unknown section; did you mean network? Known: agent, network, upload, source:NAME",
    ]  # fmt: skip


def test_lines_are_right_in_a_file_that_is_indented_and_has_long_values(mistakes):
    text = "[network]\n  no_proxy = a\n    # c\n    b\n  timeout = x\n\n[agent]\n  customer = a b\n  site = s\n  folder = f\n[upload]\n\tto = x\n"
    assert [line.partition(":")[2].partition(":")[0] for line in mistakes(text)] == [
        "5  [network] timeout",
        "8  [agent] customer",
        "12  [upload] to",
    ]


def test_an_empty_file_is_told_which_sections_it_needs(mistakes):
    assert mistakes("") == [
        "config.ini  [agent]: the section is missing",
        "config.ini  [upload]: the section is missing",
    ]


def test_the_sections_of_an_indented_file_that_are_swallowed_are_explained(mistakes):
    found = mistakes(GOOD.replace("[upload]", "  [upload]").replace("to =", "  to ="))
    assert found[0] == "config.ini  [upload]: the section is missing"


def test_an_indented_option_is_explained(mistakes):
    assert mistakes(GOOD.replace("site", "  site"))[1:] == [
        ("config.ini:2  [agent] customer: 'acme\\nsite = helsinki' is no name here: a-z, 0-9, - and _, at most 63 of them, "
        "the first a letter or digit (an indented line belongs to the option above it: begin at the line's start)")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("proxy = http://proxy:3128 # of the office", "a comment needs a line of its own"),
        ("proxy = http://proxy:3128\t; of the office", "a comment needs a line of its own"),
        ("proxy = 'http://proxy:3128'", "write it without quotation marks"),
        ('proxy = "http://proxy:3128"', "write it without quotation marks"),
    ],
)
def test_comments_and_quotes_in_a_value_are_refused_where_any_text_would_do(mistakes, option, hint):
    assert mistakes(f"{GOOD}[network]\n{option}\n") == [f"config.ini:8  [network] proxy: {hint}"]


def test_a_comment_in_a_value_that_is_wrong_anyway_is_one_mistake_and_not_two(mistakes):
    assert mistakes(GOOD + "every = 5m # often\n") == [
        (
            "config.ini:7  [upload] every: '5m # often' is no duration: write 90s, 15m, 2h, 7d or 1w "
            "(a comment needs a line of its own)"
        )
    ]


def test_a_number_sign_inside_a_value_is_no_comment(write):
    assert load(write(GOOD.replace("raw", "raw#1"))).upload.to == "s3://bucket/raw#1"


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (GOOD + "to = s3://other\n", "line 7: [upload] to is given twice"),
        (GOOD + "[agent]\n", "line 7: the section [agent] is there twice"),
        (f"password = {CANARY}\n" + GOOD, "line 1 is before any [section]"),
        (
            GOOD + f"nonsense\n{CANARY}\n",
            "neither option = value nor [section] nor an indented line: line 7, 8",
        ),
        (GOOD + "= value\n", "neither option = value nor [section] nor an indented line: line 7"),
    ],
)
def test_a_file_that_is_no_ini_says_where_and_repeats_nothing(mistakes, text, mistake):
    (found,) = mistakes(text)
    assert found.endswith(f"config.ini: {mistake}")


def test_the_default_section_of_ini_files_has_no_magic_here(mistakes):
    assert mistakes(f"[DEFAULT]\nregion = x\n{GOOD}") == [
        "config.ini:1  [DEFAULT]: unknown section. Known: agent, network, upload, source:NAME"
    ]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_in_utf_16_is_told_to_be_saved_as_utf_8(write, encoding):
    with pytest.raises(ConfigError, match="is UTF-16") as caught:
        load(write(GOOD.encode(encoding)))
    assert caught.value.hint == "save it as UTF-8"


def test_a_file_in_another_encoding_says_in_which_line(write):
    text = GOOD.replace("bucket/raw", "jyväskylä").encode("latin-1")
    with pytest.raises(ConfigError) as caught:
        load(write(text))
    assert str(caught.value) == "config.ini:6  is no UTF-8\nHint: save it as UTF-8"


def test_a_missing_file_and_a_folder_in_its_place_are_told_apart(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "config.ini")
    assert str(caught.value) == (
        f"there is no configuration at {tmp_path / 'config.ini'}\n"
        "Hint: name it with --config, or make one with: outbox init"
    )
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        f"[upload]\nto = s3://b\ncredentials = {CANARY}",
        f"[upload]\nto = s3://AKIA:{CANARY}@bucket?x=1",
        f"[upload]\nto = https://user:{CANARY}@bucket",
        f"[upload]\nto = s3://b\nsecret_access_key = {CANARY}",
        f"[{CANARY.lower()}]\n[upload]\nto = s3://b\nregion = '{CANARY}'",
        f"[upload]\nto = s3://b\n[source:x]\nvault = {CANARY}\npassword = {CANARY}",
        f"[upload]\nto = s3://b\n[source:x]\nvault = env:X\npassword = 1\nunknown = {CANARY}",
    ],
)
def test_a_value_that_may_be_a_secret_is_never_repeated(mistakes, line):
    class Source(Options):
        vault: Reference
        password: int

    def also(file: ConfigFile):
        for name in file.sources:
            file.section(f"source:{name}", Source)

    assert mistakes(GOOD.partition("[upload]")[0] + line + "\n", also=also)


def test_a_sources_mistake_alone_stops_nothing_and_is_told_for_itself(write):
    def also(file):
        file.section("source:b", SourceOptions)

    text = GOOD + "[source:b]\ncollector = x\nevry = 5m\n"
    config = load(write(text), also=also)
    assert config.file.mistakes_in("agent") is None
    assert "did you mean every" in config.file.mistakes_in("source:b").message
