"""A trial object: does the store take what this agent puts, and may its credentials do more than they should?

Invariants: nothing below data/ is touched, read or listed. Each thing is tried once and on the trial object,
whose name nobody else has; what no agent should be allowed is meant to be refused. What is left behind lies
below check/, which nobody loads.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from outbox.config.sections import NetworkOptions, UploadOptions
from outbox.errors import OutboxError
from uploader.directory import DirectoryStore, folder_of
from uploader.objectstore import Receipt

NOBODY = "-"
"""A name that no customer can have."""


def trial_key(customer: str, name: str) -> str:
    """Return the key of a customer's trial object."""
    return f"check/customer={customer}/{name}"


def try_directory(url: str, key: str, data: bytes) -> bool:
    """Put the trial object into a directory and remove it; return whether it could be removed.

    Raises what put raises.
    """
    DirectoryStore(url).put(key, data)
    with suppress(OSError):
        folder_of(url).joinpath(*key.split("/")).unlink()
        return True
    return False


class S3Trial:
    """One trial object in a bucket: put it first, then ask what else is allowed."""

    def __init__(self, upload: UploadOptions, network: NetworkOptions, *, folder: Path) -> None:
        from uploader.s3.store import S3Store  # noqa: PLC0415 - boto3 costs a second and 30 MB

        self._store = S3Store(upload, network, folder=folder)
        # Stores without conditional puts overwrite by nature: nothing is to be found out there.
        unconditional = upload.model_copy(update={"conditional": False})
        self._overwriting = S3Store(unconditional, network, folder=folder) if upload.conditional else None
        prefix = upload.to.removeprefix("s3://").partition("/")[2]
        self._prefix = f"{prefix}/" if prefix else ""

    def put(self, key: str, data: bytes) -> Receipt:
        """Put the trial object as the uploader puts data; raises what put raises."""
        return self._store.put(key, data)

    def key_shown(self) -> str:
        """Return the access key id in use as people may see it."""
        return self._store.key_shown()

    def excess(self, key: str, data: bytes) -> Iterator[str]:
        """Yield what the credentials may do besides putting what is new, `read` and the like.

        The trial object is there, and gone afterwards where the credentials may delete. Raises what put
        raises where the store neither does a thing nor says that it is not allowed.
        """
        store, overwriting = self._store, self._overwriting
        name = key.rpartition("/")[2]
        foreign = trial_key(NOBODY, name)
        folder = self._prefix + key.removesuffix(name)
        if _allowed(lambda: store.read("get_object", Key=self._prefix + key)):
            yield "read"
        if _allowed(lambda: store.read("list_objects_v2", Prefix=folder, MaxKeys=1)):
            yield "list"
        if overwriting and _allowed(lambda: overwriting.put(key, data)):
            yield "overwrite"
        foreign_put = _allowed(lambda: store.put(foreign, data))
        if foreign_put:
            yield "put for other customers"
        if _allowed(lambda: store.delete(key)):
            yield "delete"
            if foreign_put:
                _allowed(lambda: store.delete(foreign))


def _allowed(attempt: Callable[[], object]) -> bool:
    from uploader.s3.store import denied  # noqa: PLC0415 - boto3 costs a second and 30 MB

    try:
        attempt()
    except OutboxError as error:
        if denied(error):
            return False
        raise
    return True
