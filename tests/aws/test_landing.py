"""landing.yaml: what it makes of an empty account, and what it lets Snowflake do.

moto deploys the bucket, its encryption, the role and the topic; the rest is read from the filled-in template.
"""

import subprocess
import sys
from typing import Any

import pytest
from cfnlint.decode.cfn_yaml import load

from tests.aws.cloud import BUCKET, SNOWFLAKE, Cloud
from tests.aws.policy import permits
from tests.aws.template import CUSTOMER, LANDING, refusals, resources

pytestmark = pytest.mark.xdist_group("moto-iam")
LINT = "from cfnlint.runner import main; main()"
ARN = f"arn:aws:s3:::{BUCKET}"


def test_cfn_lint_has_nothing_to_say():
    done = subprocess.run(
        [sys.executable, "-c", LINT, "--include-checks", "I", "--", str(LANDING), str(CUSTOMER)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_outputs_are_what_the_next_step_asks_for(cloud: Cloud):
    assert cloud.landing == {
        "Destination": "s3://example-landing/raw",
        "StageUrl": "s3://example-landing/raw/data/",
        "SnowflakeRoleArn": "arn:aws:iam::123456789012:role/outbox-snowflake",
        "AlarmTopicArn": "arn:aws:sns:us-east-1:123456789012:example-landing-alarms",
    }


def test_the_bucket_encrypts_keeps_versions_and_is_closed_to_the_public(cloud: Cloud):
    rules = cloud.admin().get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    bucket = resources(LANDING)["Bucket"]  # the rest moto does not deploy
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert bucket["PublicAccessBlockConfiguration"] == dict.fromkeys(
        ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
    )


def test_a_deleted_stack_leaves_the_bucket_and_its_objects():
    text = load(str(LANDING))["Resources"]["Bucket"]
    assert (text["DeletionPolicy"], text["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_one_number_decides_how_long_objects_are_kept():
    rules = {
        rule["Id"]: rule
        for rule in resources(LANDING, RetentionDays="77")["Bucket"]["LifecycleConfiguration"]["Rules"]
    }
    assert rules["data"] == {
        "Id": "data",
        "Status": "Enabled",
        "Prefix": "raw/data/",
        "ExpirationInDays": "77",
        "NoncurrentVersionExpiration": {"NoncurrentDays": 30},
    }
    assert rules["trials"]["Prefix"] == "raw/check/"
    assert rules["trials"]["ExpirationInDays"] == 7
    assert rules["unfinished"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}


def test_snowpipe_hears_of_data_and_of_nothing_else():
    notify = resources(LANDING, **SNOWFLAKE)["Bucket"]["NotificationConfiguration"]
    (queue,) = notify["QueueConfigurations"]
    assert (queue["Event"], queue["Queue"]) == ("s3:ObjectCreated:*", SNOWFLAKE["SnowpipeQueueArn"])
    assert queue["Filter"]["S3Key"]["Rules"] == [{"Name": "prefix", "Value": "raw/data/"}]


@pytest.mark.parametrize("half", ["SnowflakeUserArn", "SnowflakeExternalId"])
def test_half_of_what_snowflake_says_is_refused(half: str):
    assert refusals(LANDING) == []
    assert refusals(LANDING, **SNOWFLAKE) == []
    assert refusals(LANDING, **{half: SNOWFLAKE[half]}) == [
        "SnowflakeUserArn and SnowflakeExternalId belong together."
    ]


def test_before_snowflake_has_said_anything_there_is_a_bucket_and_no_role():
    made = resources(LANDING)
    assert "SnowflakeRole" not in made
    assert "TrustAnchor" not in made
    assert "NotificationConfiguration" not in made["Bucket"]


def test_nobody_comes_without_tls():
    policy = resources(LANDING)["BucketPolicy"]["PolicyDocument"]
    (statement,) = policy["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Resource"] == [ARN, f"{ARN}/*"]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    permissive = {"Statement": [*policy["Statement"], {"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    for secure, allowed in (("true", True), ("false", False)):
        assert permits(permissive, "s3:PutObject", f"{ARN}/x", aws_securetransport=secure) is allowed


def test_only_snowflakes_user_with_the_external_id_takes_its_role(cloud: Cloud):
    role = cloud.admin("iam").get_role(RoleName="outbox-snowflake")["Role"]
    assert role["Arn"] == cloud.landing["SnowflakeRoleArn"]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"AWS": SNOWFLAKE["SnowflakeUserArn"]}
    assert trust["Condition"] == {"StringEquals": {"sts:ExternalId": SNOWFLAKE["SnowflakeExternalId"]}}


@pytest.mark.parametrize(
    ("action", "resource", "context", "allowed"),
    [
        ("s3:GetObject", "/raw/data/customer=acme/x.ndjson.zst", {}, True),
        ("s3:GetObjectVersion", "/raw/data/customer=acme/x.ndjson.zst", {}, True),
        ("s3:GetBucketLocation", "", {}, True),
        ("s3:ListBucket", "", {"s3_prefix": "raw/data/"}, True),
        ("s3:ListBucket", "", {"s3_prefix": "raw/data/customer=acme/"}, True),
        ("s3:ListBucket", "", {"s3_prefix": "raw/"}, False),
        ("s3:ListBucket", "", {}, False),
        ("s3:GetObject", "/raw/check/customer=acme/x", {}, False),
        ("s3:GetObject", "/other/data/x", {}, False),
        ("s3:PutObject", "/raw/data/customer=acme/x", {}, False),
        ("s3:DeleteObject", "/raw/data/customer=acme/x", {}, False),
        ("s3:ListBucketVersions", "", {}, False),
    ],
)
def test_snowflake_reads_what_landed_and_nothing_else(
    action: str, resource: str, context: dict[str, Any], allowed: bool
):
    (policy,) = resources(LANDING, **SNOWFLAKE)["SnowflakeRole"]["Policies"]
    assert permits(policy["PolicyDocument"], action, ARN + resource, **context) is allowed


def test_the_alarms_count_the_buckets_bytes_and_objects_and_reach_somebody():
    made = resources(LANDING, MaxStoredBytes="5", MaxStoredObjects="6", **SNOWFLAKE)
    watched = {
        (alarm["MetricName"], alarm["Dimensions"][1]["Value"]): (alarm["Threshold"], alarm["AlarmActions"])
        for alarm in (made["StoredBytesAlarm"], made["StoredObjectsAlarm"])
    }
    assert watched == {
        ("BucketSizeBytes", "StandardStorage"): ("5", ["{Alarms}"]),
        ("NumberOfObjects", "AllStorageTypes"): ("6", ["{Alarms}"]),
    }
    assert made["AlarmSubscription"]["Endpoint"] == "ops@example.com"


def test_a_certificate_authority_makes_a_trust_anchor():
    anchor = resources(LANDING, CertificateAuthority="-----BEGIN CERTIFICATE-----")["TrustAnchor"]
    assert anchor["Source"]["SourceType"] == "CERTIFICATE_BUNDLE"
    assert anchor["Source"]["SourceData"] == {"X509CertificateData": "-----BEGIN CERTIFICATE-----"}
