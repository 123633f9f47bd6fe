"""Which store the configuration names."""

import os
from collections.abc import Mapping
from pathlib import Path

from outbox.config.sections import NetworkOptions, UploadOptions
from uploader.directory import DirectoryStore
from uploader.objectstore import ObjectStore


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
