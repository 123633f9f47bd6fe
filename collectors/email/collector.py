"""Tables that arrive by e-mail, read from a mailbox over IMAP; the mailbox is never changed.

Invariants:
- A scope is a folder under one UIDVALIDITY, and its bookmark the last UID that was seen: a message is read
  once, and the bookmark moves behind it together with its records. A folder whose UIDVALIDITY changed, or
  whose section means other messages or columns now, is read anew; what is the same is not stored again.
- A message that the source claims (sender, subject, and a table where the section says) becomes records or
  is rejected with its reason and its headers; any other is counted, in the stream `mailbox`.
- One bad message, attachment or row stops no other.
- Where a row was found stands in `origin` alone: the same table mailed twice is no revision.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import ClassVar

import msgspec

from collectors.collector import Context, SourceOptions, Window
from collectors.email.login import credential
from collectors.email.message import BadMessageError, CheckTime
from collectors.email.options import STREAM, EmailOptions
from collectors.email.server import Server, Summary, UnreadableError, logged_in
from collectors.email.tables import Claim, Fetched, MessageTables, read_envelope, rejected
from collectors.mapping.columns import Columns
from collectors.portion import Portion
from outbox.errors import DataError
from outbox.record import Page, Record, Rejected

MAX_UNSTORED = 500
"""Messages that are not claimed move the bookmark with the next one that is, or after so many."""


class Mark(msgspec.Struct, frozen=True):
    """The last UID that was seen, what the section meant then, and the messages so far, seen and claimed.

    `counted` of them are in a record already; `newest` is when the latest of them was received.
    """

    uid: int = 0
    meaning: str = ""
    messages: int = 0
    claimed: int = 0
    counted: int = 0
    newest: datetime | None = None

    def behind(self, summary: Summary, *, claimed: bool) -> "Mark":
        """Return what holds once one more message was seen."""
        received = [moment for moment in (self.newest, summary.received) if moment]
        return msgspec.structs.replace(
            self,
            uid=summary.uid,
            messages=self.messages + 1,
            claimed=self.claimed + claimed,
            newest=max(received, default=None),
        )


class Email:
    """Tables in the messages of a mailbox, attached or in the text, over IMAP."""

    Options: ClassVar[type[SourceOptions]] = EmailOptions

    def __init__(
        self, options: EmailOptions, context: Context, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._options = options
        self._context = context
        self._monotonic = monotonic
        self._mapping = Columns.of(options, context)
        self._claim = Claim(options)
        self._tables = MessageTables(options, self._mapping, context.note)
        meaning = f"{options.meaning()}{self._mapping.fingerprint}"
        self._meaning = hashlib.sha256(meaning.encode()).hexdigest()[:16]

    def collect(self, bookmarks: Mapping[str, str], window: Window | None = None) -> Iterator[Page]:
        """Yield the messages that are new, one a page, or with a window those received on its days."""
        secret = credential(self._options, self._context)
        deadline = self._monotonic() + self._options.max_time
        with logged_in(self._options, self._context.network, secret) as server:
            for folder in self._options.folders:
                scope = f"{folder};UIDVALIDITY={server.open_folder(folder)}"
                mark = self._decode(bookmarks.get(scope, ""))
                for page in self._folder(server, folder, mark, window, deadline):
                    yield msgspec.structs.replace(page, scope=scope)

    def reread(self, raw: str) -> Record | Rejected | None:
        """Return what a rejected row is under this configuration; see Columns.reread."""
        return self._mapping.reread(raw)

    def _folder(
        self, server: Server, folder: str, mark: Mark, window: Window | None, deadline: float
    ) -> Iterator[Page]:
        since, until = self._options.since, None
        if window:
            since, until = max(window.since, since or window.since), window.until + timedelta(days=1)
        stored = mark
        for summary in server.summaries(server.uids(after=mark.uid, since=since, until=until)):
            if not window and self._monotonic() > deadline:  # a back-fill is paused by who asked for it
                self._context.note(f"max_time is over; the next run goes on in {folder}")
                break
            found = self._read(server, folder, summary)
            done = mark.behind(summary, claimed=found is not None)
            if found is not None or done.messages - stored.messages >= MAX_UNSTORED:
                yield from _pages(found or (), before=_encode(mark), after=_encode(done))
                stored = done
            mark = done
        if mark.messages > mark.counted and not window:
            done = msgspec.structs.replace(mark, counted=mark.messages)
            yield Page(records=[self._counted(folder, mark)], bookmark=_encode(done))
        elif mark != stored:
            yield Page(records=[], bookmark=_encode(mark))

    def _read(
        self, server: Server, folder: str, summary: Summary
    ) -> Iterable[Record | Rejected | None] | None:
        """What a message's rows become; None for a message that this source does not claim."""
        envelope = read_envelope(summary.head)
        if not self._claim.means(envelope):
            return None
        if objection := self._claim.objection(envelope, summary.size):
            return [objection]
        limit = self._options.max_message
        try:
            data = server.message(summary.uid, limit + 1)
        except UnreadableError as error:
            return [rejected(str(error), envelope)]
        if data is None:
            return None  # deleted a moment ago
        if objection := self._claim.objection(envelope, len(data)):
            return [objection]
        origin = {"folder": folder, "uid": summary.uid}
        if envelope.message_id:
            origin["message_id"] = envelope.message_id
        return self._tables(Fetched(data, envelope, origin, summary.received), self._time_limit())

    def _time_limit(self) -> CheckTime:
        limit_s = self._options.max_message_time
        deadline = self._monotonic() + limit_s

        def check() -> None:
            if self._monotonic() > deadline:
                raise BadMessageError(f"cannot be read within {limit_s:.0f} s")

        return check

    def _counted(self, folder: str, mark: Mark) -> Record:
        """How many messages this folder had for this source since it is read as it is read now."""
        self._context.note(
            f"{folder} has {mark.messages - mark.counted:,} new messages, "
            f"{mark.claimed:,} of {mark.messages:,} so far are claimed"
        )
        return Record(
            stream=STREAM,
            entity=folder,
            observed_at=mark.newest or self._context.now(),
            values={
                "messages": mark.messages,
                "claimed": mark.claimed,
                "unclaimed": mark.messages - mark.claimed,
            },
            attributes={"host": self._options.host, "user": self._options.user},
        )

    def _decode(self, text: str) -> Mark:
        try:
            mark = msgspec.json.decode(text, type=Mark) if text else Mark()
        except msgspec.DecodeError as error:
            raise DataError(f"the bookmark is none of email's: {error}") from error
        return mark if mark.meaning == self._meaning else Mark(meaning=self._meaning)


def _pages(found: Iterable[Record | Rejected | None], *, before: str, after: str) -> Iterator[Page]:
    """What was found in one message, in as many pages as it needs; only the last one has passed it."""
    portion = Portion()
    for each in found:
        portion.add(each)
        if portion.is_full():
            yield portion.page(before)
    yield portion.page(after)


def _encode(mark: Mark) -> str:
    return msgspec.json.encode(mark).decode()
