"""A collector of which nothing leaves that repeats a secret: the one seam for every kind, third parties' too.

Invariants: an error, a note, a reason, a rejected input and a bookmark hold no stretch of a secret that the
source was lent, nor of the proxy's. What a record says is the customer's own data, and stays as it is.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

import msgspec

from collectors.collector import Collector, Context, Rereads, Window
from outbox.config.options import SecretRef
from outbox.errors import OutboxError, PermanentError
from outbox.record import Page, Record, Rejected
from outbox.redaction import NOT_SHOWN, Secrets


class Lent:
    """The secrets that a source was lent so far, and those of the way to it."""

    def __init__(self, known: Iterable[str]) -> None:
        self._values = set(known)
        self._secrets = Secrets(self._values)

    def through(self, read: Callable[[SecretRef], str]) -> Callable[[SecretRef], str]:
        """Return what reads secrets and remembers them."""

        def lend(reference: SecretRef) -> str:
            value = read(reference)
            self.add(value)
            return value

        return lend

    def add(self, value: str) -> None:
        """Remember a secret."""
        if value not in self._values:
            self._values.add(value)
            self._secrets = Secrets(self._values)

    @property
    def secrets(self) -> Secrets:
        """What was lent, ready to be looked for."""
        return self._secrets


class Screened:
    """A collector whose pages and errors are looked at before anybody else sees them."""

    def __init__(self, collector: Collector, lent: Lent) -> None:
        self._collector = collector
        self._lent = lent

    def collect(self, bookmarks: Mapping[str, str], window: Window | None = None) -> Iterator[Page]:
        """Yield the collector's pages without what repeats a secret; see Collector.collect."""
        try:
            for page in self._collector.collect(bookmarks, window):
                yield self._screened(page)
        except OutboxError as error:
            self._lent.secrets.hide(error)  # as they are by now: the collector may have been lent more
            raise

    def _screened(self, page: Page) -> Page:
        if self._lent.secrets.are_in(page.bookmark):
            raise PermanentError(
                "the bookmark repeats a secret, and is not kept",
                hint="where the next link holds the key: leave keep_cursor out, or send the key in a header",
            )
        rejected = [screened_input(each, self._lent.secrets) for each in page.rejected]
        return msgspec.structs.replace(page, rejected=rejected) if rejected else page


class ScreenedRereads(Screened):
    """The same of a collector that reads rejected inputs again."""

    def reread(self, raw: str) -> Record | Rejected | None:
        """Return what an input is now; see Rereads."""
        assert isinstance(self._collector, Rereads)  # noqa: S101 - `screened` has asked
        found = self._collector.reread(raw)
        return screened_input(found, self._lent.secrets) if isinstance(found, Rejected) else found


def screened(collector: Collector, lent: Lent) -> Screened:
    """Return the collector behind its screen."""
    return (ScreenedRereads if isinstance(collector, Rereads) else Screened)(collector, lent)


def screened_input(found: Rejected, secrets: Secrets) -> Rejected:
    """Return a rejected input without what repeats a secret: its size and digest tell it from others."""
    reason, raw = secrets.shown(found.reason), found.raw
    if secrets.are_in(raw):
        digest = hashlib.sha256(raw.encode(errors="surrogatepass")).hexdigest()[:16]
        raw = f"{NOT_SHOWN}: {len(raw):,} characters, sha256 {digest}"
    return found if (reason, raw) == (found.reason, found.raw) else Rejected(reason, raw)


def screened_context(context: Context, lent: Lent) -> Context:
    """Return the context of a source whose secrets are remembered and whose notes are looked at."""
    return replace(
        context,
        secret=lent.through(context.secret),
        note=lambda text: context.note(lent.secrets.shown(text)),
        hide=lent.add,
    )
