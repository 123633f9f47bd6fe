"""aws: the landing bucket, and each customer's right to put into it, as templates for CloudFormation."""

import hashlib
import json
import re
import sys
from importlib.resources import files
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from pydantic import TypeAdapter, ValidationError

from outbox.cli.app import SETTING_UP, ConfigOption, app, config_path_if_any, say
from outbox.config.file import load
from outbox.config.sections import UploadOptions, Word
from outbox.errors import ConfigError

MAX_STACK_NAME_CHARS = 128
_SAID_BY = {
    "BucketName": "--to",
    "Prefix": "--to",
    "Customer": "--customer",
    "TrustAnchorArn": "--trust-anchor",
}


class Landing(NamedTuple):
    """Where customers' objects go, as `[upload] to` and `region` say it."""

    bucket: str
    prefix: str
    region: str

    @property
    def to(self) -> str:
        """The destination as an agent's configuration has it."""
        return f"s3://{self.bucket}/{self.prefix}"


@app.command(rich_help_panel=SETTING_UP)
def aws(
    context: typer.Context,
    customer: Annotated[
        str | None, typer.Option(help="Print this customer's part; without it, the landing bucket's.")
    ] = None,
    site: Annotated[
        list[str] | None, typer.Option(help="A place of the customer's; may be given again.")
    ] = None,
    to: Annotated[str | None, typer.Option(help="s3://bucket/prefix; else the configuration's.")] = None,
    region: Annotated[str | None, typer.Option(help="The bucket's region; else the configuration's.")] = None,
    trust_anchor: Annotated[
        str | None, typer.Option(help="ARN. By IAM Roles Anywhere and a certificate, without a key.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Print what AWS needs as a CloudFormation template; with --customer, that customer's part of it.

    The template goes to stdout, what to do with it to stderr. Nothing is
    contacted. With --to and --region no configuration is needed.
    """
    for option, names in (("--customer", [customer] if customer else []), ("--site", site or [])):
        for name in names:
            _require_word(option, name)
    if not customer and (site or trust_anchor):
        raise typer.BadParameter("belongs to a customer", param_hint="--site" if site else "--trust-anchor")
    landing = _landing(context, config, to, region)
    stack = stack_name(landing.bucket, customer)
    if customer:
        text = customer_template(landing, customer, trust_anchor)
        steps = _customer_steps(landing, customer, site or ["SITE"], stack, trust_anchor)
    else:
        text, steps = landing_template(landing), _landing_steps(landing, stack)
    typer.echo(text, nl=False)
    if not sys.stdout.isatty():  # a file keeps what to do with it
        typer.echo("\n" + "".join(f"# {line}".rstrip() + "\n" for line in steps), nl=False)
    say("\n" + "\n".join(steps))


def landing_template(landing: Landing) -> str:
    """Return landing.yaml with the bucket's name and prefix filled in."""
    return _filled("landing.yaml", BucketName=landing.bucket, Prefix=landing.prefix)


def customer_template(landing: Landing, customer: str, trust_anchor: str | None) -> str:
    """Return customer.yaml for one customer; with a trust anchor for certificates, else for a key."""
    values = {"BucketName": landing.bucket, "Prefix": landing.prefix, "Customer": customer}
    if trust_anchor:
        values |= {"Access": "roles-anywhere", "TrustAnchorArn": trust_anchor}
    return _filled("customer.yaml", **values)


def stack_name(bucket: str, customer: str | None) -> str:
    """Return the stack's name, which knows no _ and is not long; no two customers of a bucket share one."""
    plain = f"outbox-customer-{bucket}-{customer}" if customer else f"outbox-landing-{bucket}"
    name = plain.replace("_", "-")
    if name == plain and len(name) <= MAX_STACK_NAME_CHARS:
        return name
    digest = hashlib.sha256(plain.encode()).hexdigest()[:8]
    return f"{name[: MAX_STACK_NAME_CHARS - len(digest) - 1]}-{digest}"


def _filled(file: str, **values: str) -> str:
    """Return a template whose parameters have these values as their defaults; BadParameter for bad ones."""
    text = (files("migrations") / "aws" / file).read_text(encoding="utf-8")
    for name, value in values.items():
        found = re.search(rf"(?ms)^  {name}:\n(?P<body>.*?)^    Default: (?P<default>.*?)$", text)
        if not found:
            raise RuntimeError(f"{file} has no parameter {name}")
        pattern = re.search(r'(?m)^    AllowedPattern: "(.*)"$', found["body"])
        if pattern and not re.fullmatch(pattern[1], value):
            what = f"{value!r} will not do as the template's {name}, which must be {pattern[1]}"
            raise typer.BadParameter(what, param_hint=_SAID_BY[name])
        text = text[: found.start("default")] + json.dumps(value) + text[found.end("default") :]
    return text


def _require_word(option: str, name: str) -> None:
    try:
        TypeAdapter(Word).validate_python(name)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise typer.BadParameter(f"{name!r} {reason}", param_hint=option) from error


def _landing(context: typer.Context, option: Path | None, to: str | None, region: str | None) -> Landing:
    """Return where customers' objects go: as said, else as configured where there is a configuration."""
    if not (to and region) and (path := config_path_if_any(context, option)):
        upload = load(path).upload
        to, region = to or upload.to, region or upload.region
    if not to or not region:
        missing = "--region" if to else "--to"
        raise typer.BadParameter(
            "is needed, since there is no configuration that says it", param_hint=missing
        )
    try:
        UploadOptions.model_validate({"to": to})
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise typer.BadParameter(f"{to!r} {reason}", param_hint="--to") from error
    bucket, _, prefix = to.rstrip("/").removeprefix("s3://").partition("/")
    if not to.startswith("s3://") or not prefix:
        raise ConfigError([f"{to} is no bucket and prefix"], hint="use --to s3://bucket/prefix")
    if not re.fullmatch(r"[a-z]+(-[a-z]+)+-\d", region):
        raise typer.BadParameter(f"{region!r} is no region of AWS", param_hint="--region")
    return Landing(bucket, prefix, region)


def _landing_steps(landing: Landing, stack: str) -> list[str]:
    deploy = _deploy(landing, stack, "CAPABILITY_NAMED_IAM")
    snowflake = "SnowflakeUserArn=ARN SnowflakeExternalId=ID SnowpipeQueueArn=ARN"
    return _blank_between(
        f"1  Keep this as {stack}.yaml, look at its parameters,\n   and deploy it:",
        deploy,
        "2  Read what Snowflake asks for, the role's ARN and the stage's URL:",
        _outputs(landing, stack),
        "3  Deploy it again with what Snowflake says (DESC INTEGRATION, then SHOW PIPES):",
        f"{deploy} --parameter-overrides {snowflake}",
        "4  Each customer has a part of their own:",
        f"outbox aws --customer CUSTOMER --to {landing.to} --region {landing.region}",
    )


def _customer_steps(
    landing: Landing, customer: str, sites: list[str], stack: str, trust_anchor: str | None
) -> list[str]:
    way = ["3  Fetch the key that outbox secret set aws asks for:", _key(landing, customer)]
    if trust_anchor:
        way = [
            "3  Make an AWS profile on the customer's server with the CredentialProcess of:",
            _outputs(landing, stack),
            "   and name it once there is a configuration: [upload] credentials = profile:NAME",
        ]
    return _blank_between(
        f"1  Keep this as {stack}.yaml, and deploy it:",
        _deploy(landing, stack, "CAPABILITY_IAM"),
        "2  Switch on the metrics that its alarms listen to (or deploy with Alarms=off):",
        _metrics(landing, customer),
        *way,
        f"4  On the customer's server{'' if len(sites) == 1 else 's, a line each'}:",
        "\n".join(
            f"outbox init --customer {customer} --site {site} --to {landing.to} --region {landing.region}"
            for site in sites
        ),
    )


def _blank_between(*paragraphs: str) -> list[str]:
    return "\n\n".join(paragraphs).splitlines()


def _deploy(landing: Landing, stack: str, capability: str) -> str:
    return (
        f"aws cloudformation deploy --region {landing.region} --stack-name {stack} "
        f"--template-file {stack}.yaml --capabilities {capability}"
    )


def _outputs(landing: Landing, stack: str) -> str:
    return (
        f"aws cloudformation describe-stacks --region {landing.region} --stack-name {stack} "
        '--query "Stacks[0].Outputs" --output yaml'
    )


def _metrics(landing: Landing, customer: str) -> str:
    wanted = f"Id={customer},Filter={{Prefix={landing.prefix}/data/customer={customer}/}}"
    return (
        f"aws s3api put-bucket-metrics-configuration --region {landing.region} --bucket {landing.bucket} "
        f'--id {customer} --metrics-configuration "{wanted}"'  # so every shell takes it, Windows' too
    )


def _key(landing: Landing, customer: str) -> str:
    return (
        f"aws secretsmanager get-secret-value --region {landing.region} "
        f"--secret-id {landing.bucket}/{customer} --query SecretString --output text"
    )
