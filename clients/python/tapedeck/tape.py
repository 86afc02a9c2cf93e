"""A strategy's way onto the log."""

from __future__ import annotations

import atexit
import datetime as dt
import json
import os
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Any, Optional

from ._http import Connection
from .errors import SpoolError
from .sender import Delivery, Receipt, Sender
from .spool import Spool
from .values import new_id, time_text

MAX_EVENT_BYTES = 1 << 20  # what ingest takes
_EXIT_PATIENCE = 1.5  # for all tapes together; ending requests under way comes on top


@dataclass(frozen=True)
class Status:
    """How a Tape is doing."""

    pending: int  # events in the spool that ingest has not acknowledged
    rejected: int  # events in the rejects file, and what was damaged or lost on disk
    error: Optional[str]  # why ingest takes nothing now; None while it does
    last_sequence: int  # the highest sequence that ingest told this Tape


class Tape:
    """Records events on the log, by way of a spool on disk.

    publish returns when the event is synced in the spool; a thread brings it to ingest, in order, with the same id at
    every try, until it is acknowledged: also in the strategy's next life. So an event that publish took is on the log
    exactly once, and no outage of ingest is felt.

    All methods may be called from several threads; the order is that in which publish took the events.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        spool: str | os.PathLike[str] = "tapedeck-spool",
        source: str = "strategy/python",
        read_url: str = "http://127.0.0.1:8090",
        *,
        timeout: float = 10.0,
        session_policy: Optional[str] = None,
    ) -> None:
        """
        url: ingest. spool: a folder of this Tape's own, on a local disk. source: who publishes. read_url: the read API,
        for a Store. timeout: seconds that one request may take. session_policy: off, flag or enforce, in place of
        ingest's own, for trades outside the session.

        SpoolBusyError when another Tape has the spool, SpoolError when the folder cannot be used.
        """
        self.source = source
        self.read_url = read_url
        self._url = url
        self._spool = Spool(spool)
        try:
            self._sender = Sender(url, self._spool, timeout, session_policy)
        except BaseException:
            self._spool.close()
            raise
        self._closed = False
        _open_tapes.add(self)

    @property
    def spool(self) -> Spool:
        return self._spool

    @property
    def last_sequence(self) -> int:
        """The highest sequence that ingest told this Tape: what a read must know of to know of all that was delivered."""
        return self._sender.last_sequence

    def publish(self, event: Mapping[str, Any]) -> Delivery:
        """Records one event; see publish_many."""
        return self.publish_many((event,))[0]

    def publish_many(self, events: Iterable[Mapping[str, Any]]) -> list[Delivery]:
        """Records events in order, all or none, with one sync.

        An event needs `type` and `data`; specversion, id, source and time are filled in. ValueError for what is no JSON,
        SpoolError when the disk does not take it: then nothing is recorded. Otherwise the events are durable, and
        the deliveries tell what ingest says of them to whoever waits.
        """
        return self._publish(events, False)

    def ask(self, event: Mapping[str, Any], timeout: Optional[float] = None) -> Receipt:
        """Records one event and waits for ingest's verdict, as publish and Delivery.wait do.

        A refusal is raised here and not kept in the rejects file. When the verdict does not come in time it is.
        """
        return self._publish((event,), True)[0].wait(timeout)

    def on_refusal(self, tell: Callable[[dict[str, Any]], None]) -> None:
        """tell is called with every event that ingest refuses, in the thread that sends: it must be quick."""
        self._sender.on_refusal.append(tell)

    def _publish(self, events: Iterable[Mapping[str, Any]], asked: bool) -> list[Delivery]:
        complete = [self._complete(e) for e in events]
        if not complete:
            return []
        if self._closed:
            raise SpoolError("the Tape is closed, or belongs to the process that forked this one")
        deliveries = self._sender.expect(complete, asked)
        self._spool.append([payload for _, payload in complete])
        self._sender.wake()
        return deliveries

    def _complete(self, event: Mapping[str, Any]) -> tuple[str, bytes]:
        if not event.get("type") or not isinstance(event.get("data"), Mapping):
            raise ValueError("an event needs a type and data")
        full = {
            **event,
            "specversion": "1.0",
            "id": str(event.get("id") or new_id()),
            "source": event.get("source") or self.source,
            "time": time_text(event.get("time")),
        }
        text = json.dumps(full, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
        payload = text.encode("utf-8")
        if len(payload) > MAX_EVENT_BYTES:
            raise ValueError(f"an event has at most {MAX_EVENT_BYTES} bytes, this one {len(payload)}")
        return full["id"], payload

    def flush(self, timeout: Optional[float] = None) -> bool:
        """Waits until ingest has answered for everything in the spool; whether it has."""
        return self._sender.wait_empty(timeout)

    def status(self) -> Status:
        return Status(self._spool.pending, self._spool.rejected, self._sender.error, self._sender.last_sequence)

    def ingest_health(self, timeout: float = 2.0) -> str:
        """Asks ingest how it is, within so many seconds: ok, degraded (it answers, and is not ready) or down."""
        connection = Connection(self._url, timeout)
        try:
            return "ok" if connection.request("GET", "/readyz").status == 200 else "degraded"
        except OSError:
            return "down"
        finally:
            connection.close()

    def retry_rejects(self) -> int:
        """Sends refused events once more, behind all else, with the same ids; returns how many."""
        count = self._spool.retry_rejects()
        self._sender.wake()
        return count

    def close(self, timeout: float = 5.0) -> bool:
        """Gives ingest so many seconds for what is left, then lets go; whether all is delivered. What is not stays in the spool."""
        _open_tapes.discard(self)
        if self._closed:
            return self._spool.pending == 0
        self._closed = True
        empty = self.flush(timeout)
        self._sender.stop()
        self._spool.close()
        return empty

    def __enter__(self) -> "Tape":
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()


def _plain(value: Any) -> Any:
    """JSON for what events may hold besides JSON's own types; numpy's numbers have item()."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, dt.datetime):
        return time_text(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "item"):
        return value.item()
    raise ValueError(f"{value!r} has no form in JSON")


_open_tapes: "weakref.WeakSet[Tape]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    end = time.monotonic() + _EXIT_PATIENCE
    for tape in list(_open_tapes):
        tape.close(max(0.0, end - time.monotonic()))


def _forget_all() -> None:
    """In a forked child: the spools are the parent's, and must be free when the parent ends."""
    for tape in list(_open_tapes):
        tape._closed = True
        tape.spool.forget()
        tape._sender.forget()
    _open_tapes.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
