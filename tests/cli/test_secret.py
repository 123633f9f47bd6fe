"""secret set: from a pipe, into a file that only its owner may read."""

import os
import stat

import pytest

from outbox.config.options import SecretRef
from uploader.s3.credentials import read_credentials

KEY, SECRET = "AKIACANARY0000007Q2F", "CANARY/secret+access/key0000000000000000"


def test_a_plain_secret_is_one_line(agent, outbox):
    result = outbox("secret", "set", "open-meteo", stdin=f"  {SECRET} \r\nanother line\n")
    assert (result.code, result.err) == (0, "")
    path = agent.folder / "secrets" / "open-meteo"
    assert SecretRef("file:secrets/open-meteo").read(agent.folder) == SECRET
    assert result.out == (
        f"Saved {path}   only its owner may read it\n"
        "Note  nothing in config.ini refers to file:secrets/open-meteo yet\n"
        "Next  outbox check\n"
    )


def test_the_credentials_of_the_upload_are_two_lines_and_are_read_back(agent, outbox):
    result = outbox("secret", "set", "aws", stdin=f"{KEY}\n{SECRET}\n")
    assert result.code == 0
    found = read_credentials("file:secrets/aws", folder=agent.folder)
    assert (found.access_key_id, found.secret_access_key) == (KEY, SECRET)
    assert SECRET not in result.out + result.err
    assert KEY not in result.out + result.err


def test_credentials_of_another_name_are_known_by_the_configuration(agent, outbox):
    agent.configure(credentials="file:secrets/landing")
    assert outbox("secret", "set", "landing", stdin=f"{KEY}\n{SECRET}\n").code == 0
    assert read_credentials("file:secrets/landing", folder=agent.folder).access_key_id == KEY


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps its rights elsewhere")
def test_nobody_else_may_read_it_not_even_after_it_was_replaced(agent, outbox):
    path = agent.folder / "secrets" / "x"
    outbox("secret", "set", "x", stdin="old\n")
    path.chmod(0o644)
    outbox("secret", "set", "x", stdin="new\n")
    assert path.read_text() == "new\n"
    assert [stat.S_IMODE(found.stat().st_mode) for found in (path.parent, path)] == [0o700, 0o600]


@pytest.mark.parametrize("name", ["../x", "..", ".", ".hidden", "a/b", "a\\b", "C:x", "/etc/passwd", ""])
def test_a_name_that_leads_elsewhere_is_refused(agent, outbox, name):
    before = sorted(agent.folder.parent.rglob("*"))
    result = outbox("secret", "set", name, stdin=f"{SECRET}\n")
    assert result.code == 2
    assert "is a plain file name" in result.err
    assert sorted(agent.folder.parent.rglob("*")) == before


@pytest.mark.parametrize(("name", "stdin"), [("x", ""), ("x", " \n"), ("aws", f"{KEY}\n"), ("aws", "\n")])
def test_nothing_given_is_nothing_changed(agent, outbox, name, stdin):
    result = outbox("secret", "set", name, stdin=stdin)
    assert result.code == 69
    assert "nothing was given" in result.err
    assert not (agent.folder / "secrets").exists()


def test_what_is_no_key_is_refused_and_not_repeated(agent, outbox):
    result = outbox("secret", "set", "aws", stdin=f"{KEY}\n{SECRET} with a space\n")
    assert result.code == 69
    assert "a character that no key has" in result.err
    assert SECRET not in result.out + result.err
    assert not (agent.folder / "secrets").exists()
