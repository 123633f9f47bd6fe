"""Who the agent is to S3: files, the environment, AWS's own chain; and never a secret in a message."""

import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from outbox.errors import PermanentError
from tests.s3.conftest import DATA, ENVIRON, KEY, KEY_ID, SECRET, TOKEN, MakeStore
from tests.support.s3_faults import serving, stored
from uploader.s3.credentials import Credentials, read_credentials, write_credentials_text

INI = f"[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n"
Read = Callable[[str | bytes], Credentials | None]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return a function that writes a credentials file and reads it by reference."""

    def read_text(text: str | bytes) -> Credentials | None:
        (tmp_path / "secrets").mkdir(exist_ok=True)
        (tmp_path / "secrets" / "aws").write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_credentials("file:secrets/aws", folder=tmp_path, environ={})

    return read_text


@pytest.mark.parametrize(
    "text",
    [
        INI,
        INI.replace("\n", "\r\n"),
        "\ufeff" + INI,
        "# made by head office\n\n" + INI.replace("default", "customer-acme"),
        "[other]\naws_access_key_id = x\naws_secret_access_key = y\n" + INI,
        INI.replace("aws_access_key_id", "AWS_ACCESS_KEY_ID"),
        f"Access key ID,Secret access key\n{KEY_ID},{SECRET}\n",
        f"\ufeffAccess key ID,Secret access key\r\n{KEY_ID},{SECRET}\r\n",
        f"User name,Password,Access key ID,Secret access key,Console login link\nme,,{KEY_ID},{SECRET},x\n",
    ],
    ids=["ini", "crlf", "bom", "only-section", "default-of-two", "capitals", "csv", "csv-bom", "csv-old"],
)
def test_files_as_aws_and_people_make_them(read: Read, text: str):
    found = read(text)
    assert found is not None
    assert (found.access_key_id, found.secret_access_key, found.session_token) == (KEY_ID, SECRET, None)


def test_a_temporary_key_has_a_token(read: Read):
    found = read(f"{INI}aws_session_token = {TOKEN}\n")
    assert found is not None
    assert found.session_token == TOKEN


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("", "has 0 sections"),
        (f"aws_secret_access_key = {SECRET}", "is garbled"),
        (f"[default]\n{SECRET}", "is garbled"),
        (f"[default]\naws_secret_access_key = {SECRET}\naws_secret_access_key = {SECRET}", "is garbled"),
        (f"[default]\naws_secret_access_key = {SECRET}", "has no aws_access_key_id"),
        (f"[default]\naws_access_key_id = {KEY_ID}", "has no aws_secret_access_key"),
        (f"[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key =", "has no aws_secret_access_key"),
        (INI.replace(SECRET, f"{SECRET} canary"), "aws_secret_access_key in"),
        (INI.replace(SECRET, f"“{SECRET}”"), "aws_secret_access_key in"),
        (INI.replace("default", "a") + INI.replace("default", "b"), "has 2 sections and none is [default]"),
        ("Access key ID,Secret access key\n", "holds 0 keys"),
        (f"Access key ID,Secret access key\n{KEY_ID},{SECRET}\nAKIA2,canary\n", "holds 2 keys"),
        (f"Access key ID,Secret access key\n{KEY_ID}\n", "has no aws_secret_access_key"),
        (INI.encode("utf-16"), "is no UTF-8 text"),
    ],
)
def test_a_garbled_file_is_named_and_never_quoted(read: Read, text: str | bytes, fragment: str):
    with pytest.raises(PermanentError) as caught:
        read(text)
    assert fragment in caught.value.message
    assert str(Path("secrets", "aws")) in caught.value.message
    assert "outbox secret set aws" in str(caught.value.hint)
    told = "".join(traceback.format_exception(caught.value))
    assert "canary" not in told
    assert KEY_ID not in told


def test_an_absent_file_is_named(tmp_path: Path):
    with pytest.raises(PermanentError, match=r"absent does not exist yet") as caught:
        read_credentials("file:absent", folder=tmp_path)
    assert "outbox secret set aws" in str(caught.value.hint)


def test_a_folder_is_no_file(tmp_path: Path):
    with pytest.raises(PermanentError, match="cannot be read"):
        read_credentials("file:.", folder=tmp_path)


def test_the_environments_three_variables():
    found = read_credentials("env", folder=Path(), environ=ENVIRON)
    assert found is not None
    assert (found.access_key_id, found.secret_access_key, found.session_token) == (KEY_ID, SECRET, TOKEN)


@pytest.mark.parametrize("missing", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_an_absent_variable_is_named(missing: str):
    with pytest.raises(PermanentError, match=f"(?i)the environment has no {missing}"):
        read_credentials("env", folder=Path(), environ={**ENVIRON, missing: ""})


@pytest.mark.parametrize("token", [None, TOKEN])
def test_what_is_written_is_read(read: Read, token: str | None):
    found = read(write_credentials_text(f" {KEY_ID}\n", SECRET, token))
    assert found is not None
    assert (found.access_key_id, found.secret_access_key, found.session_token) == (KEY_ID, SECRET, token)


@pytest.mark.parametrize(("key_id", "secret"), [("", SECRET), (KEY_ID, ""), (KEY_ID, f"{SECRET}\n[x]\nb=c")])
def test_what_is_no_key_is_not_written(key_id: str, secret: str):
    with pytest.raises(PermanentError) as caught:
        write_credentials_text(key_id, secret)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("key_id", "shown"),
    [(KEY_ID, "AKIA…MPLE"), ("ASIAIOSFODNN7EXAMPLF", "ASIA…MPLF"), ("minio-admin", "…dmin"), ("short", "…")],
)
def test_a_key_is_shown_by_its_kind_and_its_end(key_id: str, shown: str):
    assert Credentials(key_id, SECRET).shown == shown
    assert "canary" not in repr(Credentials(key_id, SECRET, TOKEN))


def test_a_profile_of_the_machine(make_store: MakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "shared").write_text(INI.replace("default", "acme"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "shared"))
    with serving(stored()) as server:
        store = make_store(server.url, credentials="profile:acme")
        assert store.key_shown() == "AKIA…MPLE"
        assert not store.put(KEY, DATA).existed
        with pytest.raises(PermanentError, match="beta"):
            make_store(server.url, credentials="profile:beta").put(KEY, DATA)
    assert len(server.requests) == 1


def test_the_chain_finds_the_environment(make_store: MakeStore, monkeypatch: pytest.MonkeyPatch):
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    with serving(stored()) as server:
        assert not make_store(server.url, credentials="").put(KEY, DATA).existed
    assert KEY_ID in server.requests[0].headers["authorization"]


def test_a_machine_without_any_credentials(make_store: MakeStore):
    with serving(stored()) as server, pytest.raises(PermanentError, match="no AWS credentials") as caught:
        make_store(server.url, credentials="").put(KEY, DATA)
    assert "outbox secret set aws" in str(caught.value.hint)
    assert server.requests == []


@pytest.mark.parametrize(
    ("option", "value", "fragment"),
    [
        ("endpoint_url", "no address", "no address"),
        ("region", "eu north", "eu north"),
        ("to", "s3://b~d/x", "b~d"),
    ],
)
def test_settings_that_boto3_cannot_use(make_store: MakeStore, option: str, value: str, fragment: str):
    with pytest.raises(PermanentError) as caught:
        make_store(**{"url": "http://127.0.0.1:9", option: value}).put(KEY, DATA)
    assert fragment in caught.value.message
    assert f"{option}" in str(caught.value.hint)
