"""Records a trading strategy's events on a Tapedeck log, and reads its tiers.

    import tapedeck
    from tapedeck import events

    tape = tapedeck.Tape(spool="spool/wencai_v1", source="strategy/wencai_v1")
    tape.publish(events.position_opened("55009728", "600000.SH"))
    store = tapedeck.Store(tape)
    store.get_held_days("600000.SH", "55009728")
"""

from . import events
from .errors import (
    NotFoundError,
    ReadError,
    RejectedError,
    SpoolBusyError,
    SpoolError,
    TapedeckError,
    UndeliveredError,
)
from .sender import Delivery, Receipt
from .store import Store
from .tape import Status, Tape

__all__ = [
    "Delivery",
    "NotFoundError",
    "ReadError",
    "Receipt",
    "RejectedError",
    "SpoolBusyError",
    "SpoolError",
    "Status",
    "Store",
    "Tape",
    "TapedeckError",
    "UndeliveredError",
    "events",
]
