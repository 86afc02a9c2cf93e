"""Takes events from the spool to ingest: in order, one request at a time, for ever."""

from __future__ import annotations

import json
import logging
import random
import threading
import weakref
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional
from urllib.parse import urlencode

from ._http import Answer, Connection
from .errors import RejectedError, SpoolError, UndeliveredError
from .spool import Line, Spool

log = logging.getLogger("tapedeck")

BATCH_EVENTS = 500
BATCH_BYTES = 1 << 20
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_LAST_MOMENT = 0.2
_ROW_IDS = "imp-"  # ids that follow from the content of a row of deal_hist.csv
_PROBLEMS = "urn:tapedeck:problem:"


@dataclass(frozen=True)
class Receipt:
    """What ingest said of an event: its sequence on the log."""

    id: str
    sequence: int  # 0 when the event was correct but changed nothing and was not appended
    duplicate: bool = False
    applied: bool = True
    reason: str = ""
    flags: tuple[str, ...] = field(default=())


class Delivery:
    """An event that is in the spool and on its way."""

    def __init__(self, event_id: str, asked: bool = False) -> None:
        self.id = event_id
        self._asked = asked  # somebody waits, so that a refusal is told and need not be kept
        self._turn = threading.Lock()
        self._done = threading.Event()
        self._receipt: Optional[Receipt] = None
        self._rejection: Optional[RejectedError] = None

    def wait(self, timeout: Optional[float] = None) -> Receipt:
        """The receipt. RejectedError when ingest refused the event, UndeliveredError when there is no verdict in time."""
        if not self._done.wait(timeout):
            with self._turn:
                self._asked = False
                if not self._done.is_set():
                    raise UndeliveredError(f"event {self.id} is in the spool; ingest has not answered yet")
        if self._rejection is not None:
            raise self._rejection
        assert self._receipt is not None
        return self._receipt

    @property
    def done(self) -> bool:
        return self._done.is_set()

    def _refuse(self, rejection: RejectedError) -> bool:
        """Settles it if somebody waits for the verdict; whether somebody did."""
        with self._turn:
            if self._asked:
                self._settle(rejection)
            return self._asked

    def _settle(self, verdict: Receipt | RejectedError) -> None:
        if isinstance(verdict, Receipt):
            self._receipt = verdict
        else:
            self._rejection = verdict
        self._done.set()


class _Unavailable(Exception):
    """Ingest cannot take events now."""

    def __init__(self, why: str, retry_after: float = 0) -> None:
        super().__init__(why)
        self.retry_after = retry_after


class Sender:
    """The thread behind a Tape. Nothing but its start and stop is called by strategies."""

    def __init__(self, url: str, spool: Spool, timeout: float, session_policy: Optional[str]) -> None:
        self._spool = spool
        self._connection = Connection(url, timeout)
        query = {"session_policy": session_policy} if session_policy else {}
        self._target = "/v1/events" + ("?" + urlencode(query) if query else "")
        self._changed = threading.Condition()
        self._closing = False
        # By what was published, so that of the same event sent twice both callers are told.
        self._deliveries: weakref.WeakValueDictionary[tuple[str, int], Delivery] = weakref.WeakValueDictionary()
        self.on_refusal: list[Callable[[dict[str, Any]], None]] = []  # are told of each refused event
        self.error: Optional[str] = None  # why ingest took nothing at the last try
        self.last_sequence = spool.last_sequence
        self._thread = threading.Thread(target=self._run, name="tapedeck", daemon=True)
        self._thread.start()

    def expect(self, events: Sequence[tuple[str, bytes]], asked: bool) -> list[Delivery]:
        """Makes the deliveries of events, ids and payloads, that are about to be spooled."""
        deliveries = []
        with self._changed:
            for event_id, payload in events:
                key = event_id, zlib.crc32(payload)
                delivery = self._deliveries.get(key)
                if delivery is None or delivery.done:
                    delivery = self._deliveries[key] = Delivery(event_id, asked)
                deliveries.append(delivery)
        return deliveries

    def wake(self) -> None:
        """Tells that the spool has more."""
        with self._changed:
            self._changed.notify_all()

    def wait_empty(self, timeout: Optional[float]) -> bool:
        """Waits until the spool is empty; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._spool.pending == 0, timeout)

    def stop(self) -> None:
        """Ends the thread. A request that is under way gets a moment; its events are sent again in the next life."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(_LAST_MOMENT)
        if self._thread.is_alive():
            self._connection.abort()
            self._thread.join(_LAST_MOMENT)  # it may hang in connect; it ends with the process and does nothing more
        else:
            self._connection.close()

    def forget(self) -> None:
        """In a forked child, see Spool.forget."""
        self._changed = threading.Condition()

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._spool.pending > 0)
                if self._closing:
                    return
            try:
                self._deliver(self._spool.read(BATCH_EVENTS, BATCH_BYTES))
                pause = _FIRST_PAUSE
            except Exception as error:  # whatever it is, the events are in the spool and the thread must live
                if self._closing:
                    return
                retry_after = error.retry_after if isinstance(error, _Unavailable) else 0.0
                if not isinstance(error, (_Unavailable, OSError, SpoolError)):
                    log.exception("sending to %s failed", self._connection.url)
                elif self.error is None:
                    log.warning("%s: %s; events stay in the spool", self._connection.url, error)
                self.error = str(error) or repr(error)
                wait = min(max(pause * random.uniform(0.5, 1), retry_after), _LONGEST_PAUSE)
                pause = min(pause * 2, _LONGEST_PAUSE)
                with self._changed:
                    self._changed.wait_for(lambda: self._closing, wait)

    def _deliver(self, lines: list[Line]) -> None:
        """Gets a verdict for each line, and puts the cursor behind it."""
        if not lines:
            self._spool.give_up()
            self.wake()
            return
        begin = 0
        for i, line in enumerate(lines):
            if not line.intact:
                self._send(lines[begin:i])
                self._spool.reject(line.payload, {"rule": "the line in the spool was damaged"})
                self._advance(lines[i : i + 1])
                begin = i + 1
        self._send(lines[begin:])

    def _send(self, lines: list[Line]) -> None:
        if not lines:
            return
        body = b"".join(line.payload + b"\n" for line in lines)
        answer = self._connection.request("POST", self._target, body, "application/x-ndjson")
        value = answer.json()
        if answer.status == 200 and isinstance(value, list) and len(value) == len(lines):
            self._settle(lines, value)
            return
        problem: dict[str, Any] = value if isinstance(value, dict) else {}
        ours = str(problem.get("type", "")).startswith(_PROBLEMS)
        if answer.status == 422 and ours and len(problem.get("results") or ()) == len(lines):
            self._settle(lines, problem["results"])
        elif answer.status in (400, 413, 422) and ours and len(lines) > 1:  # about one event, but which?
            half = len(lines) // 2
            self._send(lines[:half])
            self._send(lines[half:])
        elif answer.status in (400, 413, 422) and ours:
            self._settle(lines, [{"error": (problem.get("errors") or [{"rule": problem.get("detail", "refused")}])[0]}])
        else:
            raise _Unavailable(_describe(answer, problem), answer.retry_after)

    def _settle(self, lines: list[Line], results: list[dict[str, Any]]) -> None:
        """Takes each line's receipt or refusal. The refused are on disk before the cursor passes them."""
        if self.error is not None:
            log.warning("ingest takes events again; %d are waiting", self._spool.pending)
            self.error = None
        verdicts: list[tuple[Line, Receipt | RejectedError]] = []
        for line, result in zip(lines, results):
            if "error" in result:
                error = {k: str(result["error"].get(k, "")) for k in ("rule", "field", "value")}
                event = json.loads(line.payload)
                event_id = str(event["id"])
                if event_id.startswith(_ROW_IDS) and error["field"] == "id":
                    # A row whose id the log knows is on the log, said there without the strategy's name, say.
                    verdicts.append((line, Receipt(event_id, 0, duplicate=True)))
                    continue
                rejection = RejectedError(event_id, error["rule"], error["field"], error["value"])
                with self._changed:
                    delivery = self._deliveries.get(_key(event_id, line))
                if delivery is None or not delivery._refuse(rejection):
                    self._spool.reject(line.payload, error)
                    log.error("ingest refused an event, now in %s: %s", self._spool.rejects, rejection)
                    verdicts.append((line, rejection))
                for tell in self.on_refusal:
                    tell(event)
                continue
            receipt = Receipt(
                result["id"],
                result["sequence"],
                result.get("duplicate", False),
                result.get("applied", True),
                result.get("reason", ""),
                tuple(result.get("flags") or ()),
            )
            verdicts.append((line, receipt))
        with self._changed:
            for line, verdict in verdicts:
                if isinstance(verdict, Receipt):
                    self.last_sequence = max(self.last_sequence, verdict.sequence)
                event_id = verdict.id if isinstance(verdict, Receipt) else verdict.event_id
                delivery = self._deliveries.pop(_key(event_id, line), None)
                if delivery is not None:
                    delivery._settle(verdict)
        self._advance(lines)

    def _advance(self, lines: list[Line]) -> None:
        self._spool.advance(lines[-1], len(lines), self.last_sequence)
        if self._spool.pending == 0:
            self.wake()


def _key(event_id: str, line: Line) -> tuple[str, int]:
    return event_id, zlib.crc32(line.payload)


def _describe(answer: Answer, problem: dict[str, Any]) -> str:
    said = problem.get("detail") or answer.body[:200].decode("utf-8", "replace")
    return f"HTTP {answer.status}: {said}"
