"""Head office's list of datapoints, `datapoints.csv` in the agent's folder: name, unit, meaning.

It stops nothing: it makes `preview` and `check` warn about names and units that are not in it.
"""

import csv
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from outbox.errors import PermanentError

FILE = "datapoints.csv"
MAX_BYTES = 4_000_000
_COLUMNS = ["name", "unit", "meaning"]


class Datapoint(NamedTuple):
    """One agreed name, the unit it comes in ("" for none) and what it means."""

    name: str
    unit: str
    meaning: str


def load_datapoints(folder: Path) -> dict[str, Datapoint] | None:
    """Return the agreed datapoints by name, None where head office gave no list.

    PermanentError when there is a list that cannot be read.
    """
    path = folder / FILE
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise PermanentError(f"{path} cannot be read: {error}", hint="save it as UTF-8") from error
    if len(content) > MAX_BYTES:
        raise PermanentError(f"{path} has more than {MAX_BYTES:,} bytes")
    header = text.partition("\n")[0]
    delimiter = ";" if header.count(";") > header.count(",") else ","
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines(), delimiter=delimiter)]
    except csv.Error as error:
        raise PermanentError(f"{path} is no CSV file: {error}") from error
    if not rows or [cell.lower() for cell in rows[0][:2]] != _COLUMNS[:2]:
        raise PermanentError(f"{path} has another header than: {', '.join(_COLUMNS)}")
    listed = [Datapoint(*[*row, "", ""][:3]) for row in rows[1:] if row and row[0]]
    return {datapoint.name: datapoint for datapoint in listed}


def unknown_datapoints(agreed: Mapping[str, Datapoint], used: Mapping[str, str]) -> list[str]:
    """Return a sentence for each used name (with its unit, or "") that the list does not agree with."""
    found = []
    for name, unit in used.items():
        if name not in agreed:
            close = get_close_matches(name, agreed, n=1)
            found.append(f"{name} is not in {FILE}" + (f": is {close[0]} meant?" if close else ""))
        elif unit != agreed[name].unit:
            found.append(
                f"{name} is in {unit or 'no unit'}, and in {FILE} in {agreed[name].unit or 'no unit'}"
            )
    return found
