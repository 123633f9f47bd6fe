"""What a section may say."""

import re

import pytest
from pydantic import ValidationError

from collectors.email.options import EmailOptions

GOOD = {
    "collector": "email",
    "host": "imap.example.com",
    "user": "data@example.com",
    "secret": "file:secrets/mail",
    "senders": "*@acme.example",
    "attachments": "*.csv",
    "time": "Changed",
    "values": "Qty",
}


def options(**more):
    return EmailOptions.model_validate({**GOOD, **more})


@pytest.mark.parametrize(
    ("security", "port", "expected"), [("tls", "0", 993), ("starttls", "0", 143), ("tls", "1993", 1993)]
)
def test_the_port_is_that_of_the_security(security, port, expected):
    assert options(security=security, port=port).number_of_port == expected


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"host": "imaps://imap.example.com"}, "write e.g. imap.example.com"),
        ({"host": "imap.example.com:993"}, "write the port as an option"),
        ({"host": ""}, "is not a valid server name"),
        ({"host": "imap.example.com\r\nX"}, "is not a valid server name"),
        ({"user": "a\x01b"}, "is not a valid user name"),
        ({"secret": "hunter2"}, "never the secret itself"),
        ({"security": "none"}, "the password would be sent unencrypted"),
        ({"security": "ssl"}, "tls"),
        ({"senders": ""}, "must not be empty"),
        ({"folders": ","}, "must not be empty"),
        ({"folders": "IN\x00BOX"}, "an invisible character"),
        ({"attachments": ""}, "one must say where in a message the table is"),
        ({"auth": "oauth"}, "requires token_url and client_id"),
        ({"token_url": "https://login.example/token", "client_id": "x"}, "requires token_url and client_id"),
        (
            {"auth": "oauth", "client_id": "x", "token_url": "http://login.example/token"},
            "is not a safe address for a secret",
        ),
        (
            {"auth": "oauth", "client_id": "x", "token_url": "https://u:p@login.example/"},
            "is not a safe address for a secret",
        ),
        ({"refresh_token": "file:secrets/consent"}, "requires auth = oauth"),
        ({"stream": "mailbox"}, "reserved for counting messages"),
        ({"max_message": "1GB"}, "less than or equal"),
        ({"since": "yesterday"}, "date"),
        ({"delete": "yes"}, "Extra inputs"),
    ],
)
def test_a_mistake_is_named(wrong, message):
    with pytest.raises(ValidationError, match=re.escape(message)):
        options(**wrong)


def test_what_reads_anew_is_what_means_other_messages_or_columns():
    same = options().meaning()
    for way in (
        {"host": "other.example"},
        {"port": "1"},
        {"every": "1h"},
        {"max_time": "1h"},
        {"secret": "env:X"},
    ):
        assert options(**way).meaning() == same
    for meaning in (
        {"senders": "*"},
        {"subjects": "x"},
        {"since": "2026-01-01"},
        {"encoding": "cp1252"},
        {"body": "html"},
    ):
        assert options(**meaning).meaning() != same
