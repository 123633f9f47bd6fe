import pytest

from outbox.cli import datapoints
from outbox.cli.datapoints import Datapoint, load_datapoints, unknown_datapoints
from outbox.errors import PermanentError


@pytest.fixture
def listed(tmp_path):
    def listed(content):
        (tmp_path / "datapoints.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
        return load_datapoints(tmp_path)

    return listed


def test_without_a_list_there_is_none(tmp_path):
    assert load_datapoints(tmp_path) is None


@pytest.mark.parametrize(
    "content",
    [
        "name,unit,meaning\ntemperature,°C,of the air\nstate,,\n\n",
        "\ufeffName;Unit;Meaning\r\n temperature ; °C ;of the air\r\nstate\r\n",
        'name,unit,meaning,more\ntemperature,°C,"of the air",x\nstate,,\n',
    ],
)
def test_the_list_says_names_units_and_meanings(listed, content):
    assert listed(content) == {
        "temperature": Datapoint("temperature", "°C", "of the air"),
        "state": Datapoint("state", "", ""),
    }


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"name,unit\n\xe4", "cannot be read"),
        ("", "another header"),
        ("title\n", "another header"),
        ('name,unit\n"' + "x" * 200_000, "is no CSV file"),
    ],
)
def test_a_list_that_cannot_be_read_is_an_error(listed, content, problem):
    with pytest.raises(PermanentError, match=problem):
        listed(content)


def test_a_list_beyond_the_limit_is_an_error(listed, monkeypatch):
    monkeypatch.setattr(datapoints, "MAX_BYTES", 10)
    with pytest.raises(PermanentError, match="more than 10 bytes"):
        listed("name,unit,meaning\n")


def test_names_and_units_that_are_not_agreed_are_named():
    agreed = {"temperature": Datapoint("temperature", "°C", ""), "count": Datapoint("count", "", "")}
    assert unknown_datapoints(agreed, {"temperature": "°C", "count": ""}) == []
    assert unknown_datapoints(agreed, {"temperatur": "°C", "count": "pcs", "xyz": "", "temperature": ""}) == [
        "temperatur is not in datapoints.csv: is temperature meant?",
        "count is in pcs, and in datapoints.csv in no unit",
        "xyz is not in datapoints.csv",
        "temperature is in no unit, and in datapoints.csv in °C",
    ]
