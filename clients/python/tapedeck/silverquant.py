"""Records what existing SilverQuant strategies do, without a change to them.

    import tapedeck.silverquant
    tapedeck.silverquant.install(account="55009728", cache_dir=PATH_BASE)

The helpers of tools.utils_cache go on writing the strategy's files. After each call that touches a file of the cache
folder, the difference between the file and what is on the tape is published: the files say what is true, the tape
follows. What the files became while no install was watching (a kill between the file and the tape, a hand) is found at
the next call or the next install.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import importlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Optional

from . import _disk, events
from .cachefolder import DEALS, MAX_PRICES, MIN_PRICES, POSITIONS, Held, State
from .cachefolder import Row, difference, load_object, parse_deal, read_positions, read_prices, read_rows
from .errors import ReadError, SpoolError
from .reader import Reader
from .tape import Tape
from .values import price

log = logging.getLogger("tapedeck")

HELPERS = (
    "load_json",
    "save_json",
    "del_key",
    "del_keys",
    "del_held_day",
    "new_held",
    "all_held_inc",
    "update_max_prices",
    "record_deal",
)
_WRITER = "save_json"  # writes in one go and calls nobody: nothing may read the file meanwhile

_PATIENCE = 2.0  # seconds that an install waits for what its spool holds
_RETRY = 5.0  # seconds until a spool that another process has is tried again
_BATCH = 500

_CLOSED_LATER = Held(-1)  # no file says so

_folders: dict[str, "CacheFolder"] = {}


def install(
    account: str,
    cache_dir: str | os.PathLike[str],
    *,
    tape: Optional[Tape] = None,
    url: str = "http://127.0.0.1:8080",
    read_url: str = "http://127.0.0.1:8090",
    spool: Optional[str | os.PathLike[str]] = None,
    strategy_name: str = "",
    module: str = "tools.utils_cache",
) -> "CacheFolder":
    """Records one cache folder as one account; call it once a folder, before the strategy starts.

    tape: where to; by default a Tape of its own at url, with its spool in `spool` or in `.tapedeck` inside the folder,
    which lets ingest flag trades outside the session instead of refusing them: the file says that they were.
    strategy_name: goes into the trades. module: where the helpers are; names that were already imported from it are
    routed as well, and so are later imports.

    The account must be on the tape: import the folder first, or create the account. At the first install the positions
    are compared with what the read API tells of the account, and recorded whole when it cannot be asked; deals that are in
    deal_hist.csv by then are left to the import.

    Nothing that the folder holds makes it raise, nor a spool that another process has: that is logged, and made up for as
    soon as it can be.
    """
    folder = Path(cache_dir).resolve()
    home = Path(spool) if spool is not None else folder / ".tapedeck"
    key = os.path.normcase(str(folder))
    if key in _folders:
        raise ValueError(f"{folder} is installed already, as account {_folders[key].account}")
    helpers = importlib.import_module(module)
    for address in (url, read_url):
        Reader(address)  # ValueError now
    if time.localtime().tm_gmtoff != 8 * 3600:
        log.warning("this machine is not on China time; the times in %s are taken for China's all the same", folder / DEALS)

    def open_tape() -> Tape:
        return Tape(url, home, f"strategy/{strategy_name or account}", read_url, session_policy="flag")

    recorder = CacheFolder(account, folder, tape, open_tape, strategy_name)
    _folders[key] = recorder
    _route(helpers)
    return recorder


class CacheFolder:
    """One cache folder on its way to the tape. All methods may be called from several threads."""

    def __init__(
        self, account: str, folder: Path, tape: Optional[Tape], open_tape: Callable[[], Tape], strategy_name: str
    ) -> None:
        self.account = account
        self.folder = folder
        self._own = tape is None
        self._tape, self._open_tape = tape, open_tape
        self._strategy_name = strategy_name
        self._writing = threading.RLock()
        self._begun = self._hearing = False
        self._next_try = 0.0

        self._seen: dict[str, bytes] = {}
        self._inc_date = ""
        # None as long as the file was not read whole in this life: then it says nothing.
        self._days: Optional[dict[str, int]] = None
        self._prices: dict[str, Optional[dict[str, str]]] = {MAX_PRICES: None, MIN_PRICES: None}

        self._taped = State()
        self._unsure: set[str] = set()  # stocks of which it is not known what the tape says
        self._refusals = threading.Lock()
        self._refused: dict[str, Optional[Held]] = {}  # by stock, what the file said when ingest refused it
        self._inc_refused = False
        self._last_closed = ""  # the id of the event

        self._deals_end, self._deals_hash = 0, _hash(b"")  # how far the deals are done with, and what stands before
        self._breaks: list[int] = []  # where rows begin behind others that were never ended
        self._counts: Optional[dict[str, int]] = None  # of equal rows that are done with; None before they are counted
        self._ready()

    @property
    def tape(self) -> Tape:
        """SpoolError as long as another process has the spool."""
        if self._tape is None:
            raise SpoolError(f"{self.folder} is not recorded: its spool could not be opened")
        return self._tape

    @property
    def _memory(self) -> Path:
        return self.tape.spool.folder / f"silverquant-{self.account}.json"

    def _ready(self) -> bool:
        """Whether it can be recorded. What keeps it is logged; tried again after a while."""
        if self._begun:
            return True
        if time.monotonic() < self._next_try:
            return False
        try:
            if self._tape is None:
                self._tape = self._open_tape()
            if not self._hearing:  # before the last life's events are waited for: they may be refused
                self._tape.on_refusal(self._hear_refusal)
                self._hearing = True
            self._recall()
        except (SpoolError, OSError) as error:
            log.error("%s is not recorded now: %s", self.folder, error)
            self._next_try = time.monotonic() + _RETRY
            return False
        self._begun = True
        self.catch_up_all()
        return True

    def _recall(self) -> None:
        """What is on the tape: as the read API tells when it has all that this spool delivered, else as the last life knew.

        The memory is written before what it tells of is published. So it may be ahead of the tape by the last step, and
        never behind: of the stocks of that step it is not known what the tape says.
        """
        kept = _disk.load_json(self._memory)
        before, after, self._taped = State(), State(), State()
        unsure: set[str] = set()
        self._unsure = set()
        known = False
        try:
            before, after = _state(kept["before"]), _state(kept["after"])
            unsure = {str(code) for code in kept["unsure"]}
            self._deals_end, self._deals_hash = int(kept["deals_end"]), str(kept["deals_hash"])
            self._breaks = [int(at) for at in kept["breaks"]]
            known = True
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            if kept is not None:
                log.warning("%s is of another form and says nothing: %r", self._memory, error)
            self._leave_deals_to_the_import()
        asked = self._ask(known)
        if asked is not None:
            self._taped = asked
            return
        if known:
            self._taped = after
            self._taped.inc_date = before.inc_date
            changed = {c for c in {*before.held, *after.held} if before.held.get(c) != after.held.get(c)}
            self._unsure = unsure | (changed if after.inc_date == before.inc_date else {*before.held, *after.held})
        # What waits will be on the tape, whoever published it.
        self._unsure |= self._open_in_spool() - self._taped.held.keys()

    def _leave_deals_to_the_import(self) -> None:
        try:
            raw = (self.folder / DEALS).read_bytes()
        except OSError:
            raw = b""
        self._deals_end, self._deals_hash, self._breaks = len(raw), _hash(raw), []
        if raw and not raw.endswith(b"\n"):
            self._deals_end = raw.rfind(b"\n") + 1
            self._deals_hash = _hash(raw[: self._deals_end])

    def _open_in_spool(self) -> set[str]:
        found: set[str] = set()
        for event in self.tape.spool.waiting():
            data = event.get("data") or {}
            code = data.get("stock_code")
            if data.get("account_id") != self.account or code is None:
                continue
            if event["type"] == "position.closed.v1":
                found.discard(code)
            elif event["type"] in ("position.opened.v1", "position.held_days_set.v1"):
                found.add(code)
        return found

    def _ask(self, known: bool) -> Optional[State]:
        """What the read API tells of the account, when nothing of this spool can be missing there.

        known: there is something else to go by.
        """
        end = time.monotonic() + _PATIENCE
        while self.tape.status().pending and self.tape.status().error is None and time.monotonic() < end:
            time.sleep(0.01)
        sequence = self.tape.last_sequence
        if self.tape.status().pending or (known and not sequence):
            if known:
                return None
            sequence = 0
        reader = Reader(self.tape.read_url, timeout=3.0)
        try:
            found = reader.get(("accounts", self.account, "positions"), {"at_least": sequence or None})
            state = State(found["inc_date"] or "")
            for p in found["positions"]:
                if p["open"]:
                    marks = [p[name] and price(p[name]) for name in ("max_price", "min_price")]
                    state.held[p["stock_code"]] = Held(p["held_days"], *marks)
        except (ReadError, LookupError, TypeError, ValueError) as error:
            if not known:
                log.warning(
                    "what the tape knows of account %s cannot be asked, its positions are recorded whole: %s", self.account, error
                )
            return None
        finally:
            reader.close()
        if self.tape.status().pending:  # nothing else to go by, and not all of it is there
            self._unsure |= self._open_in_spool()
        return state

    def _remember(self, before: State, after: State) -> None:
        """Written before what leads from one to the other is published. OSError when the disk does not take it."""
        with self._refusals:
            unsure = sorted(self._unsure | self._refused.keys())
        kept = {
            "before": {"inc_date": before.inc_date, "held": before.held},
            "after": {"inc_date": after.inc_date, "held": after.held},
            "unsure": unsure,
            "deals_end": self._deals_end,
            "deals_hash": self._deals_hash,
            "breaks": self._breaks,
        }
        _disk.replace_json(self._memory, kept)

    def settle(self) -> None:
        """Remembers that all is published, so that the next life is sure of it."""
        if self._tape is None or not self._begun:
            return
        try:
            with self._writing:
                self._remember(self._taped, self._taped)
        except OSError as error:  # the next life repeats the last step
            log.warning("%s could not be saved: %s", self._memory, error)

    def close(self, timeout: float) -> None:
        """Closes the tape, unless it was given by the strategy."""
        self.settle()
        if self._own and self._tape is not None:
            self._tape.close(timeout)

    def forget(self) -> None:
        """In a forked child: another thread of the parent may have held the locks."""
        self._writing, self._refusals = threading.RLock(), threading.Lock()

    def _hear_refusal(self, event: dict[str, Any]) -> None:
        """What ingest refused is not on the tape."""
        data = event.get("data") or {}
        if data.get("account_id") != self.account or not str(event.get("type", "")).startswith("position."):
            return
        with self._refusals:
            if "stock_code" in data:
                # A position that was closed after this event may have made room for it.
                late = event["id"] < self._last_closed
                self._refused[data["stock_code"]] = _CLOSED_LATER if late else self._taped.held.get(data["stock_code"])
            else:
                self._inc_refused = True

    def catch_up_all(self) -> None:
        """Records what the folder became since it was last seen. A file that is not there says nothing."""
        with self._writing:
            try:
                self._skip_half_deal()
            except Exception:
                log.exception("%s could not be recorded yet", self.folder / DEALS)
            self.catch_up([*POSITIONS, MAX_PRICES, MIN_PRICES, DEALS])

    def knows(self, path: Any) -> Optional[str]:
        """The file's name, when it is one of the folder's."""
        if not isinstance(path, (str, os.PathLike)):
            return None
        name = os.path.basename(path)
        if name not in (*POSITIONS, MAX_PRICES, MIN_PRICES, DEALS):
            return None
        same = os.path.normcase(os.path.realpath(os.path.dirname(path) or ".")) == os.path.normcase(self.folder)
        return name if same else None

    def write(self, names: list[str], original: Callable[[], Any]) -> Any:
        """Runs a write of the strategy; records it when it has not failed."""
        with self._writing:
            result = original()
            self.catch_up(names)
        return result

    def catch_up(self, names: list[str]) -> None:
        """Records what these files became. The strategy must not suffer: whatever fails here is logged, and made up for at the next call."""
        with self._writing:
            if not self._begun:
                try:
                    self._ready()  # which catches up with all
                except Exception:
                    log.exception("%s is not recorded now", self.folder)
                return
            if DEALS in names:
                try:
                    self._publish_deals()
                except Exception:
                    log.exception("%s could not be recorded yet", self.folder / DEALS)
            try:
                new = [self._look(name) for name in names if name != DEALS]
                if any(new) or _CLOSED_LATER in list(self._refused.values()):
                    self._publish_state()
            except Exception:
                self._seen.clear()  # so that the next call looks again
                log.exception("%s: %s could not be recorded yet", self.folder, ", ".join(names))

    def _look(self, name: str) -> bool:
        """Reads a file of state; whether it says something new."""
        if name == POSITIONS[1] and (self.folder / POSITIONS[0]).exists():
            return False  # left behind by an older version of the strategy
        try:
            raw = (self.folder / name).read_bytes()
        except FileNotFoundError:
            return False
        except OSError as error:
            log.warning("%s could not be read: %s", self.folder / name, error)
            return False
        if raw == self._seen.get(name):
            return False
        try:
            value = load_object(raw)
        except (ValueError, RecursionError) as error:  # half-written: the strategy cannot read it either
            log.warning("%s: %s; left alone until it is whole", self.folder / name, error)
            return False
        if name in POSITIONS:
            self._inc_date, self._days, odd = read_positions(value)
        else:
            self._prices[name], odd = read_prices(value)
        for entry in odd:
            log.warning("%s: not recorded: %s", self.folder / name, entry)
        self._seen[name] = raw
        return True

    def _publish_state(self) -> None:
        """Records the difference between the folder and the tape. A file that is not known takes its part from the tape."""
        if self._days is None:
            return
        self._take_refusals()
        taped = self._taped
        highest, lowest = self._prices[MAX_PRICES], self._prices[MIN_PRICES]
        if highest is None:
            highest = {code: at.max_price for code, at in taped.held.items() if at.max_price}
        if lowest is None:
            lowest = {code: at.min_price for code, at in taped.held.items() if at.min_price}
        held = {code: Held(days, highest.get(code), lowest.get(code)) for code, days in self._days.items()}
        state = State(max(self._inc_date, taped.inc_date), held)
        with self._refusals:  # tried again when there may be room, or the file says something else
            room = any(code not in held for code in taped.held.keys() - self._refused.keys())
            again = {code for code, said in self._refused.items() if room or _days(held.get(code)) != _days(said)}
            hopeless = self._refused.keys() - again
        unsure = self._unsure | again
        if state == taped and not unsure:
            return
        found = [e for e in difference(self.account, taped, state, unsure) if e["data"].get("stock_code") not in hopeless]
        with self._refusals:
            tried = {code: self._refused.pop(code) for code in again}
        try:
            self._remember(taped, state)
            self._taped = state  # before ingest can refuse a part of it
            closed = [e["id"] for e in found if e["type"] == "position.closed.v1" and e["data"]["stock_code"] not in unsure]
            self._last_closed = max([self._last_closed, *closed])  # ids of one process sort
            self.tape.publish_many(found)
        except Exception:
            self._taped = taped
            with self._refusals:
                self._refused.update(tried)
            raise
        self._unsure = set()

    def _take_refusals(self) -> None:
        with self._refusals:
            if not self._inc_refused:
                return
            self._inc_refused = False
        self._unsure |= self._taped.held.keys()
        self._taped = State("", self._taped.held)

    def _publish_deals(self) -> None:
        """Records the rows behind those that are done with; all, should the file have become another before them.

        Rows that are recorded already have ids that ingest knows. An id says how many equal rows come before, so the rows
        that are done with are counted once a life.
        """
        try:
            raw = (self.folder / DEALS).read_bytes()
        except FileNotFoundError:
            return
        done = self._deals_end
        if len(raw) < done or _hash(raw[:done]) != self._deals_hash:
            log.warning("%s became another; all its rows are looked at", self.folder / DEALS)
            self._breaks, self._counts, done = [], None, 0
        elif self._counts is not None and len(raw) == done:
            return
        begin = 0 if self._counts is None else done
        counts = dict(self._counts or {})
        trades: list[events.Event] = []
        bad: list[tuple[Row, str]] = []
        end = done
        for row in read_rows(raw, self._breaks, begin):
            try:
                if row.reason:
                    raise ValueError(row.reason)
                deal = parse_deal(row.fields)
                digest = deal.digest(self.account)
                counts[digest] = counts.get(digest, 0) + 1
                if row.end > done:
                    trades.append(deal.event(self.account, self._strategy_name, digest, counts[digest]))
            except ValueError as error:
                if row.end > done:
                    bad.append((row, str(error)))
            end = max(end, row.end)
        for first in range(0, len(trades), _BATCH):
            self.tape.publish_many(trades[first : first + _BATCH])
        for row, rule in bad:
            self._reject(row.raw, rule)
        self._counts = counts
        if end != self._deals_end or done == 0:
            self._deals_end, self._deals_hash = end, _hash(raw[:end])
            self.settle()

    def _skip_half_deal(self) -> None:
        """A row that a killed strategy never ended would run into the next one: it is put aside.

        So is a line with a stray quote. It would be waited for as the beginning of a row of several lines.
        """
        while True:
            self._publish_deals()
            try:
                raw = (self.folder / DEALS).read_bytes()
            except FileNotFoundError:
                return
            begin = end = self._deals_end
            odd = False
            while end < len(raw) and not odd:  # blank lines may come first
                begin, end = end, raw.find(b"\n", end) + 1 or len(raw)
                odd = raw.count(b'"', begin, end) % 2 == 1 or raw[end - 1 : end] != b"\n"
            if not odd:
                return
            self._reject(raw[begin:end], f"a row of {DEALS} was never finished")
            self._breaks = [*self._breaks, end]
            self._deals_end, self._deals_hash = end, _hash(raw[:end])
            self.settle()

    def _reject(self, raw: bytes, rule: str) -> None:
        log.error("%s: not recorded: %s: %.200r", self.folder / DEALS, rule, raw)
        self.tape.spool.reject(raw, {"rule": rule, "account_id": self.account})


def _hash(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def _state(kept: dict[str, Any]) -> State:
    return State(str(kept["inc_date"]), {str(code): Held(*entry) for code, entry in kept["held"].items()})


def _days(held: Optional[Held]) -> Optional[int]:
    return None if held is None else held.days


def _route(helpers: ModuleType) -> None:
    """Puts a recorder around each helper, in its module and wherever it was imported from there."""
    for name in HELPERS:
        original = getattr(helpers, name, None)
        if original is None or hasattr(original, "__tapedeck_original__"):
            continue
        recorder = _recorder(original, name == _WRITER)
        for loaded in list(sys.modules.values()):
            for bound, value in list(getattr(loaded, "__dict__", {}).items()):
                if value is original:
                    setattr(loaded, bound, recorder)


def _recorder(original: Callable[..., Any], writer: bool) -> Callable[..., Any]:
    @functools.wraps(original)
    def recorded(*args: Any, **kwargs: Any) -> Any:
        touched = _touched((*args, *kwargs.values()))
        if writer and len(touched) == 1:
            [(folder, names)] = touched.items()
            return folder.write(names, lambda: original(*args, **kwargs))
        result = original(*args, **kwargs)
        for folder, names in touched.items():
            folder.catch_up(names)
        return result

    setattr(recorded, "__tapedeck_original__", original)
    return recorded


def _touched(arguments: tuple[Any, ...]) -> dict[CacheFolder, list[str]]:
    touched: dict[CacheFolder, list[str]] = {}
    for argument in arguments:
        for folder in list(_folders.values()):
            name = folder.knows(argument)
            if name is not None:
                touched.setdefault(folder, []).append(name)
    return touched


def uninstall(timeout: float = 5.0) -> None:
    """Gives the helpers back as they were and closes the tapes that installs made; each has so many seconds to deliver."""
    for loaded in list(sys.modules.values()):
        for bound, value in list(getattr(loaded, "__dict__", {}).items()):
            original = getattr(value, "__tapedeck_original__", None) if callable(value) else None
            if original is not None:
                setattr(loaded, bound, original)
    for folder in list(_folders.values()):
        folder.close(timeout)
    _folders.clear()


@atexit.register
def _settle_all() -> None:
    for folder in list(_folders.values()):
        folder.settle()


def _forget_all() -> None:
    """In a forked child: the folders are the parent's, which sees at its next call what the child made of them."""
    for folder in list(_folders.values()):
        folder.forget()
    _folders.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
