"""A login that was refused is not tried again: not by the hour, not because a clock jumped."""

import pytest

from outbox.errors import LoginRefusedError
from outbox.refusals import Login, Refusals

SECRET = "CANARY-7f3a19c2-password"


@pytest.fixture
def refusals(agent, clock):
    return Refusals(agent.database, now=clock)


def login(secret=SECRET, section="user = acme", account="acme at imap"):
    return lambda: Login(f"{section}\n{secret}", account and f"{account}\n{secret}")


def is_held_back(refusals, tried=None, source="mail"):
    try:
        refusals.require_untried(source, tried or login())
    except LoginRefusedError:
        return True
    return False


def test_a_login_that_was_never_refused_is_tried_without_asking_what_it_is(refusals):
    refusals.require_untried("mail", lambda: pytest.fail("nobody needs to know"))


def test_a_refused_login_waits_for_six_hours(refusals, clock):
    refusals.note("mail", login(), "AUTHENTICATIONFAILED")
    with pytest.raises(LoginRefusedError) as caught:
        refusals.require_untried("mail", login())
    assert str(caught.value) == (
        "its login was refused at 2026-11-23 02:00 UTC and is not tried again before 2026-11-23 08:00 UTC: "
        "AUTHENTICATIONFAILED\nHint: set its secret anew or correct [source:mail], and it is tried at once; "
        "any change of that section will do"
    )
    assert caught.value.exit_code == 69
    clock.advance(hours=5, minutes=59)
    assert is_held_back(refusals)
    clock.advance(minutes=1)
    assert not is_held_back(refusals)


def test_another_secret_or_another_section_is_tried_at_once(refusals):
    refusals.note("mail", login(), "no")
    assert not is_held_back(refusals, login(secret="another"))
    assert not is_held_back(refusals, login(section="user = beta"))
    assert is_held_back(refusals)


def test_another_source_with_the_same_account_waits_too(refusals, clock):
    refusals.note("mail", login(), "no")
    with pytest.raises(LoginRefusedError) as caught:
        refusals.require_untried("orders", login(section="folder = Orders"))
    assert "its login, which is that of mail, was refused at" in str(caught.value)
    assert "correct [source:mail]" in str(caught.value)
    assert not is_held_back(refusals, login(account="beta at imap"), source="orders")
    assert not is_held_back(refusals, login(secret="another"), source="orders")
    assert not is_held_back(refusals, login(account=""), source="orders")
    clock.advance(hours=6)
    assert not is_held_back(refusals, source="orders")


def test_a_source_that_tries_again_is_held_back_by_its_own_refusal_alone(refusals):
    refusals.note("mail", login(section="a"), "no")
    refusals.note("orders", login(section="b"), "no")
    assert not is_held_back(refusals, login(section="changed"))
    refusals.forget("mail")
    assert is_held_back(refusals, login(section="b"), source="orders")
    assert is_held_back(refusals, login(section="c"), source="new")


def test_sources_without_a_login_have_none_in_common(refusals):
    refusals.note("mail", Login, "no")
    assert not is_held_back(refusals, Login, source="orders")
    assert is_held_back(refusals, Login)


def test_a_second_refusal_begins_the_six_hours_anew(refusals, clock):
    refusals.note("mail", login(), "no")
    clock.advance(hours=6)
    refusals.note("mail", login(), "no")
    clock.advance(hours=5)
    assert is_held_back(refusals)


def test_the_secret_that_was_refused_before_the_last_one_may_be_tried(refusals):
    refusals.note("mail", login("first"), "no")
    refusals.note("mail", login("second"), "no")
    assert not is_held_back(refusals, login("first"))


def test_a_success_forgets_the_refusal(refusals, agent):
    refusals.note("mail", login(), "no")
    refusals.forget("mail")
    refusals.forget("orders")
    assert not is_held_back(refusals)
    assert agent.database.value("SELECT count(*) FROM refusals") == 0


def test_a_clock_that_was_years_ahead_blocks_nothing_once_it_is_right(refusals, clock):
    clock.advance(days=900)
    refusals.note("mail", login(), "no")
    clock.advance(days=-900)
    assert not is_held_back(refusals)
    refusals.note("mail", login(), "no")
    assert is_held_back(refusals)


@pytest.mark.parametrize("hours", [-5, -1, 1, 5])
def test_a_clock_that_is_put_right_by_some_hours_gives_no_second_try(refusals, clock, hours):
    refusals.note("mail", login(), "no")
    clock.advance(hours=hours)
    assert is_held_back(refusals)


def test_no_row_reveals_a_secret_and_no_two_are_alike(refusals, agent):
    for source in ("mail", "orders"):
        refusals.note(source, login(), "no")
    rows = agent.database.execute("SELECT salt, fingerprint, account, * FROM refusals")
    assert SECRET not in repr(rows)
    assert len({text for row in rows for text in row[1:3]}) == 4
    assert {tuple(map(len, row[:3])) for row in rows} == {(16, 32, 32)}


def test_a_damaged_row_holds_nobody_back(refusals, agent):
    refusals.note("mail", login(), "no")
    agent.database.execute("UPDATE refusals SET refused_at = '2026-11-23T02:0\x7f'")
    assert not is_held_back(refusals)
