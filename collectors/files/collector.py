"""Collects a folder of exports: CSV, JSON, NDJSON and workbooks, plain or compressed. See README.md.

Invariants:
- A file is remembered by its content: a renamed file is not read again, and a longer one is read from where
  reading stopped.
- Files are only read, never changed. A file that cannot be read does not stop the others: they are collected,
  then the source fails and names it, at every run, until it is corrected, moved away or excluded by the
  pattern. Its name and beginning are kept as rejected, once, until it is read or the rejection is dismissed.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, ClassVar, Literal

import msgspec
from pydantic import Field

from collectors.collector import Context, SourceOptions, Window
from collectors.files.folder import Folder, FoundFile, SwappedError, access_error, open_found
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
"""A file that was not written for this long is taken as complete, including its last line."""


class FilesOptions(TableOptions):
    """A source with `collector = files`."""

    path: str = Field(
        description="The folder; a network share as \\\\server\\share, never as a mapped drive."
    )
    pattern: Names = Field(("*",), description="Names of the files to read: orders-*.csv, *.xlsx.")
    recursive: Flag = Field(False, description="yes: read sub-folders, too.")
    settle: Duration = Field(60.0, description="A file is read once it is unchanged for this long.")
    marker: str = Field("", description="Read a file only when NAME plus this exists beside it, e.g. .done.")
    last_line: Literal["auto", "wait", "read"] = Field(
        "auto", description="A last line without a line end; auto: wait a day, or not at all with a marker."
    )


class Files:
    """A folder of exports: CSV, JSON, NDJSON and workbooks, plain or compressed with gzip or zstd."""

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
        """Yield what is new in each file, oldest first; with a window, its days' records from all files."""
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
                    f"{file.name} changed while other files were read: it is left for the next run"
                )
            except FileNotFoundError:
                self._context.note(f"{file.name} was deleted or moved since it was found")
            except OSError as error:
                if problem := access_error(error):
                    failed.append((file.name, problem))
                else:
                    self._context.note(
                        f"{file.name} is locked by another program: it is left for the next run"
                    )
        failed += self._folder.problems
        if failed:
            raise self._together(failed, len(found))

    def _kept(
        self, file: FoundFile, memory: Memory, there: set[str], error: PermanentError
    ) -> Iterator[Page]:
        """Yield what is kept of an unreadable file, until it is read or the rejection is dismissed (I6)."""
        try:
            with open_found(file) as stream, open_found(file) as again:
                start = memory.start(file, self._key(file), stream, there=there, now=self._context.now())
                stream.seek(0)
                head = stream.read(MAX_RAW_BYTES).decode("utf-8", errors="backslashreplace")
                order = self._mapping.order(start.order)
                pages = _FilePages(file, self._key(file), start, memory, Prefix(again), self._context, order)
                raw = json.dumps({"file": file.name, "bytes": file.size, "head": head}, ensure_ascii=False)
                portion = Portion()
                portion.add(Rejected(shorten(f"{file.name} cannot be read: it {error.message}", 500), raw))
                yield pages.page(portion, start.place, done=False, refused=True)
        except (OSError, SwappedError):
            return  # deleted, replaced or locked: the error already says that it was not read

    def reread(self, raw: str) -> Record | Rejected | None:
        """Return what a rejected row becomes under the corrected section; a whole file stays rejected."""
        if raw.startswith('{"file":'):
            return Rejected(
                "is a whole file: correct the file or the section, and collect reads it again", raw
            )
        return self._mapping.reread(raw)

    def _file(
        self, file: FoundFile, memory: Memory, there: set[str], window: Window | None
    ) -> Iterator[Page]:
        kind_of(file.name, self._options)  # a file whose name rules out a table is not even opened
        key = self._key(file)
        if memory.is_known(file, key):
            return
        with open_found(file) as stream, open_found(file) as again:
            now = self._context.now()
            start = memory.start(file, key, stream, there=there, now=now)
            stream.seek(0)
            if start.begins_like:
                self._context.note(
                    f"{file.name} begins with the content of {start.begins_like}: that part is not read again"
                )
            order = self._mapping.order(start.order)
            pages = _FilePages(file, key, start, memory, Prefix(again), self._context, order)
            if start.done:
                yield pages.page(Portion(), start.place, done=True)
                return
            yield from self._table(file, stream, start, pages, window, order)

    def _table(
        self,
        file: FoundFile,
        stream: IO[bytes],
        start: Start,
        pages: "_FilePages",
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
                    yield pages.page(portion, place, done=False)
        except OutboxError:
            if len(portion):
                yield pages.page(portion, place, done=False)
            raise
        if silent:
            self._context.note(f"{file.name}: {silent:,} rows without any value were skipped")
        if table.waiting:
            until = "" if self._options.last_line == "wait" else " or the file is a day old"
            self._context.note(
                f"{file.name}: {table.waiting}: it is read once it is complete{until} (last_line)"
            )
        # An unfinished end is read again, even where the file does not change until it is old.
        yield pages.page(portion, place, done=not table.waiting)

    def _may_grow(self, file: FoundFile) -> bool:
        """Return whether the last line may still be unfinished; by default, while the file is young."""
        if self._options.last_line != "auto":
            return self._options.last_line == "wait"
        age_s = self._context.now().timestamp() - file.modified_ns / 1e9
        return not self._options.marker and -MAY_GROW_S <= age_s < MAY_GROW_S

    def _extra(self, file: FoundFile) -> dict[str, Any]:
        """Return the columns that the source adds; an unused time would make one bad row look like two."""
        modified = {MODIFIED: file.modified} if MODIFIED in self._mapping.needed else {}
        return {FILE: file.name, **modified}

    def _is_within(self, found: Record | Rejected | None, window: Window) -> bool:
        if not isinstance(found, Record):
            return found is not None
        return window.since <= found.observed_at.astimezone(self._zone).date() <= window.until

    def _key(self, file: FoundFile) -> str:
        """Return a digest of how a file is read; its name and time count where they are columns."""
        own = set(TableOptions.model_fields) - set(MappingOptions.model_fields)
        said: list[Any] = [str(getattr(self._options, name)) for name in sorted(own)]
        said.append(self._mapping.fingerprint)
        said += [file.name] if FILE in self._mapping.needed else []
        said += [file.modified_ns] if MODIFIED in self._mapping.needed else []
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]

    def _together(self, failed: list[tuple[str, OutboxError]], count: int) -> OutboxError:
        """Return one error that names the files; it is transient only where every one of them is."""
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


class _FilePages:
    """Makes the pages of one file, each with the bookmark that holds once it is stored."""

    def __init__(
        self,
        file: FoundFile,
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
        """Return the portion as a page; `done` says that the file was read to its end.

        `refused` says that the file cannot be read, and that the portion holds what is kept of it.
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
            f"the older file {self._file.name} was read again, and contradicts what was read since"
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
