"""The templates, deployed on moto, which from then on obeys IAM; and a customer's credentials there."""

import json
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import boto3
from botocore.config import Config
from cfnlint.decode.cfn_yaml import load

from tests.aws import gate
from tests.aws.template import CUSTOMER, LANDING
from tests.support import moto

BUCKET, PREFIX, REGION = "example-landing", "raw", "us-east-1"
SNOWFLAKE = {
    "SnowflakeUserArn": "arn:aws:iam::111122223333:user/snowflake",
    "SnowflakeExternalId": "EXAMPLE_SFCRole=2_abc",
    "SnowpipeQueueArn": "arn:aws:sqs:us-east-1:111122223333:sf-snowpipe",
    "AlarmEmail": "ops@example.com",
}


class Key(NamedTuple):
    """An access key: its id, its secret, and the session's token where it is a role's."""

    key_id: str
    secret: str
    token: str | None = None


EVERYBODY = Key("AKIAMOTO", "any")  # until IAM is obeyed


def client(service: str, url: str, key: Key) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=key.key_id,
        aws_secret_access_key=key.secret,
        aws_session_token=key.token,
        config=Config(
            s3={"addressing_style": "path"},
            retries={"total_max_attempts": 1},
            request_checksum_calculation="when_required",
        ),
    )


class Cloud(NamedTuple):
    """An account on moto with a landing bucket and three customers; IAM is obeyed."""

    url: str
    gate_url: str
    """moto behind the gate that holds the conditions, too."""
    landing: Mapping[str, str]
    """The landing stack's outputs."""
    keys: dict[str, Key]
    """The customers' credentials, and those of `admin`, who may do everything."""
    policies: Mapping[str, Mapping[str, Any]]
    """The policy that IAM keeps for each customer."""

    def s3(self, name: str) -> Any:
        """S3 as the holder of these credentials meets it, the policy's conditions included."""
        return client("s3", self.gate_url, self.keys[name])

    def admin(self, service: str = "s3") -> Any:
        return client(service, self.url, self.keys["admin"])

    def add_user(self, name: str, actions: list[str]) -> None:
        """Make a user who may do these things everywhere, and remember the key."""
        self.keys[name] = make_user(self.admin("iam"), name, actions)


def _deploy(url: str, path: Path, without: tuple[str, ...] = (), **parameters: str) -> dict[str, str]:
    """Make a stack of a template; its outputs. `without` are the parts that moto cannot make and trips over.

    A secret goes to Secrets Manager, which moto does not deploy: here it is one more output.
    """
    text = json.loads(json.dumps(load(str(path))))
    for part in without:
        del text["Resources" if part in text["Resources"] else "Outputs"][part]
    if parameters.get("Access", "key") == "key" and "AgentKey" in text["Resources"]:
        secret = {"Fn::GetAtt": ["AgentKey", "SecretAccessKey"]}
        text["Outputs"] |= {"Secret": {"Value": secret}, "KeyId": {"Value": {"Ref": "AgentKey"}}}
    cloudformation = client("cloudformation", url, EVERYBODY)
    name = f"outbox-{parameters.get('Customer', 'landing')}".replace("_", "-")
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=json.dumps(text),
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def obey_iam(url: str) -> None:
    """Have moto check signatures and policies from now on."""
    request = urllib.request.Request(
        f"{url}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=30):
        pass


def make_user(iam: Any, name: str, actions: list[str]) -> Key:
    iam.create_user(UserName=name)
    allowed = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return Key(made["AccessKeyId"], made["SecretAccessKey"])


def _role_key(url: str, customer: str) -> Key:
    """What Roles Anywhere hands out for a certificate: moto has it from its own STS."""
    roles = client("iam", url, EVERYBODY).list_roles(PathPrefix="/outbox/")["Roles"]
    (arn,) = [role["Arn"] for role in roles if role["RoleName"].startswith(f"outbox-{customer}-")]
    made = client("sts", url, EVERYBODY).assume_role(RoleArn=arn, RoleSessionName="server1")["Credentials"]
    return Key(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])


def _policy(iam: Any, customer: str) -> Mapping[str, Any]:
    found = [
        policy
        for policy in iam.list_policies(Scope="Local")["Policies"]
        if policy["PolicyName"].startswith(f"outbox-{customer}-PutOnly")
    ]
    version = iam.get_policy_version(PolicyArn=found[0]["Arn"], VersionId=found[0]["DefaultVersionId"])
    document: Mapping[str, Any] = version["PolicyVersion"]["Document"]
    return document


@contextmanager
def deployed(folder: Path) -> Iterator[Cloud]:
    """The account for the length of a `with` block."""
    with moto.serving(folder) as url:
        iam = client("iam", url, EVERYBODY)
        landing = _deploy(url, LANDING, BucketName=BUCKET, Prefix=PREFIX, **SNOWFLAKE)
        keys = {"admin": make_user(iam, "admin", ["*"])}
        for customer in ("acme", "acme2"):
            made = _deploy(url, CUSTOMER, BucketName=BUCKET, Prefix=PREFIX, Customer=customer)
            keys[customer] = Key(made["KeyId"], made["Secret"])
        anchor = "arn:aws:rolesanywhere:us-east-1:123456789012:trust-anchor/0b1c"
        _deploy(
            url,
            CUSTOMER,
            without=("AgentProfile", "CredentialProcess"),
            BucketName=BUCKET,
            Prefix=PREFIX,
            Customer="umbrella",
            Access="roles-anywhere",
            TrustAnchorArn=anchor,
        )
        keys["umbrella"] = _role_key(url, "umbrella")
        policies = {name: _policy(iam, name) for name in keys if name != "admin"}
        obey_iam(url)
        by_key = {keys[name].key_id: policy for name, policy in policies.items()}
        with gate.serving(url, by_key) as door:
            yield Cloud(url, door.url, landing, keys, policies)
