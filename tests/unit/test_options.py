"""How options are read: durations, sizes, flags, names, zones and references to secrets."""

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from outbox.config.options import (
    MAX_SECRET_CHARS,
    Duration,
    Flag,
    Lines,
    Names,
    Options,
    Reference,
    SecretRef,
    Size,
    Zone,
    format_bytes,
    format_duration,
    parse_bytes,
    parse_duration_s,
)
from outbox.errors import PermanentError

CANARY = "CANARY-3f9c-secret"


class Everything(Options):
    duration: Duration = 900.0
    size: Size = 2 * 10**9
    flag: Flag = True
    names: Names = ()
    lines: Lines = ()
    zone: Zone | None = None
    secret: Reference | None = None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("2h", 7200), ("7d", 604_800), ("1w", 604_800), (" 1.5 h ", 5400), ("0s", 0)],
)
def test_a_duration_is_a_number_and_a_unit(text, seconds):
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "5", "m", "5 minutes", "-5m", "5M", "1h30m", "1e3s", "nan s", "5m # often"]
)
def test_what_is_no_duration_is_refused_with_examples(text):
    with pytest.raises(ValueError, match="is no duration: write 90s, 15m, 2h, 7d or 1w"):
        parse_duration_s(text)


@pytest.mark.parametrize("text", ["5215w", "9" * 400 + "d"])
def test_a_duration_that_no_clock_could_hold_is_refused(text):
    with pytest.raises(ValueError, match="is longer than 100 years"):
        parse_duration_s(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("500kB", 500_000),
        ("64MB", 64 * 10**6),
        ("2GB", 2 * 10**9),
        ("1.5 GB", 1_500_000_000),
        ("7", 7),
        ("0B", 0),
    ],
)
def test_a_size_is_a_number_and_a_unit_of_powers_of_ten(text, count):
    assert parse_bytes(text) == count


def test_a_size_is_not_rounded():
    assert parse_bytes("999999999999999") == 999_999_999_999_999
    assert parse_bytes("0.29GB") == 290_000_000


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1 gigabyte", "2GiB", "1e3", "inf"])
def test_what_is_no_size_is_refused_with_examples(text):
    with pytest.raises(ValueError, match="is no size: write 500kB, 64MB or 2GB"):
        parse_bytes(text)


@pytest.mark.parametrize("text", ["1001TB", "9" * 400])
def test_a_size_beyond_every_disk_is_refused(text):
    with pytest.raises(ValueError, match="is more than 1000TB"):
        parse_bytes(text)


@given(st.integers(0, 10**15))
def test_a_size_that_was_written_is_read_as_the_same(count):
    assert parse_bytes(format_bytes(count)) == count


@given(st.integers(0, 10**6))
def test_a_duration_that_was_written_is_read_as_the_same(seconds):
    assert parse_duration_s(format_duration(seconds)) == seconds


@pytest.mark.parametrize(("text", "on"), [("yes", True), ("no", False), (" YES ", True), ("No", False)])
def test_a_flag_is_yes_or_no(text, on):
    assert Everything(flag=text).flag is on


@pytest.mark.parametrize("text", ["", "true", "1", "on", "yes please"])
def test_a_flag_is_nothing_else(text):
    with pytest.raises(ValidationError, match="is neither yes nor no"):
        Everything(flag=text)


def test_names_stand_between_commas_or_on_lines_of_their_own():
    assert Everything(names="a, b\n  c,,\nd").names == ("a", "b", "c", "d")
    assert Everything(names=" ,\n").names == ()


def test_lines_are_kept_whole_and_empty_ones_are_left_out():
    assert Everything(lines="\n  Helsinki, 60, 25\n\n  Oulu, 65, 25\n").lines == (
        "Helsinki, 60, 25",
        "Oulu, 65, 25",
    )


def test_a_zone_is_known_by_its_name():
    assert Everything(zone=" Europe/Helsinki ").zone == ZoneInfo("Europe/Helsinki")


@pytest.mark.parametrize(
    "text", ["Helsinki", "EET+2", "Europe", "../etc/passwd", "/etc/localtime", "Europe/\u212aiev"]
)
def test_what_is_no_zone_is_refused_with_examples(text):
    with pytest.raises(ValidationError, match="is not a time zone: write one like Europe/Helsinki or UTC"):
        Everything(zone=text)


def test_an_option_that_is_there_and_empty_is_as_if_it_were_not_there():
    assert Everything(zone="", secret="") == Everything()


def test_a_section_knows_no_other_options_and_never_changes():
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Everything(colour="red")
    with pytest.raises(ValidationError, match="Instance is frozen"):
        Everything().flag = False


@pytest.mark.parametrize("text", ["file:secrets/aws", "env:API_KEY"])
def test_a_reference_is_shown_as_it_was_written(text):
    reference = Everything(secret=text).secret
    assert (str(reference), repr(reference)) == (text, text)
    assert reference == SecretRef(text)
    assert hash(reference) == hash(SecretRef(text))


@pytest.mark.parametrize("text", [CANARY, "file:", "env:", "vault:x", ":x"])
def test_a_secret_in_the_place_of_its_reference_is_refused_and_not_repeated(text):
    with pytest.raises(ValueError, match="is no reference to a secret") as caught:
        SecretRef(text)
    assert CANARY not in str(caught.value)


def test_a_secret_is_read_without_the_space_and_the_mark_that_editors_leave_around_it(tmp_path):
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "api").write_bytes(b"\xef\xbb\xbf" + f"  {CANARY}\r\n".encode())
    assert SecretRef("file:secrets/api").read(tmp_path) == CANARY
    assert SecretRef("env:API").read(tmp_path, {"API": f" {CANARY} "}) == CANARY


def test_a_secret_may_lie_anywhere(tmp_path):
    (tmp_path / "api").write_text(CANARY)
    assert SecretRef(f"file:{tmp_path / 'api'}").read(tmp_path / "elsewhere") == CANARY


def read_wrongly(reference, folder, environ=None):
    with pytest.raises(PermanentError) as caught:
        SecretRef(reference).read(folder, environ or {})
    assert CANARY not in f"{caught.value} {caught.value.__cause__}"
    return caught.value


def test_a_missing_secret_says_how_to_set_it(tmp_path):
    error = read_wrongly("file:secrets/api", tmp_path)
    assert error.message == "the secret file:secrets/api does not exist yet"
    assert error.hint == "set it with: outbox secret set api"
    error = read_wrongly("env:API", tmp_path)
    assert error.message == "the secret env:API does not exist yet"
    assert error.hint == "set the variable API for the account that runs outbox"


@pytest.mark.parametrize("text", ["", " \r\n", "\ufeff"])
def test_an_empty_secret_is_refused(tmp_path, text):
    (tmp_path / "api").write_text(text, encoding="utf-8")
    assert read_wrongly("file:api", tmp_path).message == "the secret file:api is empty"


def test_an_empty_variable_is_refused(tmp_path):
    assert read_wrongly("env:API", tmp_path, {"API": " "}).message == "the secret env:API is empty"


def test_a_secret_that_is_no_text_or_no_file_is_refused(tmp_path):
    (tmp_path / "binary").write_bytes(CANARY.encode() + b"\xff")
    assert (
        read_wrongly("file:binary", tmp_path).message
        == "the secret file:binary cannot be read: UnicodeDecodeError"
    )
    (tmp_path / "folder").mkdir()
    assert "cannot be read" in read_wrongly("file:folder", tmp_path).message


def test_a_secret_that_is_too_large_is_refused_and_not_cut(tmp_path):
    (tmp_path / "api").write_text(CANARY + "x" * MAX_SECRET_CHARS)
    assert "more than 65,536 characters" in read_wrongly("file:api", tmp_path).message
    (tmp_path / "api").write_text("x" * MAX_SECRET_CHARS)
    assert len(SecretRef("file:api").read(tmp_path)) == MAX_SECRET_CHARS
