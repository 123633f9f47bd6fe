"""From an empty AWS account to the first object, by nothing but what `outbox aws` prints."""

import re
import shlex

import pytest

from outbox.object_name import is_trial
from tests.aws.cloud import EVERYBODY, client, make_user, obey_iam
from tests.cli.conftest import AGENT_FOLDER
from tests.cli.test_check import states
from tests.support import moto

pytestmark = pytest.mark.xdist_group("moto-iam")
WHERE = ("--to", "s3://printed-landing/raw", "--region", "us-east-1")


@pytest.fixture
def account(tmp_path):
    with moto.serving(tmp_path) as url:
        yield url


def deploy(account, result):
    """Do what the first command that was printed does."""
    (command,) = [line for line in result.err.splitlines() if line.startswith("aws cloudformation deploy")][
        :1
    ]
    words = shlex.split(command)
    stack = words[words.index("--stack-name") + 1]
    cloudformation = client("cloudformation", account, EVERYBODY)
    capability = words[words.index("--capabilities") + 1]
    cloudformation.create_stack(StackName=stack, TemplateBody=result.out, Capabilities=[capability])
    assert cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"


def test_what_is_printed_leads_to_the_first_object(outbox, account, weather, tmp_path):
    deploy(account, outbox("aws", *WHERE))
    customer = outbox("aws", "--customer", "acme", "--site", "helsinki", *WHERE)
    deploy(account, customer)
    iam = client("iam", account, EVERYBODY)
    (user,) = iam.list_users(PathPrefix="/outbox/")["Users"]
    # The stack's own key lies in Secrets Manager, which moto does not fill: another one of the same user.
    key = iam.create_access_key(UserName=user["UserName"])["AccessKey"]
    admin = make_user(iam, "admin", ["*"])
    obey_iam(account)

    folder = tmp_path / AGENT_FOLDER  # where the commands of these tests run
    init = shlex.split(customer.err.splitlines()[-1])[1:]
    assert outbox(*init, "--folder", folder, "--timezone", "UTC").code == 0
    config = folder / "config.ini"
    text = config.read_text(encoding="utf-8")
    text = text.replace("[upload]\n", f"[upload]\nendpoint_url = {account}\npath_style = yes\n")
    text = re.sub(r"(?m)^disk_floor.*$", "disk_floor = 1MB", text)
    text = text.replace("collector = open_meteo\n", f"collector = open_meteo\nurl = {weather.url}\n")
    config.write_text(text, encoding="utf-8")

    given = f"{key['AccessKeyId']}\n{key['SecretAccessKey']}\n"
    assert outbox("secret", "set", "aws", stdin=given).code == 0
    checked = outbox("check")
    assert (checked.code, states(checked)["destination"]) == (0, "ok")
    assert [outbox(command).code for command in ("collect", "upload")] == [0, 0]

    listed = client("s3", account, admin).list_objects_v2(Bucket="printed-landing")["Contents"]
    delivered = [item["Key"] for item in listed if not is_trial(item["Key"])]
    assert len(delivered) == 1
    assert delivered[0].startswith("raw/data/customer=acme/site=helsinki/agent=")
    assert len(listed) == 2  # and the trial
