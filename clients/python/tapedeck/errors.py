"""What can go wrong, and for whom it is to mend."""

from __future__ import annotations


class TapedeckError(Exception):
    """The base of all errors of this package."""


class SpoolError(TapedeckError):
    """The spool could not be written: the event is not recorded."""


class SpoolBusyError(SpoolError):
    """Another process, or another Tape of this one, writes to the spool."""


class UndeliveredError(TapedeckError, TimeoutError):
    """Ingest gave no verdict in time. The event is in the spool and stays on its way."""


class RejectedError(TapedeckError, ValueError):
    """Ingest refused the event. It is in the spool's rejects file."""

    def __init__(self, event_id: str, rule: str, field: str = "", value: str = "") -> None:
        where = f"{field}: " if field else ""
        found = f", got {value}" if value else ""
        super().__init__(f"event {event_id}: {where}{rule}{found}")
        self.event_id = event_id
        self.rule = rule
        self.field = field
        self.value = value


class ReadError(TapedeckError):
    """The read API gave no answer, or refused the question. status is 0 when it could not be reached."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class NotFoundError(ReadError):
    """The account, the strategy or the version is not known."""
