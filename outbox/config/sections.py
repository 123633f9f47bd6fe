"""The sections that every agent has, as models: [agent], [network] and [upload].

A source's section is modelled by its collector.
"""

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from outbox.config.options import Duration, Flag, Names, Options, Size, Zone


def _word(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", text):
        raise ValueError(
            "is no name here: a-z, 0-9, - and _, at most 63 of them, the first a letter or digit"
        )
    return text


def _destination(text: str) -> str:
    url = urlsplit(text)
    if url.scheme == "s3" and "=" in url.path:
        raise ValueError("has a = in its prefix, which parts names from values in the objects below it")
    if url.scheme == "s3" and "@" in url.netloc:
        raise ValueError("holds a login: write s3://bucket/prefix, and the key by outbox secret set aws")
    if url.scheme == "s3" and url.netloc and not url.query:
        return text.rstrip("/")
    if url.scheme == "file" and url.path.strip("/") and not url.query:
        return text.rstrip("/")
    raise ValueError("is not a destination: write s3://bucket/prefix or file:///folder")


def _credentials(text: str) -> str:
    kind, _, name = text.partition(":")
    if text in ("", "env") or (kind in ("file", "profile") and name):
        return text
    raise ValueError("write file:PATH, env, profile:NAME, or leave it empty; never the key itself")


Word = Annotated[str, AfterValidator(_word)]


class AgentOptions(Options):
    """[agent]: who this is and where it lives."""

    customer: Word = Field(description="Whose data this is; given by head office, fixed once records exist.")
    site: Word = Field(description="From which of their places; part of every record's identity.")
    folder: Path = Field(description="Database, logs and secrets; a local disk. Relative to this file.")
    timezone: Zone = Field(ZoneInfo("UTC"), description="Zone of sources that write times without one.")
    disk_floor: Size = Field(2 * 10**9, description="Below this much free disk, collecting waits.")
    run_limit: Duration = Field(1_500.0, description="A run begins nothing new after this long.")


class NetworkOptions(Options):
    """[network]: the way out of the customer's site."""

    proxy: str = Field("", description="http://host:port, or empty; the environment's proxies are not used.")
    no_proxy: Names = Field((), description="Hosts, .suffixes and networks that are reached directly.")
    ca_bundle: str = Field("system", description="system (what the machine trusts), or a PEM file.")
    timeout: Duration = Field(60.0, description="How long to wait for an answer.")
    connect_timeout: Duration = Field(10.0, description="How long to wait for a connection.")


class UploadOptions(Options):
    """[upload]: where records go, and in which portions."""

    to: Annotated[str, AfterValidator(_destination)] = Field(
        description="s3://bucket/prefix, or file:///folder for a local directory."
    )
    region: str = Field("", description="The bucket's region; empty: this machine's AWS settings.")
    endpoint_url: str = Field("", description="For S3-compatible stores; empty: AWS.")
    credentials: Annotated[str, AfterValidator(_credentials)] = Field(
        "", description="file:PATH, env, profile:NAME; empty: whatever boto3 finds."
    )
    every: Duration = Field(300.0, description="How often the scheduled upload is expected to run.")
    keep_sent: Duration = Field(604_800.0, description="A sent record's text goes after this.")
    remember: Duration = Field(
        2_592_000.0, description="How long a sent record is recognised when read again."
    )
    compression: Literal["zstd", "gzip", "none"] = Field("zstd", description="Snowflake reads all three.")
    max_bytes: Size = Field(16 * 10**6, description="Of one object, before compression.")
    max_records: int = Field(50_000, ge=1, le=1_000_000, description="Of one object.")
    parallel: int = Field(4, ge=1, le=32, description="Objects on their way at once; memory grows with it.")
    encryption: Literal["", "AES256", "aws:kms"] = Field("", description="Empty: the bucket's own.")
    kms_key: str = Field("", description="Id or ARN for aws:kms; empty: the account's own.")
    checksum: Literal["sha256", "md5", "none"] = Field("sha256", description="md5: for older stores.")
    conditional: Flag = Field(True, description="no: for stores that do not know If-None-Match.")
    trust_etag: Flag = Field(
        False, description="yes: an ETag that is not the MD5 will do, where no SHA-256 is echoed."
    )
    path_style: Flag = Field(False, description="yes: the bucket in the path, for S3-compatible stores.")
