"""A line of the configuration that is misspelt and holds a key: the error says what is wrong, never the key."""

import pytest

KEY = "PLANTED-9f3a77c1e5d2"
REST = "collector = rest\nurl = https://api.example.com/x\nentity = id\ntime = at\nvalues = v\n"
SQL = "collector = sql\ntable = t\nentity = id\ntime = at\nvalues = v\n"
MISSPELT = {
    "a header without a colon": REST + f"headers = Authorization Bearer {KEY}\n",
    "a header with an equals sign": REST + f"headers = X-Api-Key={KEY}\n",
    "a query with a colon": REST + f"query = api_key: {KEY}\n",
    "a header's name left out": REST
    + f"auth = header\nauth_header = Bearer {KEY}\nsecret = file:secrets/x\n",
    "a body that is not JSON": REST + f'method = POST\nbody = {{"password":"{KEY}",}}\n',
    "a slash in a password": SQL + f"url = postgresql://u:a/{KEY}@h/d\n",
    "an address of ODBC": SQL + f"url = Driver=x;Uid=u;Pwd={KEY}\n",
    "a password in an address": SQL + f"url = postgresql://u:{KEY}@h/d\n",
    "an address without a scheme": REST.replace("https://api.example.com/x", f"u:{KEY}@h/x"),
    "an option that is not there": REST + f"apikey = {KEY}\n",
    "an option by another name": REST + f"secert = {KEY}\n",
    "a key pasted on a line of its own": REST + f"{KEY}\n",
    "a key where an option's name belongs": REST + f"{KEY}: Bearer\n",
    "a secret in place of its reference": REST + f"auth = header\nsecret = {KEY}\n",
}


@pytest.mark.parametrize("mistake", MISSPELT)
def test_no_error_about_a_line_shows_the_key_in_it(agent, outbox, mistake):
    agent.configure(f"[source:s]\n{MISSPELT[mistake]}")
    results = [
        outbox(*words)
        for words in (["check", "--offline"], ["collect"], ["status"], ["preview", "s"], ["upload"])
    ]
    assert results[0].code == 78
    assert [KEY in result.out + result.err for result in results] == [False] * len(results)
    kept = [path for path in agent.folder.rglob("*") if path.is_file() and path.name != "config.ini"]
    assert [path.name for path in kept if KEY.encode() in path.read_bytes()] == []


@pytest.mark.parametrize("padding", ["=", "=="])
def test_a_key_in_base64_on_its_own_line_is_not_shown_as_an_options_name(agent, outbox, padding):
    key = "UExBTlRFRC05ZjNhNzdjMWU1ZDI"
    agent.configure(f"[source:s]\n{REST}{key}{padding}\n")
    results = [
        outbox(*words) for words in (["check", "--offline"], ["collect"], ["status"], ["preview", "s"])
    ]
    assert "config.ini:14  [source:s]: unknown option. Known: attributes" in results[0].out
    assert "Its name is not shown: it may be a key" in results[0].out
    shown = "".join(result.out + result.err for result in results).casefold()
    assert [key[start : start + 8] for start in range(20) if key[start : start + 8].casefold() in shown] == []
    kept = [path for path in agent.folder.rglob("*") if path.is_file() and path.name != "config.ini"]
    assert [path.name for path in kept if key.casefold().encode() in path.read_bytes().lower()] == []


@pytest.mark.parametrize("to", [f"s3://u:{KEY}@b", f"https://u:{KEY}@h/b", f"{KEY}"])
def test_no_error_about_the_destination_shows_the_key_in_it(agent, outbox, to):
    agent.configure(to=to)
    results = [outbox("check", "--offline"), outbox("upload"), outbox("status")]
    assert results[0].code == 78
    assert [KEY in result.out + result.err for result in results] == [False] * len(results)
