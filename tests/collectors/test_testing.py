"""The conformance suite: a good collector passes, and each flaw is caught by the check that is meant for it."""

import logging
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import BaseModel, Field

from collectors.collector import SourceOptions
from collectors.testing import CHECKS, Subject
from outbox.errors import DataError, PermanentError, TransientError
from outbox.record import Page, Record, Rejected

NOW = datetime(2026, 11, 23, 5, tzinfo=UTC)
SECRET = "CANARY-of-the-kit"
BY_NAME = {check.__name__: check for check in CHECKS}


class NumbersOptions(SourceOptions):
    url: str = Field("", description="Where they are.")


class World:
    """Numbers that stand still, and a count of how often one was asked for."""

    def __init__(self, count=25):
        self.count = count
        self.asked = 0

    def read(self, after, size=10):
        self.asked += 1
        return range(after, min(after + size, self.count))


def record(number, **fields):
    given = {
        "stream": "s",
        "entity": f"e{number}",
        "observed_at": NOW + timedelta(minutes=number),
        "values": {"n": number},
    }
    return Record(**(given | fields))


class Numbers:
    Options = NumbersOptions

    def __init__(self, world):
        self.world = world

    def collect(self, bookmarks, window=None):
        if window:
            raise PermanentError("numbers have no past")
        return self._pages(self._after(bookmarks))

    def _after(self, bookmarks):
        text = bookmarks.get("") or "0"
        if not text.isdigit():
            raise DataError("its bookmark is not a number")
        return int(text)

    def _pages(self, after):
        while found := self.world.read(after):
            after = found[-1] + 1
            yield Page(records=[record(number) for number in found], bookmark=str(after))

    def reread(self, raw):
        return record(int(raw)) if raw.isascii() and raw.isdigit() else Rejected("not a number", raw)


class Eager(Numbers):
    def collect(self, bookmarks, window=None):
        if window:
            raise PermanentError("no")
        return iter(list(self._pages(self._after(bookmarks))))


class Listing(Numbers):
    def collect(self, bookmarks, window=None):
        return list(super().collect(bookmarks, window))


class ReadsAllFirst(Numbers):
    def _pages(self, after):
        yield from list(super()._pages(after))


class Skips(Numbers):
    """Its bookmark is ahead of what it has yielded."""

    def _pages(self, after):
        for page in super()._pages(after):
            yield Page(records=page.records, bookmark=str(int(page.bookmark) + 1))


class Doubles(Numbers):
    """What is read again is something else each time."""

    def _pages(self, after):
        for page in super()._pages(after):
            stamped = [record(n, entity=str(self.world.asked)) for n, _ in enumerate(page.records)]
            yield Page(records=stamped, bookmark="0" if int(page.bookmark) < 20 else page.bookmark)


class Forgets(Numbers):
    """Begins anew at every run, and gives what it gives another identity."""

    def _pages(self, after):
        for page in super()._pages(0):
            yield Page(
                records=[record(n, entity=str(self.world.asked)) for n in range(5)], bookmark=page.bookmark
            )


class HugePages(Numbers):
    def _pages(self, after):
        yield Page(records=[record(number) for number in range(10_001)], bookmark="1")


class GivesNothing(Numbers):
    def _pages(self, after):
        yield Page(records=[], bookmark="1")


class NumberedBookmark(Numbers):
    def _pages(self, after):
        yield Page(records=[record(1)], bookmark=17)


class TrustsItsBookmark(Numbers):
    def _after(self, bookmarks):
        return int(bookmarks.get("", "0"))


class WindowIsABug(Numbers):
    def collect(self, bookmarks, window=None):
        if window:
            raise KeyError("window")
        return super().collect(bookmarks)


class RereadsWithABug(Numbers):
    def reread(self, raw):
        return raw.upper()


class Remembers(Numbers):
    def _pages(self, after):
        kept = []
        for page in super()._pages(after):
            kept.append([bytes(200_000), page])
            yield page


class Undescribed(Numbers):
    class Options(SourceOptions):
        url: str = ""


class Loose(Numbers):
    class Options(BaseModel):
        url: str = Field("", description="Where they are.")


def failing(error):
    class Fails(Numbers):
        def _pages(self, after):
            raise error
            yield

    return Fails


class SaysNothing(Numbers):
    def _pages(self, after):
        yield from ()


class Logs(Numbers):
    def _pages(self, after):
        logging.getLogger("kit").warning("asked with %s", SECRET)
        yield from super()._pages(after)


class KeepsItInTheBookmark(Numbers):
    def _pages(self, after):
        for page in super()._pages(after):
            yield Page(records=page.records, bookmark=page.bookmark, rejected=[Rejected("r", SECRET)])


class ChainsIt(Numbers):
    def _pages(self, after):
        raise TransientError("it failed") from ValueError(SECRET)
        yield


def subject(kind=Numbers, spoilt=(), big=None):
    world = World()
    return Subject(
        kind.Options,
        lambda: kind(world),
        spoilt={name: lambda spoilt=spoilt: spoilt(World()) for name, spoilt in dict(spoilt).items()},
        big=big,
        max_memory_bytes=3_000_000,
        asked=lambda: world.asked,
        secrets=(SECRET,),
    )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_good_collector_passes(check):
    bad = {"down": failing(TransientError("down")), "odd": KeepsItInTheBookmark}
    bad = bad if check is not BY_NAME["secrets_stay_secret"] else {"down": bad["down"]}
    check(subject(spoilt=bad, big=lambda: Numbers(World(2_000))))


@pytest.mark.parametrize(
    ("check", "flawed"),
    [
        ("options_are_described", subject(Undescribed)),
        ("options_are_described", subject(Loose)),
        ("pages_are_lazy", subject(Eager)),
        ("pages_are_lazy", subject(Listing)),
        ("pages_are_lazy", subject(ReadsAllFirst)),
        ("pages_can_be_stored", subject(HugePages)),
        ("pages_can_be_stored", subject(GivesNothing)),
        ("pages_can_be_stored", subject(NumberedBookmark)),
        ("a_second_round_finds_nothing_new", subject(Forgets)),
        ("every_bookmark_resumes", subject(Skips)),
        ("every_bookmark_resumes", subject(Doubles)),
        ("a_foreign_bookmark_is_no_bug", subject(TrustsItsBookmark)),
        ("bad_worlds_are_rejected_or_typed_errors", subject(spoilt={"bug": failing(KeyError("bug"))})),
        ("bad_worlds_are_rejected_or_typed_errors", subject(spoilt={"nothing said": SaysNothing})),
        ("rejected_inputs_can_be_read_again", subject(RereadsWithABug)),
        ("secrets_stay_secret", subject(Logs)),
        ("secrets_stay_secret", subject(KeepsItInTheBookmark)),
        ("secrets_stay_secret", subject(spoilt={"chained": ChainsIt})),
        ("secrets_stay_secret", subject(spoilt={"told": failing(PermanentError(f"no login with {SECRET}"))})),
        ("memory_is_bounded", subject(big=lambda: Remembers(World(500)))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_flaw_is_caught(check, flawed):
    with pytest.raises(AssertionError):
        BY_NAME[check](flawed)


def test_a_window_that_is_a_bug_comes_through():
    with pytest.raises(KeyError):
        BY_NAME["a_window_is_read_or_refused"](subject(WindowIsABug))


def test_every_check_is_in_the_list_once():
    assert len(BY_NAME) == len(CHECKS) == 11
