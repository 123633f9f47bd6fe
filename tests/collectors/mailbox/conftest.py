from itertools import count
from zoneinfo import ZoneInfo

import pytest

from collectors.collector import Context
from collectors.email.collector import Email
from outbox.config.sections import NetworkOptions
from tests.support import dovecot
from tests.support.certificates import Authority

TABLE = {"entity": "OrderNo", "time": "Changed", "values": "quantity: Qty [pcs]", "attachments": "*.csv"}
_users = count(1)


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def server(authority):
    """A Dovecot for all tests of this process."""
    if reason := dovecot.reason_not_to_run():
        pytest.skip(reason)
    with dovecot.serving(authority.issue("127.0.0.1", "localhost")) as server:
        yield server


@pytest.fixture
def user():
    """A mailbox of this test's own."""
    return f"user{next(_users)}"


@pytest.fixture
def make_email(server, user, authority, make_http, clock):
    """make_email(…) is a source of this test's mailbox, with options as an INI file has them: as text."""

    def make(
        *, network=None, secret=dovecot.PASSWORD, monotonic=lambda: 0.0, zone="Europe/Helsinki", **options
    ):
        defaults = {
            "host": "localhost",
            "security": "tls",
            "user": user,
            "secret": "env:MAIL",
            "senders": "*",
        }
        options = {**defaults, **TABLE, **options}
        port = server.tls_port if options["security"] == "tls" else server.port
        secrets = secret if isinstance(secret, dict) else {"env:MAIL": secret}
        context = Context(
            "orders",
            ZoneInfo(zone),
            make_http(),
            lambda reference: secrets[str(reference)],
            clock,
            network or NetworkOptions(ca_bundle=str(authority.bundle), timeout="5s", connect_timeout="5s"),
        )
        model = Email.Options(collector="email", **{"port": str(port), **options})
        return Email(model, context, monotonic=monotonic)

    return make
