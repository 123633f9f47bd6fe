"""Which store the configuration names, for writing and for reading; boto3 is loaded where it is S3."""

import os
from collections.abc import Mapping
from pathlib import Path

from outbox.config.sections import NetworkOptions, UploadOptions
from outbox.retry import Retry
from uploader.directory import DirectoryReader, DirectoryStore
from uploader.objectstore import ObjectReader, ObjectStore


def open_store(
    upload: UploadOptions, network: NetworkOptions, *, folder: Path, environ: Mapping[str, str] = os.environ
) -> ObjectStore:
    """Return the store that `[upload] to` names; `folder` is the agent's, where relative paths begin.

    Nothing is contacted yet; PermanentError says that the destination cannot be understood here.
    """
    if upload.to.startswith("file:"):
        return DirectoryStore(upload.to)
    from uploader.s3.store import S3Store  # noqa: PLC0415 - boto3 costs a second and 30 MB

    return S3Store(upload, network, folder=folder, environ=environ)


def open_reader(
    upload: UploadOptions,
    network: NetworkOptions,
    *,
    folder: Path,
    retry: Retry,
    environ: Mapping[str, str] = os.environ,
) -> ObjectReader:
    """Return the reading side of the store that `[upload] to` names; nothing is contacted yet."""
    if upload.to.startswith("file:"):
        return DirectoryReader(upload.to)
    from uploader.s3.reader import S3Reader  # noqa: PLC0415 - boto3 costs a second and 30 MB
    from uploader.s3.store import S3Store  # noqa: PLC0415

    return S3Reader(S3Store(upload, network, folder=folder, environ=environ), retry)
