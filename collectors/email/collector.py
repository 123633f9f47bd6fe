"""Collects tables that arrive by e-mail, from a mailbox over IMAP; the mailbox is never changed.

Invariants:
- A scope is a folder under one UIDVALIDITY, and its bookmark is the last UID that was seen: a message is read
  once, and the bookmark moves past it together with its records. A folder is read again when its UIDVALIDITY
  changed, or when the section now selects other messages or columns; unchanged records are not stored again.
- A message that the source claims (by sender, subject, and a table where the section says) becomes records,
  or is rejected with a reason and its headers; all others are counted in the stream `mailbox`.
- A bad message, attachment or row does not stop the others.
- The place where a row was found is kept in `origin` only: mailing the same table twice makes no revision.
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
"""Unclaimed messages move the bookmark together with the next claimed one, or after this many."""


class FolderMark(msgspec.Struct, frozen=True):
    """The state of one folder: the last UID seen, the section's meaning then, and counts of messages.

    `messages` were seen and `claimed` of them were claimed; `counted` of them are in a record already, and
    `newest` is when the latest of them was received.
    """

    uid: int = 0
    meaning: str = ""
    messages: int = 0
    claimed: int = 0
    counted: int = 0
    newest: datetime | None = None

    def behind(self, summary: Summary, *, claimed: bool) -> "FolderMark":
        """Return the state after one more message."""
        received = [moment for moment in (self.newest, summary.received) if moment]
        return msgspec.structs.replace(
            self,
            uid=summary.uid,
            messages=self.messages + 1,
            claimed=self.claimed + claimed,
            newest=max(received, default=None),
        )


class Email:
    """Tables in the messages of an IMAP mailbox, attached or in the text."""

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
        """Yield new messages, one per page; with a window, the messages received on its days."""
        secret = credential(self._options, self._context)
        deadline = self._monotonic() + self._options.max_time
        with logged_in(self._options, self._context.network, secret) as server:
            for folder in self._options.folders:
                scope = f"{folder};UIDVALIDITY={server.open_folder(folder)}"
                mark = self._decode(bookmarks.get(scope, ""))
                for page in self._folder(server, folder, mark, window, deadline):
                    yield msgspec.structs.replace(page, scope=scope)

    def reread(self, raw: str) -> Record | Rejected | None:
        """Return what a rejected row becomes under this section; see Columns.reread."""
        return self._mapping.reread(raw)

    def _folder(
        self, server: Server, folder: str, mark: FolderMark, window: Window | None, deadline: float
    ) -> Iterator[Page]:
        since, until = self._options.since, None
        if window:
            since, until = max(window.since, since or window.since), window.until + timedelta(days=1)
        stored = mark
        for summary in server.summaries(server.uids(after=mark.uid, since=since, until=until)):
            if not window and self._monotonic() > deadline:  # a back-fill is paused by its caller
                self._context.note(f"max_time was reached; the next run continues in {folder}")
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
        """Return what the rows of a message become; None for a message that this source does not claim."""
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
            return None  # deleted since it was listed
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
                raise BadMessageError(f"takes longer to read than max_message_time ({limit_s:.0f} s)")

        return check

    def _counted(self, folder: str, mark: FolderMark) -> Record:
        """Return a record that counts the folder's messages since it is read under the current section."""
        self._context.note(
            f"{folder} has {mark.messages - mark.counted:,} new messages, "
            f"{mark.claimed:,} of {mark.messages:,} seen so far are claimed"
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

    def _decode(self, text: str) -> FolderMark:
        try:
            mark = msgspec.json.decode(text, type=FolderMark) if text else FolderMark()
        except msgspec.DecodeError as error:
            raise DataError(f"the stored bookmark is not one of an email source: {error}") from error
        return mark if mark.meaning == self._meaning else FolderMark(meaning=self._meaning)


def _pages(found: Iterable[Record | Rejected | None], *, before: str, after: str) -> Iterator[Page]:
    """Yield what was found in one message; only its last page carries the bookmark behind the message."""
    portion = Portion()
    for each in found:
        portion.add(each)
        if portion.is_full():
            yield portion.page(before)
    yield portion.page(after)


def _encode(mark: FolderMark) -> str:
    return msgspec.json.encode(mark).decode()
