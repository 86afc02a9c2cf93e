"""Records what existing SilverQuant strategies do, without a change to them.

    import tapedeck.silverquant
    tapedeck.silverquant.install(account="55009728", cache_dir=PATH_BASE)

The helpers of tools.utils_cache go on writing the strategy's files. After each call that touches a file of the cache
folder, the difference between the file and what is on the tape is published: the files say what is true, the tape
follows. What the files became while no install was watching (a kill between the file and the tape, a hand) is found at
the next call or the next install.
"""

from __future__ import annotations

import functools
import importlib
import logging
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Optional

from . import _disk
from .cachefolder import DEALS, MAX_PRICES, MIN_PRICES, POSITIONS, Held, State
from .cachefolder import Deal, difference, load_object, read_deals, read_positions, read_prices
from .errors import ReadError
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

    tape: where to; by default a Tape of its own at url, with its spool in `spool` or in `.tapedeck` inside the folder.
    strategy_name: goes into the trades. module: where the helpers are; names that were already imported from it are
    routed as well, and so are later imports.

    The account must be on the tape: import the folder first, or create the account. At the first install the positions
    are compared with what the read API tells of the account, and recorded whole when it cannot be asked; deals that are in
    deal_hist.csv by then are left to the import.
    """
    folder = Path(cache_dir).resolve()
    home = Path(spool) if spool is not None else folder / ".tapedeck"
    key = os.path.normcase(str(folder))
    if key in _folders:
        raise ValueError(f"{folder} is installed already, as account {_folders[key].account}")
    helpers = importlib.import_module(module)
    own = tape or Tape(url, home, f"strategy/{strategy_name or account}", read_url)
    try:
        recorder = CacheFolder(account, folder, own, strategy_name)
        recorder.catch_up_all()
    except BaseException:
        if tape is None:
            own.close(0)
        raise
    _folders[key] = recorder
    _route(helpers)
    return recorder


class CacheFolder:
    """One cache folder on its way to the tape. All methods may be called from several threads."""

    def __init__(self, account: str, folder: Path, tape: Tape, strategy_name: str) -> None:
        self.account = account
        self.folder = folder
        self.tape = tape
        self._strategy_name = strategy_name
        self._memory = tape.spool.folder / f"silverquant-{account}.json"
        self._writing = threading.RLock()
        self._seen: dict[str, bytes] = {}
        self._inc_date = ""
        self._days: dict[str, int] = {}
        self._prices: dict[str, dict[str, str]] = {MAX_PRICES: {}, MIN_PRICES: {}}
        self._taped = State()
        self._deals_end, self._last_deal = 0, ""
        self._recall()

    def _recall(self) -> None:
        """What is on the tape, as far as the last life of the strategy knew. Older is harmless: events repeat what they set."""
        kept = _disk.load_json(self._memory)
        if kept is None:
            self._taped = self._ask()
            try:
                self._deals_end = (self.folder / DEALS).stat().st_size
            except FileNotFoundError:
                self._deals_end = 0
            return
        self._taped = State(kept["inc_date"], {code: Held(*entry) for code, entry in kept["held"].items()})
        self._deals_end, self._last_deal = kept["deals_end"], kept["last_deal"]

    def _ask(self) -> State:
        """What the read API tells of the account."""
        reader = Reader(self.tape.read_url, timeout=3.0)
        try:
            found = reader.get(("accounts", self.account, "positions"))
        except ReadError as error:
            log.warning("what the tape knows of account %s cannot be asked, its positions are recorded whole: %s", self.account, error)
            return State()
        finally:
            reader.close()
        state = State(found["inc_date"] or "")
        for p in found["positions"]:
            if p["open"]:
                marks = [p[name] and price(p[name]) for name in ("max_price", "min_price")]
                state.held[p["stock_code"]] = Held(p["held_days"], *marks)
        return state

    def _remember(self) -> None:
        kept = {
            "inc_date": self._taped.inc_date,
            "held": self._taped.held,
            "deals_end": self._deals_end,
            "last_deal": self._last_deal,
        }
        try:
            _disk.replace_json(self._memory, kept)
        except OSError as error:  # the next life records more than it must, no less
            log.warning("%s could not be saved: %s", self._memory, error)

    def catch_up_all(self) -> None:
        """Records what the folder became since it was last seen. A file that is not there says nothing."""
        with self._writing:
            states = [name for name in (*POSITIONS, MAX_PRICES, MIN_PRICES) if (self.folder / name).exists()]
            for name in states:
                self._look(name)
            if states:
                self._publish_state()
            self._skip_half_deal()
            self._publish_deals()
            self._remember()

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
        try:
            with self._writing:
                if DEALS in names and self._publish_deals():
                    self._remember()
                if any([self._look(name) for name in names if name != DEALS]) and self._publish_state():
                    self._remember()
        except Exception:
            log.exception("%s: %s could not be recorded yet", self.folder, ", ".join(names))

    def _look(self, name: str) -> bool:
        """Reads a file of state; whether it says something new."""
        if name == POSITIONS[1] and (self.folder / POSITIONS[0]).exists():
            return False  # left behind by an older version of the strategy
        try:
            raw = (self.folder / name).read_bytes()
        except FileNotFoundError:
            return False
        if raw == self._seen.get(name):
            return False
        try:
            value = load_object(raw)
        except ValueError as error:  # half-written: the strategy cannot read it either
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

    def _publish_state(self) -> bool:
        """Records the difference between the folder and the tape; whether there was one."""
        highest, lowest = self._prices[MAX_PRICES], self._prices[MIN_PRICES]
        held = {code: Held(days, highest.get(code), lowest.get(code)) for code, days in self._days.items()}
        state = State(max(self._inc_date, self._taped.inc_date), held)
        if state == self._taped:
            return False
        try:
            self.tape.publish_many(difference(self.account, self._taped, state))
        except Exception:
            self._seen.clear()  # so that the next call looks again
            raise
        self._taped = state
        return True

    def _publish_deals(self) -> bool:
        path = self.folder / DEALS
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            return False
        known = ""
        if size < self._deals_end:
            log.warning("%s was replaced; its deals after %s are recorded", path, self._last_deal or "its beginning")
            self._deals_end, known = 0, self._last_deal
        found = False
        for deal in read_deals(path, self._deals_end):
            if deal.at > known:
                self._publish_deal(deal)
            self._deals_end, found = deal.end, True
        return found

    def _publish_deal(self, deal: Deal) -> None:
        try:
            event = deal.event(self.account, self._strategy_name)
        except ValueError as error:
            self._reject(deal.raw, str(error))
            return
        self.tape.publish(event)
        self._last_deal = max(self._last_deal, deal.at)

    def _skip_half_deal(self) -> None:
        """A row that a killed strategy never ended would run into the next one: it is put aside."""
        try:
            raw = (self.folder / DEALS).read_bytes()
        except FileNotFoundError:
            return
        if raw and not raw.endswith(b"\n") and len(raw) > self._deals_end:
            self._publish_deals()
            self._reject(raw[self._deals_end :], f"a row of {DEALS} was never finished")
            self._deals_end = len(raw)

    def _reject(self, raw: bytes, rule: str) -> None:
        log.error("%s: not recorded: %s: %.200r", self.folder / DEALS, rule, raw)
        self.tape.spool.reject(raw, {"rule": rule, "account_id": self.account})


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
    """Gives the helpers back as they were and closes the tapes of all installs; each has so many seconds to deliver."""
    for loaded in list(sys.modules.values()):
        for bound, value in list(getattr(loaded, "__dict__", {}).items()):
            original = getattr(value, "__tapedeck_original__", None) if callable(value) else None
            if original is not None:
                setattr(loaded, bound, original)
    for folder in list(_folders.values()):
        folder.tape.close(timeout)
    _folders.clear()
