"""snowflake: the SQL that lands the records and proves them complete, filled in and ready to paste."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from outbox import snowflake as sql
from outbox.cli.app import SETTING_UP, ConfigOption, app, config_path_if_any, open_database, say
from outbox.config.file import Config, load

_SENT = "SELECT coalesce(max(last_sequence), 0) FROM batches WHERE agent_id = ? AND status = 'sent'"


Part = Annotated[
    str | None, typer.Option(help=f"Only this one: {', '.join(sql.parts())}. Without it, the script.")
]
To = Annotated[str | None, typer.Option(help="s3://bucket/prefix; else the configuration's.")]
RoleArn = Annotated[str | None, typer.Option(help="Snowflake's role in AWS: arn:aws:iam::ACCOUNT:role/NAME.")]
Mail = Annotated[str | None, typer.Option(help="Who hears of problems; a verified user's address.")]
Database = Annotated[str, typer.Option(help="The database to make.")]
Schema = Annotated[str, typer.Option(help="The schema in it.")]
Warehouse = Annotated[str, typer.Option(help="The warehouse to make.")]
LagS = Annotated[int, typer.Option(help="How far views may be behind what landed; shorter costs more.")]
TimeTravelDays = Annotated[
    int, typer.Option(help="How long a DELETE can be undone; above 1 needs the Enterprise edition.")
]
Customer = Annotated[str | None, typer.Option(help="Whose; for arrived: else the configuration's.")]
Site = Annotated[str | None, typer.Option(help="Which of their places; as with --customer.")]
AgentId = Annotated[str | None, typer.Option(help="Which agent; as with --customer.")]
Entity = Annotated[str | None, typer.Option(help="For erase: only what is about this one.")]
FirstSequence = Annotated[int | None, typer.Option(help="For reload: where the gap begins.")]
LastSequence = Annotated[int | None, typer.Option(help="For arrived: up to where; else what was sent.")]
Day = Annotated[str | None, typer.Option(help="For resume: a day of the pause, as 2026-11-23.")]
File = Annotated[str | None, typer.Option(help="For digest: the object's key, from customer= on.")]


@app.command(rich_help_panel=SETTING_UP)
def snowflake(
    context: typer.Context,
    part: Part = None,
    to: To = None,
    role_arn: RoleArn = None,
    mail: Mail = None,
    database: Database = "OUTBOX",
    schema: Schema = "CORE",
    warehouse: Warehouse = "OUTBOX",
    lag_s: LagS = 900,
    time_travel_days: TimeTravelDays = 1,
    customer: Customer = None,
    site: Site = None,
    agent_id: AgentId = None,
    entity: Entity = None,
    first_sequence: FirstSequence = None,
    last_sequence: LastSequence = None,
    day: Day = None,
    file: File = None,
    config: ConfigOption = None,
) -> None:
    """Print the SQL that sets Snowflake up, in order; with --part, one part of it, or a recipe.

    The SQL goes to stdout, ready to be pasted. Nothing is contacted and nothing is stored.
    """
    known = sql.parts()
    if part is not None and part not in known:
        raise typer.BadParameter(f"{part!r} is none of: {', '.join(known)}", param_hint="--part")
    wanted = [known[part]] if part else [each for each in known.values() if each.in_script]
    said = {
        "to": to, "role_arn": role_arn, "mail": mail, "database": database, "schema": schema,
        "warehouse": warehouse, "lag_s": lag_s, "time_travel_days": time_travel_days,
        "customer": customer, "site": site, "agent_id": agent_id, "entity": entity,
        "first_sequence": first_sequence, "last_sequence": last_sequence, "day": day, "file": file,
    }  # fmt: skip
    values = {name: str(value) for name, value in said.items() if value is not None}
    names = dict.fromkeys(name for each in wanted for name in each.wanted)
    values = _configured(context, config, names, values) | values
    typer.echo("\n".join(_filled(wanted, names, values)), nl=False)
    say(_next_step(part, values))


def _filled(parts: list[sql.Part], names: Iterable[str], values: Mapping[str, str]) -> list[str]:
    """The parts' texts; BadParameter names every option that is missing, or the first that will not do."""
    missing = [_option(name) for name in names if name not in values and name not in sql.OPTIONAL]
    if missing:
        raise typer.BadParameter("is needed, and no configuration says it", param_hint=", ".join(missing))
    for name in names:
        try:
            sql.checked(name, values.get(name))
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint=_option(name)) from error
    return [sql.fill(part.text, values) for part in parts]


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _configured(
    context: typer.Context, option: Path | None, names: Iterable[str], said: Mapping[str, str]
) -> dict[str, str]:
    """What this machine's configuration and agent know of what was not said; nothing where there is none."""
    wanted = set(names) - said.keys() - sql.OPTIONAL
    path = config_path_if_any(context, option) if wanted else None
    if path is None:
        return {}
    settings = load(path)
    found = {"to": settings.upload.to} if settings.upload.to.startswith("s3://") else {}
    if "agent_id" in wanted and not {"customer", "site"} & said.keys():
        found |= _agent(settings)
    return {name: value for name, value in found.items() if name in wanted}


def _agent(settings: Config) -> dict[str, str]:
    from outbox.agents import current_agent

    with open_database(settings, readonly=True) as database:
        agent = current_agent(database)
        sent = max(database.value(_SENT, (agent.agent_id,)), agent.first_sequence - 1)
    return {
        "customer": agent.customer,
        "site": agent.site,
        "agent_id": agent.agent_id,
        "last_sequence": str(sent),
    }


def _next_step(part: str | None, values: Mapping[str, str]) -> str:
    """What to do with what was printed, and what to carry over to AWS then."""
    place = f"{values['database']}.{values['schema']}"
    queue = f"SHOW PIPES LIKE 'landing_pipe' IN SCHEMA {place}; its notification_channel is SnowpipeQueueArn"
    then = {
        "storage": f"USE ROLE ACCOUNTADMIN; DESC INTEGRATION {values['database']}_BUCKET; its "
        "STORAGE_AWS_IAM_USER_ARN and STORAGE_AWS_EXTERNAL_ID are SnowflakeUserArn and SnowflakeExternalId",
        "landing": queue,
        None: queue,
    }
    paste = "Paste it into a worksheet of Snowflake, from the top. Nothing was run."
    return f"{paste}\nThen ask {then[part]} in the bucket's template." if part in then else paste
