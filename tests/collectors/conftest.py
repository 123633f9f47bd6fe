from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from collectors.collector import Context
from collectors.http.client import Http
from collectors.open_meteo.collector import OpenMeteo
from outbox.config.sections import NetworkOptions
from outbox.retry import Retry
from tests.collectors.loopback import Loopback
from tests.support import mariadb as mariadb_server
from tests.support import postgres as postgresql

DATA = Path(__file__).parent.parent / "data"
KEY = "CANARY-7f3a19c2-key"


class Clock:
    """A clock that moves only when told to, or slept on."""

    def __init__(self, now=datetime(2026, 11, 23, 5, 6, tzinfo=UTC)):
        self.now = now
        self.start = now
        self.sleeps = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.sleeps.append(seconds)
        self.now += timedelta(seconds=seconds)

    def monotonic(self):
        return (self.now - self.start).total_seconds()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def stack():
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def serve(stack):
    """serve(script) starts a loopback server for the length of the test."""
    return lambda script, tls=None: stack.enter_context(Loopback(script, tls))


@pytest.fixture
def make_http(stack, clock):
    def make(attempts=1, limit_s=600.0, network=None, **kwargs):
        retry = Retry(
            attempts=attempts,
            limit_s=limit_s,
            sleep=clock.sleep,
            monotonic=clock.monotonic,
            jitter=lambda: 1.0,
        )
        network = NetworkOptions(**{"timeout": "5s", "connect_timeout": "5s", **(network or {})})
        return stack.enter_context(Http(retry=retry, network=network, **kwargs))

    return make


@pytest.fixture
def make_source(make_http, clock):
    """make_source(url, …) is an OpenMeteo of Helsinki, with options as an INI file has them: as text."""

    def make(url="", *, http=None, zone="Europe/Helsinki", **options):
        options = {"places": "Helsinki, 60.1695, 24.9354", **options}
        if not options.keys() & {"current", "hourly", "daily", "archive"}:
            options["current"] = "temperature_2m"
        model = OpenMeteo.Options(collector="open_meteo", url=url, **options)
        context = Context("weather", ZoneInfo(zone), http or make_http(), lambda _reference: KEY, clock)
        return OpenMeteo(model, context)

    return make


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL of our own; the test is skipped where none is installed."""
    if reason := postgresql.reason_not_to_run():
        pytest.skip(reason)
    with postgresql.serving() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb():
    """A MariaDB of our own; the test is skipped where none is installed."""
    if reason := mariadb_server.reason_not_to_run():
        pytest.skip(reason)
    with mariadb_server.serving() as server:
        yield server
