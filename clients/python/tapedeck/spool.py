"""Events on disk, on their way to ingest.

A spool is a folder with one writer:

    lock                 held by the process that writes
    0000000001.spool     segments: a line is the CRC-32 of the event as 8 hex digits, a space, the event as JSON
    cursor               how far ingest has acknowledged; may lag, then a little is sent again with the same ids
    rejects.ndjson       what ingest refused, with the rule, and lines that were damaged on disk

append returns when the lines are synced. What a kill leaves behind it is a last line without its line feed, which
nobody was told was recorded: open cuts it off.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Optional

from . import _disk
from .errors import SpoolError
from .values import time_text

log = logging.getLogger("tapedeck")

SEGMENT_BYTES = 8 << 20
_SUFFIX = ".spool"
_PREFIX = 9  # the CRC and a space


class Position(NamedTuple):
    """A place in the spool: a segment's number and an offset in it."""

    segment: int
    offset: int


@dataclass(frozen=True)
class Line:
    """One line of the spool and where it ends. payload is the event's JSON; when damaged, whatever is there."""

    payload: bytes
    end: Position
    intact: bool = True


class Spool:
    """All methods may be called from several threads."""

    def __init__(self, folder: str | os.PathLike[str], segment_bytes: int = SEGMENT_BYTES) -> None:
        """Opens the spool, or makes it. SpoolBusyError when another Tape has it open."""
        self.folder = Path(folder)
        self._segment_bytes = segment_bytes
        self._mutex = threading.RLock()
        self._broken: Optional[OSError] = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = _disk.lock(self.folder / "lock")
        except OSError as error:
            raise SpoolError(f"open the spool {self.folder}: {error}") from error
        self._lock: Optional[int] = lock
        try:
            self._open()
        except OSError as error:
            os.close(lock)
            raise SpoolError(f"open the spool {self.folder}: {error}") from error

    def _open(self) -> None:
        cursor = _disk.load_json(self.folder / "cursor")
        numbers = self._segments()
        try:
            at = Position(int(cursor["segment"]), int(cursor["offset"]))
        except (TypeError, KeyError, ValueError):
            at = Position(0, 0)
        if not numbers:
            self._cursor = Position(at.segment + 1, 0)
            self._begin(at.segment + 1)
        else:
            cut_tail(self._path(numbers[-1]))
            self._fd = os.open(self._path(numbers[-1]), os.O_WRONLY | os.O_APPEND | _disk.BINARY)
            self._end = Position(numbers[-1], os.fstat(self._fd).st_size)
            if at.segment not in numbers or at.offset > self._path(at.segment).stat().st_size:
                at = Position(next((n for n in numbers if n > at.segment), numbers[0]), 0)
            self._cursor = at
        self._pending = sum(1 for _ in self._lines(self._cursor, self._end))
        cut_tail(self.rejects)
        self._rejected = {entry["id"] for entry in rejects_in(self.folder) if "id" in entry}

    def _segments(self) -> list[int]:
        return sorted(int(p.stem) for p in self.folder.glob("*" + _SUFFIX) if p.stem.isdigit())

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:010d}{_SUFFIX}"

    def _begin(self, number: int) -> None:
        fd = os.open(self._path(number), os.O_WRONLY | os.O_APPEND | os.O_CREAT | _disk.BINARY, 0o600)
        try:
            _disk.sync_folder(self.folder)
        except OSError:
            os.close(fd)
            raise
        self._fd, self._end = fd, Position(number, 0)

    @property
    def rejects(self) -> Path:
        return self.folder / "rejects.ndjson"

    @property
    def pending(self) -> int:
        """How many events are not acknowledged."""
        with self._mutex:
            return self._pending

    @property
    def rejected(self) -> int:
        """How many events are in the rejects file."""
        with self._mutex:
            return len(self._rejected)

    def append(self, payloads: Sequence[bytes]) -> None:
        """Adds events, each one line of JSON, all or none. They are on disk when it returns; SpoolError when they are not."""
        data = b"".join(b"%08x %s\n" % (zlib.crc32(p), p) for p in payloads)
        with self._mutex:
            if self._lock is None:
                raise SpoolError(f"append to the spool {self.folder}: it is closed")
            if self._broken is not None:
                raise SpoolError(f"append to the spool {self.folder}: it failed before: {self._broken}")
            try:
                if self._end.offset >= self._segment_bytes:
                    self._rotate()
                _disk.write_all(self._fd, data)
                os.fsync(self._fd)
            except OSError as error:
                self._undo()
                raise SpoolError(f"append to the spool {self.folder}: {error}") from error
            self._end = Position(self._end.segment, self._end.offset + len(data))
            self._pending += len(payloads)

    def _undo(self) -> None:
        """Takes back what a failed append left, so that no half line stands before the next."""
        try:
            os.ftruncate(self._fd, self._end.offset)
            os.fsync(self._fd)
        except OSError as error:
            self._broken = error

    def _rotate(self) -> None:
        old = self._fd
        self._begin(self._end.segment + 1)
        os.close(old)

    def read(self, count: int, size: int) -> list[Line]:
        """The next lines behind the cursor, at most so many and, beyond the first, so many bytes."""
        with self._mutex:
            start, end = self._cursor, self._end
        lines: list[Line] = []
        for line in self._lines(start, end):
            size -= len(line.payload)
            if len(lines) == count or (lines and size < 0):
                break
            lines.append(line)
        return lines

    def waiting(self) -> list[dict[str, Any]]:
        """The events that are not acknowledged, in order."""
        with self._mutex:
            return [json.loads(line.payload) for line in self._lines(self._cursor, self._end) if line.intact]

    def _lines(self, start: Position, end: Position) -> Iterator[Line]:
        """What is synced from start up to end; append never changes it."""
        for number in self._segments():
            if number < start.segment or number > end.segment:
                continue
            offset = start.offset if number == start.segment else 0
            with open(self._path(number), "rb") as segment:
                segment.seek(offset)
                for text in segment:
                    offset += len(text)
                    if not text.endswith(b"\n") or (number == end.segment and offset > end.offset):
                        break
                    payload = text[_PREFIX:-1]
                    intact = text[:_PREFIX] == b"%08x " % zlib.crc32(payload)
                    yield Line(payload if intact else text[:-1], Position(number, offset), intact)

    def advance(self, line: Line, count: int) -> None:
        """Puts the cursor behind a line, which is so many lines further, and drops segments that are done with."""
        with self._mutex:
            self._cursor = line.end
            self._pending -= count
            try:
                if self._cursor == self._end and self._end.offset >= self._segment_bytes // 4:
                    self._rotate()
                    self._cursor = self._end
                _disk.replace_json(self.folder / "cursor", self._cursor._asdict())
                for number in self._segments():
                    if number < self._cursor.segment:
                        self._path(number).unlink()
            except OSError as error:  # costs a repetition after a restart, no more
                log.warning("spool %s: the cursor could not be saved: %s", self.folder, error)

    def reject(self, payload: bytes, reason: dict[str, Any]) -> None:
        """Puts an event aside, once, with the reason; it is on disk when it returns."""
        entry: dict[str, Any] = {"time": time_text(), **reason}
        try:
            event = json.loads(payload)
            entry = {"id": event["id"], **entry, "event": event}
        except (ValueError, TypeError, KeyError):
            entry["text"] = payload.decode("utf-8", "replace")
        with self._mutex:
            if entry.get("id") in self._rejected:
                return
            try:
                append_line(self.rejects, json.dumps(entry, ensure_ascii=False).encode())
            except OSError as error:
                raise SpoolError(f"write {self.rejects}: {error}") from error
            if "id" in entry:
                self._rejected.add(entry["id"])

    def retry_rejects(self) -> int:
        """Sends what was refused once more, behind all else; returns how many. The file is kept under another name."""
        with self._mutex:
            again = [e["event"] for e in rejects_in(self.folder) if "event" in e]
            if again:
                self.append([json.dumps(e, ensure_ascii=False, separators=(",", ":")).encode() for e in again])
                os.replace(self.rejects, self.rejects.with_name(f"retried-{time_text().replace(':', '')}.ndjson"))
                self._rejected.clear()
            return len(again)

    def close(self) -> None:
        with self._mutex:
            self.abandon()

    def abandon(self) -> None:
        """Closes the files without a lock: in a forked child, whose parent goes on with the spool."""
        if self._lock is not None:
            os.close(self._fd)
            os.close(self._lock)
            self._lock = None


def cut_tail(path: Path) -> None:
    """Cuts off a last line that was never finished."""
    try:
        with open(path, "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            keep = size
            while keep:
                start = max(0, keep - (64 << 10))
                file.seek(start)
                found = file.read(keep - start).rfind(b"\n")
                if found >= 0:
                    keep = start + found + 1
                    break
                keep = start
            if keep < size:
                log.info("%s: cut off %d bytes of a line that was never finished", path, size - keep)
                file.truncate(keep)
                os.fsync(file.fileno())
    except FileNotFoundError:
        pass


def append_line(path: Path, line: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _disk.BINARY, 0o600)
    try:
        _disk.write_all(fd, line + b"\n")
        os.fsync(fd)
    finally:
        os.close(fd)
    _disk.sync_folder(path.parent)


def rejects_in(folder: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The refused events of a spool: id, time, rule, field, value, event."""
    try:
        lines = (Path(folder) / "rejects.ndjson").read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    entries = []
    for line in filter(None, lines):
        try:
            entries.append(json.loads(line))
        except ValueError:
            log.warning("%s: a line of rejects.ndjson is no JSON and was passed over: %.200r", folder, line)
    return entries
