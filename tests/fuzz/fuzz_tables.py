"""Coverage-guided fuzzing of the table readers and the mapping; not part of the test run.

    pip install atheris
    python -m tests.fuzz.fuzz_tables FOLDER -max_total_time=1800 -rss_limit_mb=2048 -timeout=20

FOLDER keeps what it found; an input that breaks something is written to the folder it was started in.
"""

import sys
from itertools import product
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=["collectors", "outbox", "tests.fuzz.oracle", "csv", "json", "gzip", "zipfile"]
):
    from tests.fuzz.oracle import NAMES, SECTIONS, SEEDS, check, in_this_process


def one(data: bytes) -> None:
    """Read one input; its first three bytes choose the kind of table, the section and where it is cut."""
    if len(data) < 3:
        return
    with in_this_process():
        check(NAMES[data[0] % len(NAMES)], SECTIONS[data[1] % len(SECTIONS)], data[3:], data[2])


def main() -> None:
    """Fuzz, beginning with the seeds."""
    folders = [Path(argument) for argument in sys.argv[1:] if not argument.startswith("-")]
    for folder in folders[:1]:
        folder.mkdir(parents=True, exist_ok=True)
        for name, section in product(range(len(NAMES)), range(len(SECTIONS))):
            for number, seed in enumerate(SEEDS):
                (folder / f"seed-{name}-{section}-{number}").write_bytes(bytes([name, section, 1]) + seed)
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
