"""python3 -m tapedeck: what to do about a spool when its strategy does not run."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Optional

from .errors import SpoolError
from .spool import is_spool, rejects_in
from .tape import Tape


def main(arguments: Optional[list[str]] = None) -> int:
    """Exit codes: 0 fine, 1 something is left, 2 wrong usage, 3 the spool cannot be opened."""
    parser = argparse.ArgumentParser(prog="tapedeck", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, about in (
        ("drain", "send what is in the spool"),
        ("rejects", "print what ingest refused, one JSON a line"),
        ("retry", "send what ingest refused once more"),
    ):
        command = commands.add_parser(name, help=about, description=about)
        command.add_argument("spool", help="the spool's folder")
        if name != "rejects":
            command.add_argument("--url", default="http://127.0.0.1:8080", help="ingest (%(default)s)")
            command.add_argument(
                "--session-policy",
                choices=("off", "flag", "enforce"),
                help="for trades outside the session (ingest's own)",
            )
            command.add_argument("--timeout", type=float, default=60.0, help="seconds to wait for it (%(default)s)")
    chosen = parser.parse_args(arguments)
    if not is_spool(chosen.spool):
        print(f"there is no spool in {chosen.spool}: give the folder that the strategy's Tape has", file=sys.stderr)
        return 2
    if chosen.command == "rejects":
        entries = rejects_in(chosen.spool)
        for entry in entries:
            print(json.dumps(entry, ensure_ascii=False))
        return 1 if entries else 0
    try:
        tape = Tape(chosen.url, chosen.spool, session_policy=chosen.session_policy)
    except SpoolError as error:
        print(error, file=sys.stderr)
        return 3
    if chosen.command == "retry":
        tape.retry_rejects()
    tape.flush(chosen.timeout)
    status = tape.status()
    tape.close(0)
    print(f"{status.pending} waiting, {status.rejected} refused" + (f": {status.error}" if status.error else ""))
    return 1 if status.pending or status.rejected else 0


if __name__ == "__main__":
    sys.exit(main())
