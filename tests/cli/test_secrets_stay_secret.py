"""I9: planted secrets turn up nowhere: not on the terminal, in a log, the database or an object."""

import pytest

from collectors.open_meteo.simulator import Reply
from tests.cli.conftest import source
from tests.support.s3_faults import page, refusal, serving, stored

API_KEY = "CANARY-api-key-3f9c"
KEY_ID, SECRET_KEY = "AKIACANARY0000007Q2F", "CANARY/secret+access/key0000000000000000"
PROXY_PASSWORD = "CANARY-proxy-password"
CANARIES = (API_KEY, KEY_ID, SECRET_KEY, PROXY_PASSWORD)
WEATHER = """\
collector = open_meteo
url = {url}
api_key = file:secrets/open-meteo
places = Helsinki, 60.1695, 24.9354
current = temperature_2m
"""


def spilt(agent, *results):
    """Where a secret is found that belongs into no file but its own."""
    found = []
    for number, result in enumerate(results):
        found += [f"output {number}" for canary in CANARIES if canary in result.out + result.err]
    for path in agent.folder.rglob("*"):
        if path.is_file() and path.parent.name != "secrets":
            found += [str(path) for canary in CANARIES if canary.encode() in path.read_bytes()]
    return found


@pytest.fixture
def planted(agent, outbox):
    """An agent that was given secrets; its configuration refers to them."""
    for name, text in (("open-meteo", API_KEY), ("aws", f"{KEY_ID}\n{SECRET_KEY}")):
        assert outbox("secret", "set", name, stdin=f"{text}\n").code == 0
    return agent


def test_a_secret_that_is_used_is_sent_to_its_server_and_kept_nowhere(planted, outbox, weather):
    with serving(stored()) as s3:
        planted.configure(
            f"[source:weather]\n{WEATHER.format(url=weather.url)}",
            to="s3://b/raw", region="eu-north-1", endpoint_url=s3.url, path_style="yes", credentials="file:secrets/aws",
        )  # fmt: skip
        results = [
            outbox(*words) for words in (["collect"], ["upload"], ["status"], ["check"], ["status", "--json"])
        ]
        results.append(outbox("sql", "SELECT * FROM outbox, bodies, batches, runs, bookmarks"))
        assert [result.code for result in results] == [0] * 6
        assert weather.requests[0].query["apikey"] == API_KEY
        assert KEY_ID in s3.requests[0].headers["authorization"]
        assert not [
            canary for request in s3.requests for canary in CANARIES if canary.encode() in request.body
        ]
    assert spilt(planted, *results) == []


def test_a_server_that_repeats_the_secret_in_its_refusal_spreads_it_no_further(planted, outbox, weather):
    weather._fault = lambda request, reply: Reply(
        400, {}, f'{{"error":true,"reason":"key {API_KEY} is bad"}}'.encode()
    )
    said = f"The key {KEY_ID} with {SECRET_KEY} does not exist"
    results = []
    for answer in (
        refusal(403, "InvalidAccessKeyId", said),
        page(200, ETag=f'"{SECRET_KEY}"'),
        refusal(301, SECRET_KEY, said),
    ):
        with serving(answer) as s3:
            planted.configure(
                f"[source:weather]\n{WEATHER.format(url=weather.url)}",
                f"[source:broken]\ncollector = open_meteo\nurl = {weather.url}\napi_key = {API_KEY}\n",
                to="s3://b/raw", region="eu-north-1", endpoint_url=s3.url, path_style="yes", credentials="file:secrets/aws",
            )  # fmt: skip
            results += [outbox("check"), outbox("collect"), outbox("upload")]
            text = planted.config.read_text(encoding="utf-8")
            planted.config.write_text(text.partition("[source:broken]")[0], encoding="utf-8")
            results += [outbox("collect"), outbox("upload"), outbox("status"), outbox("status", "--json")]
    assert {result.code for result in results} <= {0, 69, 78}
    assert spilt(planted.configure(), *results) == []


def test_a_proxy_with_a_password_is_never_shown(planted, outbox, installed):
    planted.configure(
        f"[network]\nproxy = http://user:{PROXY_PASSWORD}@127.0.0.1:9\nno_proxy =\n",
        source("fixed"),
        f"[source:weather]\n{WEATHER.format(url='http://proxied.example')}",
        run_limit="0s",
    )
    results = [outbox(*words) for words in (["check"], ["collect"], ["status"], ["upload"])]
    text = planted.config.read_text(encoding="utf-8")
    planted.config.write_text(text.replace("no_proxy", "no_prxy"), encoding="utf-8")
    results.append(outbox("check"))
    planted.configure()
    assert spilt(planted, *results) == []
