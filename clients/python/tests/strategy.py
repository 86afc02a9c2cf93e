"""A strategy for the Go tests: records numbered events, says how far it is, and goes on from where it was told.

    python3 -m tests.strategy URL SPOOL FIRST END SEED

Prints, after each call that returned, the number of the first event that is not recorded yet; at the end, when ingest
has everything, `done` and the longest call in milliseconds.
"""

from __future__ import annotations

import random
import sys
import time

import tapedeck
from tapedeck import events

_START = 1735784408  # ids, times and data depend on the number alone, so that an event that is recorded again is the same


def main(url: str, spool: str, first: int, end: int, seed: int) -> None:
    chance = random.Random(seed)
    longest = 0.0
    tape = tapedeck.Tape(url, spool, source="strategy/python")
    while first < end:
        batch = [
            events.make(
                "position.price_marked.v1",
                {"account_id": "10000001", "stock_code": "600000.SH", "max_price": f"{n + 1}.000"},
                id=f"py-{n}",
                time=_START + n,
            )
            for n in range(first, min(end, first + chance.randrange(1, 9)))
        ]
        begun = time.monotonic()
        tape.publish_many(batch)
        longest = max(longest, time.monotonic() - begun)
        first += len(batch)
        print(first, flush=True)
    if not tape.flush(60):
        sys.exit(f"not delivered: {tape.status()}")
    print(f"done {longest * 1000:.0f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
