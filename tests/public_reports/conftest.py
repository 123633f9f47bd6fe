"""Public bug reports of other tools for this job, tried here: one case for each kind of fault.

`journey` is an agent of its own with one section at a time: it collects, and says what was stored, what was
rejected and what the command line said. A case names the report that it was built from.
"""

import json

import pytest

from tests.cli.conftest import AGENT_FOLDER, Agent, outbox

__all__ = ["outbox"]  # the fixture


class Journey:
    """An agent, the folder that its source reads, and its commands."""

    def __init__(self, agent, outbox, export):
        self.agent = agent
        self.outbox = outbox
        self.export = export
        self.section = ""

    def files(self, options):
        """Configure a source of files over the folder `export`."""
        self.configure(f"collector = files\npath = {self.export}\nsettle = 0s\n{options}")

    def configure(self, options):
        """Configure one source, `s`."""
        self.section = f"[source:s]\n{options.strip()}\n"
        self.agent.configure(self.section, disk_floor="1MB\ntimezone = Europe/Helsinki")

    def write(self, name, content):
        """Write a file of the export; text as UTF-8, its line ends as they are."""
        data = content if isinstance(content, bytes) else content.encode()
        (self.export / name).write_bytes(data)
        return self.export / name

    def append(self, name, content):
        """Append to a file of the export."""
        with (self.export / name).open("ab") as file:
            file.write(content if isinstance(content, bytes) else content.encode())

    def collect(self):
        """Run `outbox collect` and return how it ended: code, out, err."""
        return self.outbox("collect")

    def preview(self, *arguments):
        """Run `outbox preview s` and return how it ended."""
        return self.outbox("preview", "s", *arguments)

    def stored(self):
        """Every body in the order of its sequence, as dictionaries; every revision is one."""
        return [json.loads(body) for (body,) in self.agent.query("SELECT body FROM bodies ORDER BY sequence")]

    def values(self):
        """(entity, observed_at, values) of every stored record, in the order of their sequences."""
        return [(body["entity"], body["observed_at"], body["values"]) for body in self.stored()]

    def rejected(self):
        """The reasons of what is rejected and unresolved, in the order in which they came."""
        rows = self.agent.query("SELECT reason FROM rejected WHERE resolved_at IS NULL ORDER BY id")
        return [reason for (reason,) in rows]


@pytest.fixture
def journey(tmp_path, outbox):
    export = tmp_path / "export"
    export.mkdir()
    folder = tmp_path / AGENT_FOLDER
    folder.mkdir()
    return Journey(Agent(folder).make(), outbox, export)
