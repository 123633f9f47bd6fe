"""A folder of exports: CSV, JSON, NDJSON and workbooks, plain or packed. See README.md for the options.

Invariants:
- A file is remembered by its content: one that is renamed is not read again, one that has grown is read on.
- Files are only ever read. One that cannot be read stops no other: the rest is collected, and then the
  source fails and names it, at every run, until it is corrected, moved away, or the pattern leaves it out.
  Its name and beginning are kept as rejected, once, until it is read or somebody dismisses them.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, ClassVar, Literal

import msgspec
from pydantic import Field

from collectors.collector import Context, SourceOptions, Window
from collectors.files.folder import Folder, Found, SwappedError, open_found, refused
from collectors.files.memory import Memory, Prefix, Read, Start
from collectors.mapping.columns import Columns
from collectors.mapping.options import MappingOptions
from collectors.mapping.times import Order
from collectors.portion import Portion
from collectors.tables.lines import Place
from collectors.tables.options import TableOptions
from collectors.tables.table import Table, kind_of
from outbox.config.options import Duration, Flag, Names
from outbox.errors import OutboxError, PermanentError, TransientError, shorten
from outbox.record import MAX_RAW_BYTES, Page, Record, Rejected

FILE, MODIFIED = "@file", "@modified"
MAX_NAMED_FILES = 5
MAY_GROW_S = 86_400.0
"""A file that nobody has written for so long is taken as whole, its last line as well."""


class FilesOptions(TableOptions):
    """A source with `collector = files`."""

    path: str = Field(description="The folder. A share of the network: as \\\\server\\share, never a drive.")
    pattern: Names = Field(("*",), description="Which files, by name: orders-*.csv, *.xlsx.")
    recursive: Flag = Field(False, description="yes: sub-folders too.")
    settle: Duration = Field(60.0, description="A file is finished when it is unchanged for so long.")
    marker: str = Field("", description="A file is finished when another has its name and this: .done.")
    last_line: Literal["auto", "wait", "read"] = Field(
        "auto", description="One without an end waits for it; auto: for a day, or with a marker not at all."
    )


class Files:
    """A folder of exports: CSV, JSON, NDJSON and workbooks, plain or packed with gzip or zstd."""

    Options: ClassVar[type[SourceOptions]] = FilesOptions

    def __init__(self, options: FilesOptions, context: Context) -> None:
        self._options = options
        self._context = context
        self._zone = options.timezone or context.timezone
        self._mapping = Columns.of(options, context)
        self._folder = Folder(
            Path(options.path),
            options.pattern,
            recursive=options.recursive,
            settle_s=options.settle,
            marker=options.marker,
        )

    def collect(self, bookmarks: Mapping[str, str], window: Window | None = None) -> Iterator[Page]:
        """Yield what is new in each file, oldest first; with a window, of all files what is of those days."""
        memory = Memory(bookmarks, self._context.source)
        found = self._folder.files(self._context.now())
        if self._folder.note:
            self._context.note(self._folder.note)
        there = {file.name for file in found}
        failed: list[tuple[str, OutboxError]] = []
        for file in found:
            try:
                yield from self._file(file, memory, there, window)
            except OutboxError as error:
                failed.append((file.name, error))
                if window is None and isinstance(error, PermanentError):
                    yield from self._kept(file, memory, there, error)
            except SwappedError:
                self._context.note(
                    f"{file.name} was changed while others were read: it waits for the next run"
                )
            except FileNotFoundError:
                self._context.note(f"{file.name} is gone")
            except OSError as error:
                if problem := refused(error):
                    failed.append((file.name, problem))
                else:
                    self._context.note(f"{file.name} is held open by its writer: it waits")
        failed += self._folder.problems
        if failed:
            raise self._together(failed, len(found))

    def _kept(self, file: Found, memory: Memory, there: set[str], error: PermanentError) -> Iterator[Page]:
        """Yield what is kept of a file that cannot be read, until it is read or dismissed (I6)."""
        try:
            with open_found(file) as stream, open_found(file) as again:
                start = memory.start(file, self._key(file), stream, there=there, now=self._context.now())
                stream.seek(0)
                head = stream.read(MAX_RAW_BYTES).decode("utf-8", errors="backslashreplace")
                order = self._mapping.order(start.order)
                reading = _Reading(file, self._key(file), start, memory, Prefix(again), self._context, order)
                raw = json.dumps({"file": file.name, "bytes": file.size, "head": head}, ensure_ascii=False)
                portion = Portion()
                portion.add(Rejected(shorten(f"{file.name} cannot be read: it {error.message}", 500), raw))
                yield reading.page(portion, start.place, done=False, refused=True)
        except (OSError, SwappedError):
            return  # gone, exchanged or held open: the error says that it was not read

    def reread(self, raw: str) -> Record | Rejected | None:
        """Return what a rejected row is now, under a section that was corrected."""
        if raw.startswith('{"file":'):
            return Rejected(
                "is a whole file: collect reads it again once it is corrected, or the section", raw
            )
        return self._mapping.reread(raw)

    def _file(self, file: Found, memory: Memory, there: set[str], window: Window | None) -> Iterator[Page]:
        kind_of(file.name, self._options)  # nothing is opened that by its name cannot be a table
        key = self._key(file)
        if memory.is_known(file, key):
            return
        with open_found(file) as stream, open_found(file) as again:
            now = self._context.now()
            start = memory.start(file, key, stream, there=there, now=now)
            stream.seek(0)
            if start.begins_like:
                self._context.note(
                    f"{file.name} begins with what {start.begins_like} holds: that part is not read again"
                )
            order = self._mapping.order(start.order)
            reading = _Reading(file, key, start, memory, Prefix(again), self._context, order)
            if start.done:
                yield reading.page(Portion(), start.place, done=True)
                return
            yield from self._table(file, stream, start, reading, window, order)

    def _table(
        self,
        file: Found,
        stream: IO[bytes],
        start: Start,
        reading: "_Reading",
        window: Window | None,
        order: Order | None,
    ) -> Iterator[Page]:
        table = Table(
            stream,
            file.name,
            self._options,
            self._mapping,
            origin={"file": file.name},
            extra=self._extra(file),
            place=start.place,
            order=order,
            waits=self._may_grow(file),
            note=lambda text: self._context.note(f"{file.name}: {text}"),
        )
        portion, place, silent = Portion(), start.place, 0
        try:
            for outcome in table:
                place = outcome.place
                silent += outcome.found is None
                if window is None or self._is_within(outcome.found, window):
                    portion.add(outcome.found)
                if portion.is_full():
                    yield reading.page(portion, place, done=False)
        except OutboxError:
            if len(portion):
                yield reading.page(portion, place, done=False)
            raise
        if silent:
            self._context.note(f"{file.name}: {silent:,} rows hold no value")
        if table.waiting:
            until = "" if self._options.last_line == "wait" else " or the file is a day old"
            self._context.note(f"{file.name}: {table.waiting}: it waits until it is whole{until} (last_line)")
        # What waits is looked for again, also where the file stays as it is until it is old.
        yield reading.page(portion, place, done=not table.waiting)

    def _may_grow(self, file: Found) -> bool:
        """Whether a line may still be missing its end: while the file is young, if nothing was said."""
        if self._options.last_line != "auto":
            return self._options.last_line == "wait"
        age_s = self._context.now().timestamp() - file.modified_ns / 1e9
        return not self._options.marker and -MAY_GROW_S <= age_s < MAY_GROW_S

    def _extra(self, file: Found) -> dict[str, Any]:
        """The columns that the source adds; a time that nobody asked for would make a bad row another one."""
        modified = {MODIFIED: file.modified} if MODIFIED in self._mapping.needed else {}
        return {FILE: file.name, **modified}

    def _is_within(self, found: Record | Rejected | None, window: Window) -> bool:
        if not isinstance(found, Record):
            return found is not None
        return window.since <= found.observed_at.astimezone(self._zone).date() <= window.until

    def _key(self, file: Found) -> str:
        """How a file is read; where its name or time is a column, they are part of what it says."""
        own = set(TableOptions.model_fields) - set(MappingOptions.model_fields)
        said: list[Any] = [str(getattr(self._options, name)) for name in sorted(own)]
        said.append(self._mapping.fingerprint)
        said += [file.name] if FILE in self._mapping.needed else []
        said += [file.modified_ns] if MODIFIED in self._mapping.needed else []
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]

    def _together(self, failed: list[tuple[str, OutboxError]], count: int) -> OutboxError:
        """One error that names the files; waiting helps only where it helps every one of them."""
        reasons = "; ".join(f"{name} {error.message}" for name, error in failed[:MAX_NAMED_FILES])
        more = f"; and {len(failed) - MAX_NAMED_FILES:,} more" if len(failed) > MAX_NAMED_FILES else ""
        kind = (
            TransientError
            if all(isinstance(error, TransientError) for _, error in failed)
            else PermanentError
        )
        return kind(
            f"{len(failed):,} of {count:,} files cannot be read: {reasons}{more}",
            hint="; ".join(dict.fromkeys(error.hint for _, error in failed[:MAX_NAMED_FILES] if error.hint))
            or None,
        )


class _Reading:
    """The pages of one file, each with the bookmark that is true behind it."""

    def __init__(
        self,
        file: Found,
        key: str,
        start: Start,
        memory: Memory,
        prefix: Prefix,
        context: Context,
        order: Order | None,
    ) -> None:
        self._order = order
        self._file = file
        self._key = key
        self._start = start
        self._memory = memory
        self._prefix = prefix
        self._now = context.now

    def page(self, portion: Portion, place: Place, *, done: bool, refused: bool = False) -> Page:
        """Return the portion as a page; `done` says that the file has nothing more.

        `refused` says that it cannot be read, and that the portion holds what is kept of it.
        """
        length = place.offset or self._file.size
        page = portion.page("")
        before = self._memory.refused(self._start.scope)
        now = page.rejected[0].digest if refused else "" if done else before
        read = Read(
            file=self._file.name,
            key=self._key,
            size=self._file.size,
            modified_ns=self._file.modified_ns,
            head=self._prefix.head(length),
            length=length,
            digest=self._prefix.digest(length),
            offset=place.offset,
            line=place.line,
            done=done,
            at=self._now(),
            order=self._order.text() if self._order else "",
            refused=now,
            late=self._start.late,
        )
        bookmark = self._memory.note(self._start.scope, read)
        outdated = (
            f"the older file {self._file.name} was read again, and says otherwise than what was read since"
            if self._start.late
            else ""
        )
        return msgspec.structs.replace(
            page,
            bookmark=bookmark,
            scope=self._start.scope,
            resolves=(before,) if before and before != now else (),
            outdated=outdated,
        )
