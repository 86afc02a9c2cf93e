"""Events on disk, on their way to ingest.

A spool is a folder with one writer:

    lock                 held by the process that writes
    0000000001.spool     segments: a line is the CRC-32 of the event as 8 hex digits, a space, the event as JSON;
                         a plus instead of the space when the next line was appended together with this one
    cursor               how far ingest has acknowledged, and the highest sequence it told by then; may lag, then a
                         little is sent again with the same ids
    rejects.ndjson       what ingest refused, with the rule, and what was damaged or lost on disk

append returns when the lines are synced. What a kill leaves behind it is a last line without its line feed, or some
lines of several that belong together, which nobody was told were recorded: open cuts them off.
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
        self.last_sequence = 0
        try:
            self._open()
        except OSError as error:
            os.close(lock)
            raise SpoolError(f"open the spool {self.folder}: {error}") from error

    def _open(self) -> None:
        cut_tail(self.rejects)
        self._rejected = {_mark(entry) for entry in rejects_in(self.folder)}
        cursor = _disk.load_json(self.folder / "cursor")
        numbers = self._segments()
        try:
            at = Position(int(cursor["segment"]), int(cursor["offset"]))
            self.last_sequence = int(cursor.get("sequence", 0))
        except (TypeError, KeyError, ValueError, AttributeError):
            at = Position(0, 0)
        # The segment of the cursor is never dropped, nor one behind it.
        known = [*numbers, *([at.segment] if at.segment else [])]
        for number in range(at.segment or min(known, default=0), max(known, default=-1) + 1):
            if number not in numbers:
                self._lost(f"{self._path(number).name} is missing; what it had waiting is lost")
        if not numbers:
            self._cursor = Position(at.segment + 1, 0)
            self._begin(at.segment + 1)
        else:
            cut_tail(self._path(numbers[-1]))
            cut_part(self._path(numbers[-1]))
            self._fd = os.open(self._path(numbers[-1]), os.O_WRONLY | os.O_APPEND | _disk.BINARY)
            self._end = Position(numbers[-1], os.fstat(self._fd).st_size)
            if at.segment not in numbers or at.offset > self._path(at.segment).stat().st_size:
                at = Position(next((n for n in numbers if n > at.segment), numbers[0]), 0)
            self._cursor = at
        self._pending = sum(1 for _ in self._lines(self._cursor, self._end))

    def _lost(self, what: str) -> None:
        log.error("spool %s: %s", self.folder, what)
        self.reject(what.encode(), {"rule": "was lost from the spool"})

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
        """How many events, and damaged or lost pieces, are in the rejects file."""
        with self._mutex:
            return len(self._rejected)

    def append(self, payloads: Sequence[bytes]) -> None:
        """Adds events, each one line of JSON, all or none. They are on disk when it returns; SpoolError when they are not."""
        last = len(payloads) - 1
        data = b"".join(b"%08x%b%b\n" % (zlib.crc32(p), b" " if i == last else b"+", p) for i, p in enumerate(payloads))
        with self._mutex:
            if self._lock is None:
                raise SpoolError(f"append to the spool {self.folder}: it is closed")
            if self._broken is not None:
                raise SpoolError(f"append to the spool {self.folder}: it failed before: {self._broken}")
            try:
                self._write(data)
            except OSError as error:
                self._undo()
                if not self._free():
                    raise SpoolError(f"append to the spool {self.folder}: {error}") from error
                try:
                    self._write(data)
                except OSError as again:
                    self._undo()
                    raise SpoolError(f"append to the spool {self.folder}: {again}") from again
            self._end = Position(self._end.segment, self._end.offset + len(data))
            self._pending += len(payloads)

    def _write(self, data: bytes) -> None:
        if self._end.offset >= self._segment_bytes:
            self._rotate()
        _disk.write_all(self._fd, data)
        os.fsync(self._fd)

    def _free(self) -> bool:
        """Gives the space of delivered events back when the disk is full; whether there was any.

        The cursor goes first: a stale one would pass over what is written to the segment next.
        """
        if self._broken is not None or self._cursor != self._end or self._end.offset == 0:
            return False
        try:
            (self.folder / "cursor").unlink(missing_ok=True)
            (self.folder / "cursor.tmp").unlink(missing_ok=True)
            _disk.sync_folder(self.folder)
            os.ftruncate(self._fd, 0)
            os.fsync(self._fd)
            for number in self._segments():
                if number < self._end.segment:
                    self._path(number).unlink()
        except OSError as error:
            log.warning("spool %s: delivered events could not be removed: %s", self.folder, error)
            return False
        self._cursor = self._end = Position(self._end.segment, 0)
        return True

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
                    if number == end.segment and (offset > end.offset or not text.endswith(b"\n")):
                        break
                    intact = _intact(text)
                    yield Line(text[_PREFIX:-1] if intact else text.rstrip(b"\n"), Position(number, offset), intact)

    def give_up(self) -> None:
        """Goes on without segments that vanished under way."""
        with self._mutex:
            self._lost(f"segments vanished; {self._pending} events were in them at {time_text()}")
            old = self._fd
            self._begin(max([self._end.segment, *self._segments()]) + 1)
            os.close(old)
            self._cursor, self._pending = self._end, 0

    def advance(self, line: Line, count: int, sequence: int = 0) -> None:
        """Puts the cursor behind a line, which is so many lines further, and drops segments that are done with.

        sequence: the highest that ingest told by now.
        """
        with self._mutex:
            if self._lock is None:
                raise SpoolError(f"the spool {self.folder} is closed")
            self._cursor = line.end
            self.last_sequence = max(self.last_sequence, sequence)
            self._pending -= count
            try:
                if self._cursor == self._end and self._end.offset >= self._segment_bytes // 4:
                    self._rotate()
                    self._cursor = self._end
                _disk.replace_json(self.folder / "cursor", {**self._cursor._asdict(), "sequence": self.last_sequence})
                for number in self._segments():
                    if number < self._cursor.segment:
                        self._path(number).unlink()
            except OSError as error:  # costs a repetition after a restart, no more
                log.warning("spool %s: the cursor could not be saved: %s", self.folder, error)
                self._free()

    def reject(self, payload: bytes, reason: dict[str, Any]) -> None:
        """Puts an event, or whatever it is, aside, once, with the reason; it is on disk when it returns."""
        entry: dict[str, Any] = {"time": time_text(), **reason}
        try:
            event = json.loads(payload)
            entry = {"id": event["id"], **entry, "event": event}
        except (ValueError, TypeError, KeyError):
            entry["text"] = payload.decode("utf-8", "replace")
        with self._mutex:
            if self._lock is None:
                raise SpoolError(f"the spool {self.folder} is closed")
            if _mark(entry) in self._rejected:
                return
            try:
                append_line(self.rejects, json.dumps(entry, ensure_ascii=False).encode())
            except OSError as error:
                raise SpoolError(f"write {self.rejects}: {error}") from error
            self._rejected.add(_mark(entry))

    def retry_rejects(self) -> int:
        """Sends what was refused once more, behind all else; returns how many.

        The file is kept under another name. What is no event stays in the new one: somebody must look at it.
        """
        with self._mutex:
            entries = rejects_in(self.folder)
            again = [e["event"] for e in entries if "event" in e]
            if again:
                self.append([json.dumps(e, ensure_ascii=False, separators=(",", ":")).encode() for e in again])
                os.replace(self.rejects, self.rejects.with_name(f"retried-{time_text().replace(':', '')}.ndjson"))
                rest = [e for e in entries if "event" not in e]
                for entry in rest:
                    append_line(self.rejects, json.dumps(entry, ensure_ascii=False).encode())
                self._rejected = {_mark(entry) for entry in rest}
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

    def forget(self) -> None:
        """In a forked child: another thread of the parent may have held the mutex, and nobody is left to let go of it."""
        self._mutex = threading.RLock()
        self.abandon()


def _intact(text: bytes) -> bool:
    payload = text[_PREFIX:-1]
    return text.endswith(b"\n") and text[:_PREFIX] in (b"%08x " % zlib.crc32(payload), b"%08x+" % zlib.crc32(payload))


def _mark(entry: dict[str, Any]) -> str:
    """What an entry of the rejects file is known by."""
    return "id " + str(entry["id"]) if "id" in entry else "text " + str(entry.get("text", ""))


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


def cut_part(path: Path) -> None:
    """Cuts off the last lines when others, which were appended together with them, are missing behind them."""
    whole = end = 0
    with open(path, "r+b") as file:
        for text in file:
            end += len(text)
            if text[_PREFIX - 1 : _PREFIX] != b"+":
                whole = end
        if whole < end:
            log.info("%s: cut off %d bytes of events that were never recorded together", path, end - whole)
            file.truncate(whole)
            os.fsync(file.fileno())


def append_line(path: Path, line: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _disk.BINARY, 0o600)
    try:
        _disk.write_all(fd, line + b"\n")
        os.fsync(fd)
    finally:
        os.close(fd)
    _disk.sync_folder(path.parent)


def is_spool(folder: str | os.PathLike[str]) -> bool:
    """Whether a Tape ever had the folder."""
    return any((Path(folder) / name).exists() for name in ("cursor", "rejects.ndjson")) or any(Path(folder).glob("*" + _SUFFIX))


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
