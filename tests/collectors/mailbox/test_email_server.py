"""The way to the mailbox: TLS, logins, and servers that drop, refuse, stall and talk nonsense."""

import json
import threading

import pytest

from collectors.email.collector import Email
from outbox.config.sections import NetworkOptions
from outbox.errors import LoginRefusedError, PermanentError, TransientError
from tests.support import dovecot
from tests.support.certificates import Authority
from tests.support.imap import Listening, relay, scripted
from tests.support.mail import ORDERS, mail

pytestmark = pytest.mark.xdist_group("dovecot")


def rows(pages):
    return [record for page in pages for record in page.records if record.stream != "mailbox"]


CAPABILITIES = {b"CAPABILITY": b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nTAG OK done"}


def in_the_clear(listening):
    return {"host": "127.0.0.1", "security": "none", "port": str(listening.port)}


@pytest.mark.parametrize("security", ["tls", "starttls", "none"])
def test_every_way_of_security(server, user, make_email, security):
    server.put(user, mail(("orders.csv", ORDERS)))
    assert len(rows(make_email(security=security).collect({}))) == 2


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_certificate_that_nobody_vouches_for_is_refused(make_email, tmp_path, security):
    network = NetworkOptions(ca_bundle=str(Authority(tmp_path).bundle), timeout="5s", connect_timeout="5s")
    with pytest.raises(PermanentError, match="certificate is not trusted") as caught:
        list(make_email(security=security, network=network).collect({}))
    assert "ca_bundle" in caught.value.hint


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_the_systems_store_is_asked_too(make_email, security):
    network = NetworkOptions(timeout="5s", connect_timeout="5s")
    with pytest.raises(PermanentError, match="certificate is not trusted"):
        list(make_email(security=security, network=network).collect({}))


def test_a_certificate_of_another_host_is_refused(make_email, authority, tmp_path):
    with (
        dovecot.serving(Authority.issue(authority, "mail.example")) as other,
        pytest.raises(PermanentError, match="certificate is not trusted"),
    ):
        list(make_email(port=str(other.tls_port)).collect({}))


def test_a_server_without_starttls_hears_no_password(make_email):
    heard = []

    def handle(client):
        client.sendall(b"* OK ready\r\n")
        for line in client.makefile("rb"):
            heard.append(line)
            client.sendall(b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n" + line.split()[0] + b" OK done\r\n")

    with Listening(handle) as listening, pytest.raises(PermanentError, match="does not offer STARTTLS"):
        list(make_email(security="starttls", port=str(listening.port), host="127.0.0.1").collect({}))
    assert not any(word in b"".join(heard).upper() for word in (b"LOGIN", b"AUTHENTICATE"))


def test_a_connection_that_breaks_anywhere_loses_and_doubles_nothing(server, user, make_email):
    server.put(user, *(mail((f"{number}.csv", ORDERS), message_id=f"<{number}@x>") for number in range(4)))
    whole = list(make_email().collect({}))
    breaks = 0
    for allowed in range(0, 12_000, 487):
        with relay(server.port, allowed) as way:
            email = make_email(**in_the_clear(way))
            pages = []
            try:
                pages.extend(email.collect({}))
            except TransientError:
                breaks += 1
        known = {page.scope: page.bookmark for page in pages}
        rest = list(make_email().collect(known))
        assert rows(pages) + rows(rest) == rows(whole), allowed
    assert breaks > 10


def test_a_server_that_stalls_is_not_waited_for_for_ever(make_email, authority):
    network = NetworkOptions(ca_bundle=str(authority.bundle), timeout="1s", connect_timeout="1s")
    released = threading.Event()
    with Listening(lambda client: released.wait(5)) as stalling:
        with pytest.raises(TransientError, match="cannot be read"):
            list(make_email(network=network, **in_the_clear(stalling)).collect({}))
        released.set()


@pytest.mark.parametrize(
    "greeting", [b"HTTP/1.1 400 Bad Request", b"* BYE busy", b"\0\xff\xfe", b"* PREAUTH hello"]
)
def test_what_is_no_imap_server_is_an_error_of_its_own_kind(make_email, greeting):
    with scripted({}, greeting=greeting) as odd, pytest.raises((TransientError, PermanentError)):
        list(make_email(**in_the_clear(odd)).collect({}))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"TAG NO [UNAVAILABLE] the directory is down", TransientError),
        (b"TAG NO [INUSE] try later", TransientError),
        (b"TAG NO [AUTHENTICATIONFAILED] wrong", LoginRefusedError),
        (b"TAG NO [EXPIRED] password expired", LoginRefusedError),
        (b"TAG NO no", LoginRefusedError),
        (b"* BYE going down\r\nTAG NO", TransientError),
    ],
)
def test_a_refusal_is_told_from_a_server_that_is_busy(make_email, answer, error):
    with scripted({**CAPABILITIES, b"AUTHENTICATE": answer}) as refusing, pytest.raises(error) as caught:
        list(make_email(**in_the_clear(refusing)).collect({}))
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("capabilities", "secret", "expected"),
    [
        (b"LOGINDISABLED", "plain", "does not offer a password login"),
        (b"IDLE", "pässword", "does not offer a password login"),
        (b"AUTH=PLAIN", "two\nlines", "perhaps a line break"),
        (b"AUTH=PLAIN", "nul\0", "perhaps a line break"),
    ],
)
def test_a_password_that_cannot_be_sent(make_email, capabilities, secret, expected):
    answer = {b"CAPABILITY": b"* CAPABILITY IMAP4rev1 " + capabilities + b"\r\nTAG OK done"}
    with (
        scripted(answer, greeting=b"* OK ready") as odd,
        pytest.raises(PermanentError, match=expected) as caught,
    ):
        list(make_email(secret=secret, **in_the_clear(odd)).collect({}))
    assert secret not in str(caught.value)


def test_an_old_server_gets_a_login_command(make_email, user):
    heard = []

    def handle(client):
        client.sendall(b"* OK ready\r\n")
        for line in client.makefile("rb"):
            tag, rest = line.split(b" ", 1)
            heard.append(rest.strip())
            answer = b" NO wrong\r\n" if rest.startswith(b"LOGIN") else b" OK done\r\n"
            client.sendall(b"* CAPABILITY IMAP4rev1\r\n" + tag + answer)

    with Listening(handle) as listening, pytest.raises(LoginRefusedError, match="wrong"):
        list(make_email(secret='qu"ote\\d', **in_the_clear(listening)).collect({}))
    assert b'LOGIN "%s" "qu\\"ote\\\\d"' % user.encode() in heard


HEADERS = b"From: ann@acme.example\r\nSubject: Orders\r\nMessage-ID: <7@x>\r\n\r\n"


def folder_with(fetched, summary=None):
    """A scripted server of one folder with messages 7 and 8."""
    literal = b"{%d}\r\n%s" % (len(HEADERS), HEADERS)
    line = (
        b'* 1 FETCH (UID %d RFC822.SIZE 900 INTERNALDATE "20-Nov-2026 10:00:00 +0000" BODY[HEADER]<0> %s)\r\n'
    )
    both = b"".join(line % (uid, literal) for uid in (7, 8))
    return scripted(
        {
            **CAPABILITIES,
            b"EXAMINE": b"* 2 EXISTS\r\n* OK [UIDVALIDITY 5] ok\r\nTAG OK [READ-ONLY] done",
            b"SEARCH": b"* SEARCH 8 7\r\nTAG OK done",
            b"RFC822.SIZE": (summary or both) + b"TAG OK done",
            **fetched,
        }
    )


def test_a_message_that_the_server_does_not_hand_over_is_rejected_and_the_rest_goes_on(make_email):
    content = mail(("orders.csv", ORDERS))
    whole = b"* 2 FETCH (UID 8 BODY[]<0> {%d}\r\n%s)\r\nTAG OK done" % (len(content), content)
    with folder_with({b"FETCH 7 ": b"TAG NO message 7 is damaged", b"FETCH 8 ": whole}) as odd:
        pages = list(make_email(**in_the_clear(odd)).collect({}))
    assert ["refuses to deliver it: message 7 is damaged" in item.reason for item in pages[0].rejected] == [
        True
    ]
    assert len(rows(pages)) == 2
    assert [json.loads(page.bookmark)["uid"] for page in pages] == [7, 8, 8]


def test_a_server_that_is_busy_with_a_message_is_waited_for(make_email):
    with folder_with({b"FETCH 7 ": b"TAG NO [UNAVAILABLE] later"}) as odd, pytest.raises(TransientError):
        list(make_email(**in_the_clear(odd)).collect({}))


def test_a_message_that_was_deleted_a_moment_ago_is_passed_over(make_email):
    with folder_with({b"FETCH 7 ": b"TAG OK done", b"FETCH 8 ": b"TAG OK done"}) as odd:
        pages = list(make_email(**in_the_clear(odd)).collect({}))
    assert not rows(pages)
    assert not [item for page in pages for item in page.rejected]


def test_a_message_larger_than_the_server_said_is_rejected(make_email):
    content = mail(("orders.csv", ORDERS * 100))
    whole = b"* 2 FETCH (UID 7 BODY[]<0> {%d}\r\n%s)\r\nTAG OK done" % (len(content), content)
    with folder_with({b"FETCH 7 ": whole, b"FETCH 8 ": b"TAG OK done"}) as odd:
        pages = list(make_email(max_message="1kB", **in_the_clear(odd)).collect({}))
    assert "max_message is 1,000" in pages[0].rejected[0].reason


@pytest.mark.parametrize(
    "summary",
    [
        b'* 1 FETCH (INTERNALDATE "20-Nov-2026 10:00:00 +0000" RFC822.SIZE 900 BODY[HEADER]<0> {%d}\r\n%s UID 7)\r\n'
        % (len(HEADERS), HEADERS),
        b'* 9 FETCH (FLAGS (\\Seen))\r\n* 1 FETCH (UID 7 RFC822.SIZE 900 INTERNALDATE "?" BODY[HEADER]<0> "")\r\n',
        b"* 1 FETCH (UID 7 RFC822.SIZE 900 BODY[HEADER]<0> NIL)\r\n* 1 FETCH (UID 7 FLAGS ())\r\n",
        b"* 1 FETCH (UID 99999 RFC822.SIZE 900)\r\n",
        b"* 1 FETCH (\xff\xfe\r\n",
        b"",
    ],
)
def test_answers_in_any_order_and_broken_ones(make_email, summary):
    content = mail(("orders.csv", ORDERS))
    whole = b"* 2 FETCH (BODY[]<0> {%d}\r\n%s UID 7)\r\nTAG OK done" % (len(content), content)
    with folder_with({b"FETCH 7 ": whole, b"FETCH 8 ": b"TAG OK done"}, summary or b"* 5 EXISTS\r\n") as odd:
        pages = list(make_email(**in_the_clear(odd), senders="*@acme.example").collect({}))
    assert len(rows(pages)) == (2 if b"ann@" in summary else 0)


def test_a_folder_without_lasting_numbers_is_refused(make_email):
    examined = {b"EXAMINE": b"* 2 EXISTS\r\nTAG OK [READ-ONLY] done"}
    with (
        scripted({**CAPABILITIES, **examined}) as odd,
        pytest.raises(PermanentError, match="has no UIDVALIDITY"),
    ):
        list(make_email(**in_the_clear(odd)).collect({}))


def test_the_collector_is_announced():
    from collectors.registry import load

    assert load("email") is Email
