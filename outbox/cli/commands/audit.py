"""audit: the promises as a command, held against the database, the store, or a bucket alone."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from outbox.audit.finding import Finding, limited
from outbox.cli.app import WHEN_WRONG, ConfigOption, app, config_path, open_database, say, tell
from outbox.cli.text import number
from outbox.config.file import load
from outbox.database import Database
from outbox.errors import DataError, Exit, OutboxError, worst

if TYPE_CHECKING:
    from uploader.objectstore import ObjectReader

_LIMIT_S = 3_600.0


class _Report:
    """What was found, said as it is found or, for machines, at the end."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._findings: list[Finding] = []
        self._looked_at: list[str] = []
        self._code = Exit.OK

    def add(self, findings: Iterator[Finding]) -> None:
        """Say each finding; an error of the store or the disk ends this part and not the report."""
        try:
            for finding in limited(findings):
                self._findings.append(finding)
                if not self._as_json:
                    tell(f"Note: {finding.text}" if finding.is_note else finding.text)
        except OutboxError as error:
            self._code = worst([self._code, error.exit_code])
            self.looked_at("An audit was not finished: " + error.message)
            say(f"outbox: {error}")

    def unreadable(self, error: DataError) -> None:
        """Say what keeps the database from being looked into, and what to do."""
        self.add(iter([Finding("unreadable", f"{error.message}.")]))
        if error.hint:
            say(f"Hint: {error.hint}")

    def looked_at(self, text: str) -> None:
        """Note for the summary what was looked at, as a sentence."""
        self._looked_at.append(text.rstrip(".") + ".")

    def end(self) -> typer.Exit:
        """Say the summary and return how the command ends: 65 where anything was found."""
        count = sum(not finding.is_note for finding in self._findings)
        code = worst([self._code, Exit.DATA if count else Exit.OK])
        if self._as_json:
            findings = [finding._asdict() for finding in self._findings]
            told = {"clean": code == Exit.OK, "findings": findings, "looked_at": self._looked_at}
            typer.echo(json.dumps(told, ensure_ascii=False, indent=2))
        else:
            well = "No findings, but not everything could be looked at" if code else "Nothing wrong was found"
            verdict = number(count, "finding") if count else well
            tell(" ".join([f"{verdict}.", *self._looked_at]))
        return typer.Exit(int(code))


@app.command(rich_help_panel=WHEN_WRONG)
def audit(
    context: typer.Context,
    store: Annotated[
        bool, typer.Option("--store", help="Look into the store too; needs a key that may read.")
    ] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read everything: every text, and every line of every object.")
    ] = False,
    objects: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Only look at s3://bucket/prefix or file:///folder; no agent needed."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
    config: ConfigOption = None,
) -> None:
    """Verify that nothing is missing or damaged, and print one sentence per finding. Nothing is changed.

    A note is history that the database explains, as after a restore. Exit
    code 0: no finding; 65: something was found; 69: the store may not be
    looked into.
    """
    report = _Report(as_json=as_json)
    if objects is not None:
        if store:
            raise typer.BadParameter("goes without --store", param_hint="--objects")
        _audit_objects(report, objects, deep=deep)
        raise report.end()
    settings = load(config_path(context, config))
    try:
        with open_database(settings, readonly=True) as database:
            _audit_database(report, database, deep=deep)
            if store:
                from outbox.retry import Retry
                from uploader.stores import open_reader

                retry = Retry(limit_s=_LIMIT_S)
                reader = open_reader(settings.upload, settings.network, folder=settings.folder, retry=retry)
                _audit_store(report, database, reader, deep=deep)
    except DataError as error:
        report.unreadable(error)
    raise report.end()


def _audit_database(report: _Report, database: Database, *, deep: bool) -> None:
    from outbox.audit.audit import audit_database

    report.add(audit_database(database, deep=deep))
    first, last, sent, sealed = database.execute("""
        SELECT (SELECT min(first_sequence) FROM agents),
          coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'outbox'), 0),
          (SELECT count(*) FROM batches WHERE status = 'sent'),
          (SELECT count(*) FROM batches WHERE status = 'sealed')
        """)[0]
    sequences = f"sequences {first:,} to {last:,}" if last >= first else "no sequence yet"
    report.looked_at(f"The database: {sequences}, {number(sent, 'object')} sent, {sealed:,} sealed")


def _audit_store(report: _Report, database: Database, reader: "ObjectReader", *, deep: bool) -> None:
    from outbox.audit.objects import audit_store

    report.looked_at(f"The store: {reader.url}")
    report.add(audit_store(database, reader, deep=deep))
    for elsewhere, count in database.execute(
        "SELECT store, count(*) FROM batches WHERE store <> ? GROUP BY store ORDER BY store", (reader.url,)
    ):
        report.looked_at(f"Not looked at: {number(count, 'object')} that went to {elsewhere}")


def _audit_objects(report: _Report, url: str, *, deep: bool) -> None:
    from outbox.audit.objects import Tiles, audit_objects

    reader = _open(url)
    with Tiles() as tiles:
        report.add(audit_objects(reader, tiles, deep=deep))
    for agent in tiles.agents:
        covers = f"sequences {agent.first:,} to {agent.last:,} in {number(agent.objects, 'object')}"
        report.looked_at(f"{agent.folder} holds {covers}")


def _open(url: str) -> "ObjectReader":
    """Open a destination that no configuration describes: AWS's own variables say how to reach it."""
    from pydantic import ValidationError

    from outbox.config.sections import NetworkOptions, UploadOptions
    from outbox.retry import Retry
    from uploader.stores import open_reader

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    network = NetworkOptions.model_validate({"ca_bundle": os.environ.get("AWS_CA_BUNDLE") or "system"})
    try:
        # As from a file: the models know the defaults.
        upload = UploadOptions.model_validate(
            {"to": url, "endpoint_url": endpoint, "path_style": bool(endpoint)}
        )
    except ValidationError as error:
        raise typer.BadParameter(
            "write s3://bucket/prefix or file:///folder", param_hint="--objects"
        ) from error
    return open_reader(upload, network, folder=Path(), retry=Retry(limit_s=_LIMIT_S))
