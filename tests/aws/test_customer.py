"""customer.yaml: its credentials can put what is new under the customer's own names, and nothing else.

moto checks the signature, the action and the resource of each request. The policy's condition
(If-None-Match) and that a copy reads its source are held by a gate before it, from the policy that IAM keeps.
What only AWS can prove: that S3 fills the condition key as documented, and that Roles Anywhere hands the role
to a certificate of this name alone.
"""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.aws.cloud import BUCKET, Cloud, client
from tests.aws.policy import permits
from tests.aws.template import CUSTOMER, refusals, resources

pytestmark = pytest.mark.xdist_group("moto-iam")
CUSTOMERS = ["acme", "umbrella"]  # by key, by role
ARN = f"arn:aws:s3:::{BUCKET}"


def own(customer: str, name: str = "1.ndjson") -> str:
    return f"raw/data/customer={customer}/site=a/{name}"


@pytest.fixture(params=CUSTOMERS, scope="module")
def customer(request: pytest.FixtureRequest, cloud: Cloud) -> str:
    """A customer's name; one object of theirs is there, put with their own credentials."""
    cloud.s3(request.param).put_object(Bucket=BUCKET, Key=own(request.param), Body=b"theirs", IfNoneMatch="*")
    return str(request.param)


@pytest.mark.parametrize("folder", ["data", "check"])
def test_a_new_object_is_put(cloud: Cloud, customer: str, folder: str):
    key = f"raw/{folder}/customer={customer}/new.ndjson"
    cloud.s3(customer).put_object(Bucket=BUCKET, Key=key, Body=b"new", IfNoneMatch="*")
    assert cloud.admin().get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"new"


def test_an_object_that_exists_stays_as_it_is(cloud: Cloud, customer: str):
    with pytest.raises(ClientError) as caught:
        cloud.s3(customer).put_object(Bucket=BUCKET, Key=own(customer), Body=b"forged", IfNoneMatch="*")
    assert caught.value.response["Error"]["Code"] == "PreconditionFailed"
    assert cloud.admin().get_object(Bucket=BUCKET, Key=own(customer))["Body"].read() == b"theirs"


def test_moto_alone_lets_the_condition_pass_which_is_why_there_is_a_gate(cloud: Cloud, customer: str):
    key = own(customer, "unconditional")
    client("s3", cloud.url, cloud.keys[customer]).put_object(Bucket=BUCKET, Key=key, Body=b"x")
    with pytest.raises(ClientError):
        cloud.s3(customer).put_object(Bucket=BUCKET, Key=key, Body=b"x")


REFUSED: dict[str, Callable[[Any, str], Any]] = {
    "read": lambda s3, c: s3.get_object(Bucket=BUCKET, Key=own(c)),
    "head": lambda s3, c: s3.head_object(Bucket=BUCKET, Key=own(c)),
    "attributes": lambda s3, c: s3.get_object_acl(Bucket=BUCKET, Key=own(c)),
    "read a version": lambda s3, c: s3.get_object(Bucket=BUCKET, Key=own(c), VersionId="x"),
    "list": lambda s3, c: s3.list_objects_v2(Bucket=BUCKET),
    "list its own": lambda s3, c: s3.list_objects_v2(Bucket=BUCKET, Prefix=f"raw/data/customer={c}/"),
    "list versions": lambda s3, c: s3.list_object_versions(Bucket=BUCKET),
    "list buckets": lambda s3, c: s3.list_buckets(),
    "list uploads": lambda s3, c: s3.list_multipart_uploads(Bucket=BUCKET),
    "delete": lambda s3, c: s3.delete_object(Bucket=BUCKET, Key=own(c)),
    "delete a version": lambda s3, c: s3.delete_object(Bucket=BUCKET, Key=own(c), VersionId="x"),
    "overwrite": lambda s3, c: s3.put_object(Bucket=BUCKET, Key=own(c), Body=b"x"),
    "put unconditionally": lambda s3, c: s3.put_object(Bucket=BUCKET, Key=own(c, "2"), Body=b"x"),
    "put as another customer": lambda s3, c: put(s3, own("acme2")),
    "put as a longer name": lambda s3, c: put(s3, own(f"{c}2")),
    "put beside its folder": lambda s3, c: put(s3, f"raw/data/customer={c}"),
    "put elsewhere": lambda s3, c: put(s3, "elsewhere"),
    "put in a bucket that is not": lambda s3, c: s3.put_object(
        Bucket="another-bucket", Key=own(c), Body=b"x", IfNoneMatch="*"
    ),
    "open an object to all": lambda s3, c: s3.put_object_acl(Bucket=BUCKET, Key=own(c), ACL="public-read"),
    "tag": lambda s3, c: s3.put_object_tagging(Bucket=BUCKET, Key=own(c), Tagging={"TagSet": []}),
    "copy": lambda s3, c: s3.copy_object(
        Bucket=BUCKET, Key=own(c, "copy"), CopySource=f"{BUCKET}/{own(c)}", IfNoneMatch="*"
    ),
    "copy another customer's": lambda s3, c: s3.copy_object(
        Bucket=BUCKET, Key=own(c, "copy"), CopySource=f"{BUCKET}/{own('acme2')}"
    ),
    "begin in parts": lambda s3, c: s3.create_multipart_upload(Bucket=BUCKET, Key=own(c, "parts")),
    "policy": lambda s3, c: s3.put_bucket_policy(Bucket=BUCKET, Policy="{}"),
    "read the policy": lambda s3, c: s3.get_bucket_policy(Bucket=BUCKET),
    "versioning": lambda s3, c: s3.put_bucket_versioning(
        Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"}
    ),
    "lifecycle": lambda s3, c: s3.delete_bucket_lifecycle(Bucket=BUCKET),
    "encryption": lambda s3, c: s3.delete_bucket_encryption(Bucket=BUCKET),
    "make a bucket": lambda s3, c: s3.create_bucket(Bucket="of-my-own"),
    "delete the bucket": lambda s3, c: s3.delete_bucket(Bucket=BUCKET),
}


def put(s3: Any, key: str) -> Any:
    return s3.put_object(Bucket=BUCKET, Key=key, Body=b"x", IfNoneMatch="*")


def names(cloud: Cloud) -> list[str]:
    return sorted(item["Key"] for item in cloud.admin().list_objects_v2(Bucket=BUCKET).get("Contents", []))


@pytest.mark.parametrize("what", REFUSED)
def test_everything_else_is_refused(cloud: Cloud, customer: str, what: str):
    before = names(cloud)
    with pytest.raises(ClientError) as caught:
        REFUSED[what](cloud.s3(customer), customer)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert caught.value.response["Error"]["Code"] in ("AccessDenied", "403")  # HEAD has no body
    assert names(cloud) == before
    assert cloud.admin().get_object(Bucket=BUCKET, Key=own(customer))["Body"].read() == b"theirs"


def test_many_deletions_in_one_request_delete_nothing(cloud: Cloud, customer: str):
    answer = cloud.s3(customer).delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": own(customer)}]})
    assert [error["Code"] for error in answer["Errors"]] == ["AccessDenied"]
    assert own(customer) in names(cloud)


def test_a_link_signed_with_the_key_reads_nothing(cloud: Cloud, customer: str):
    """moto lets every signed link pass, so what AWS would ask for it is asked of the policy."""
    for action in ("s3:GetObject", "s3:GetObjectVersion", "s3:DeleteObject"):
        assert not permits(cloud.policies[customer], action, f"{ARN}/{own(customer)}", s3_if_none_match="*")


@pytest.mark.parametrize("service", ["iam", "sts", "cloudformation", "sqs"])
def test_the_key_is_good_for_no_other_service(cloud: Cloud, customer: str, service: str):
    calls = {
        "iam": lambda iam: iam.list_users(),
        "sts": lambda sts: sts.assume_role(
            RoleArn=cloud.landing["SnowflakeRoleArn"], RoleSessionName="thief"
        ),
        "cloudformation": lambda cloudformation: cloudformation.describe_stacks(),
        "sqs": lambda sqs: sqs.list_queues(),
    }
    with pytest.raises(ClientError) as caught:
        calls[service](client(service, cloud.url, cloud.keys[customer]))
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_the_policy_allows_one_action_under_two_names_with_one_header(cloud: Cloud, customer: str):
    policy = cloud.policies[customer]
    (statement,) = policy["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Allow", "s3:PutObject")
    for folder in ("data", "check"):
        resource = f"{ARN}/raw/{folder}/customer={customer}/x"
        assert permits(policy, "s3:PutObject", resource, s3_if_none_match="*")
        assert not permits(policy, "s3:PutObject", resource)


def test_a_stolen_certificate_is_good_for_its_own_customer_only():
    made = resources(CUSTOMER, Customer="umbrella", Access="roles-anywhere", TrustAnchorArn="arn:anchor")
    (trust,) = made["AgentRole"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "rolesanywhere.amazonaws.com"}
    assert trust["Condition"] == {
        "StringEquals": {"aws:PrincipalTag/x509Subject/CN": "umbrella"},
        "ArnEquals": {"aws:SourceArn": "arn:anchor"},
    }
    assert made["AgentProfile"]["RoleArns"] == ["{AgentRole.Arn}"]
    assert made["PutOnly"]["Roles"] == ["{AgentRole}"]
    assert "Users" not in made["PutOnly"]
    assert not {"Agent", "AgentKey", "AgentKeySecret"} & set(made)


def test_certificates_without_an_anchor_are_refused():
    assert refusals(CUSTOMER) == []
    assert refusals(CUSTOMER, Access="roles-anywhere", TrustAnchorArn="arn:anchor") == []
    assert refusals(CUSTOMER, Access="roles-anywhere") == ["Access roles-anywhere needs a TrustAnchorArn."]


def test_a_key_is_kept_where_secret_set_asks_for_it():
    made = resources(CUSTOMER, Customer="acme")
    assert made["AgentKeySecret"]["Name"] == "example-landing/acme"
    assert made["AgentKeySecret"]["SecretString"] == "{AgentKey}\n{AgentKey.SecretAccessKey}"
    assert not {"AgentRole", "AgentProfile"} & set(made)


@pytest.mark.parametrize(
    ("alarm", "metric", "threshold"),
    [("BytesAlarm", "BytesUploaded", "7"), ("ObjectsAlarm", "PutRequests", "8")],
)
def test_the_alarms_watch_one_customer_and_sound_where_the_landings_do(
    cloud: Cloud, alarm: str, metric: str, threshold: str
):
    made = resources(CUSTOMER, Customer="acme", MaxBytesPerHour="7", MaxObjectsPerHour="8")[alarm]
    assert (made["MetricName"], made["Threshold"]) == (metric, threshold)
    assert made["Dimensions"] == [
        {"Name": "BucketName", "Value": BUCKET},
        {"Name": "FilterId", "Value": "acme"},
    ]
    assert made["AlarmActions"] == [cloud.landing["AlarmTopicArn"]]
    assert alarm not in resources(CUSTOMER, Alarms="off")
