"""The data store interface that strategies know, over the tape: writes go to ingest, reads to the read API."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Optional
from urllib.parse import quote

from . import _disk, events, frames
from .errors import NotFoundError, ReadError, UndeliveredError
from .reader import Reader
from .sender import Receipt
from .tape import Tape
from .values import Number, date_text, price, stock_code

log = logging.getLogger("tapedeck")

Row = dict[str, Any]

MAX_KLINE_CODES = 100
MAX_TRADES = 100_000
_GROUPS = ("day", "month", "year", "stock")
_PRICES = ("price", "amount")
_MONEY = ("initial_capital", "current_capital", "total_assets", "position_value", "allocated_capital", "risk_limit")
_FAILED = "down"


class Store:
    """All methods of the strategies' data store, arguments by name and in its order.

    Writes are durable in the spool when they return. Methods that must know ingest's verdict (all_held_inc, create_…,
    save_strategy_params, bind_…) wait for it for `patience` seconds: a refusal is a RejectedError, which is a ValueError;
    UndeliveredError says that the verdict is late while the event stays on its way.

    Reads know of this Store's own writes: before asking they wait, at most `patience` seconds and not at all while
    ingest is down, for the spool to empty, and then ask for the last sequence. `at_least` asks for another one: that
    of a receipt of another process, or 0 for whatever is there. ReadError with status 504 says that no tier got there in time.

    Prices and money are floats, as strategies expect; they print as recorded. All methods may be called from several
    threads.
    """

    def __init__(self, tape: Tape, *, patience: float = 5.0) -> None:
        self._tape = tape
        self._reader = Reader(tape.read_url)
        self._patience = patience
        self._incrementing = threading.Lock()
        self._incremented: dict[str, str] = {}  # the last day for which True was said, by account

    # Positions

    def get_held_days(self, code: str, account_id: str, *, at_least: Optional[int] = None) -> Optional[int]:
        """Trading days held; None when the position is not open."""
        days = self._position(code, account_id, at_least)["held_days"]
        return None if days is None else int(days)

    def update_held_days(self, code: str, days: int, account_id: str) -> None:
        if days < 0:
            raise ValueError(f"days must not be negative, got {days}")
        self._tape.publish(events.held_days_set(account_id, code, days))

    def all_held_inc(self, account_id: str) -> bool:
        """Adds a day to all open positions, once a day: True then, False after.

        While ingest is down the answer is what the spool knows: True for the first call of the day. True is said at
        most once for a day and a spool, also across restarts.
        """
        day = date_text()
        said = self._tape.spool.folder / f"incremented-{quote(account_id, safe='')}.json"
        with self._incrementing:
            if self._incremented.get(account_id) == day or _disk.load_json(said) == day:
                return False
            try:
                first = self._tape.ask(events.days_incremented(account_id, day), self._patience).applied
            except UndeliveredError:
                first = True  # if it was not, it changes nothing
            if first:
                self._incremented[account_id] = day
                try:
                    _disk.replace_json(said, day)
                    _disk.sync_folder(said.parent)
                except OSError as error:  # the event is recorded: the strategy's day must not fail of this
                    log.warning("%s could not be saved: %s", said, error)
        return first

    def delete_held_days(self, code: str, account_id: str) -> None:
        """Closes the position: held days, highest and lowest price are gone."""
        self._tape.publish(events.position_closed(account_id, code))

    def batch_new_held(self, account_id: str, codes: Sequence[str]) -> None:
        """Opens positions with 0 held days; one that is open starts again at 0."""
        self._tape.publish_many([events.position_opened(account_id, code) for code in codes])

    def get_max_price(self, code: str, account_id: str, *, at_least: Optional[int] = None) -> Optional[float]:
        return _number(self._position(code, account_id, at_least)["max_price"])

    def update_max_price(self, code: str, price: Number, account_id: str) -> None:
        self._tape.publish(events.price_marked(account_id, code, max_price=_positive(price)))

    def get_min_price(self, code: str, account_id: str, *, at_least: Optional[int] = None) -> Optional[float]:
        return _number(self._position(code, account_id, at_least)["min_price"])

    def update_min_price(self, code: str, price: Number, account_id: str) -> None:
        self._tape.publish(events.price_marked(account_id, code, min_price=_positive(price)))

    def get_positions(self, account_id: str, *, at_least: Optional[int] = None) -> list[Row]:
        """The open positions: stock_code, held_days, max_price, min_price."""
        found = self._read(("accounts", account_id, "positions"), at_least=at_least)["positions"]
        return [
            {
                "stock_code": p["stock_code"],
                "held_days": p["held_days"],
                "max_price": _number(p["max_price"]),
                "min_price": _number(p["min_price"]),
            }
            for p in found
            if p["open"]
        ]

    def _position(self, code: str, account_id: str, at_least: Optional[int]) -> Row:
        found: Row = self._read(("accounts", account_id, "positions", stock_code(code)), at_least=at_least)["position"]
        return found

    # Trades

    def record_trade(
        self,
        account_id: str,
        timestamp: str,
        code: str,
        name: str,
        order_type: str,
        remark: str,
        price: Number,
        volume: int,
        strategy_name: str = "",
    ) -> None:
        """timestamp: Unix seconds, or a text such as 2025-01-02 10:20:08 in China time."""
        event = events.trade_recorded(
            account_id, code, name, order_type, price, volume, timestamp, remark=remark, strategy_name=strategy_name
        )
        self._tape.publish(event)

    def query_trades(
        self,
        account_id: str,
        start_date: Optional[str] = None,
        end_date: Optional[str] = None,
        code: Optional[str] = None,
        strategy_name: Optional[str] = None,
        limit: int = 1000,
        *,
        at_least: Optional[int] = None,
    ) -> list[Row]:
        """Newest first; the days are both included."""
        if not 1 <= limit <= MAX_TRADES:
            raise ValueError(f"limit must be 1 to {MAX_TRADES}, got {limit}")
        params = {
            "account": account_id,
            "from": _day(start_date),
            "to": _day(end_date),
            "stock": code,
            "strategy": strategy_name,
            "limit": limit,
        }
        return [_floats(t, _PRICES) for t in self._read(("trades",), params, at_least)["trades"]]

    def aggregate_trades(
        self,
        account_id: str,
        start_date: str,
        end_date: str,
        group_by: str = "month",
        *,
        at_least: Optional[int] = None,
    ) -> list[Row]:
        """group_by: day, month, year, stock. Profit is realized, first bought first sold; win_rate in percent."""
        if group_by not in _GROUPS:
            raise ValueError(f"group_by must be one of {', '.join(_GROUPS)}, got {group_by!r}")
        params = {"account": account_id, "from": _day(start_date), "to": _day(end_date), "by": group_by}
        groups = self._read(("trades", "aggregate"), params, at_least)["groups"]
        return [
            {
                "period": g["key"],
                "trade_count": g["count"],
                "total_amount": float(g["amount"]),
                "profit": float(g["profit"]),
                "win_rate": _number(g["win_rate"]),
            }
            for g in groups
        ]

    # Klines

    def get_kline(
        self,
        code: str,
        start_date: Optional[str] = None,
        end_date: Optional[str] = None,
        days: Optional[int] = None,
        *,
        at_least: Optional[int] = None,
    ) -> Any:
        """A DataFrame, or a list of dicts where there is no pandas; `days` asks for the last ones and overrides start_date."""
        params = _span(start_date, end_date, days)
        return frames.kline(self._read(("klines", stock_code(code)), params, at_least)["bars"])

    def batch_get_kline(
        self,
        codes: Sequence[str],
        start_date: Optional[str] = None,
        end_date: Optional[str] = None,
        days: Optional[int] = None,
        *,
        at_least: Optional[int] = None,
    ) -> dict[str, Any]:
        """By the codes as they were given, at most MAX_KLINE_CODES."""
        if len(codes) > MAX_KLINE_CODES:
            raise ValueError(f"at most {MAX_KLINE_CODES} codes at a time, got {len(codes)}")
        if not codes:
            return {}
        params = {"stocks": ",".join(stock_code(c) for c in codes), **_span(start_date, end_date, days)}
        found = self._read(("klines",), params, at_least)["klines"]
        return {code: frames.kline(found[stock_code(code)]) for code in codes}

    # Accounts

    def create_account(self, account_id: str, account_name: str, broker: str, initial_capital: Number) -> int:
        """The sequence of its event, which is unique and serves as internal id. ValueError when the account exists."""
        return self._settled(events.account_created(account_id, account_name, broker, initial_capital)).sequence

    def get_account(self, account_id: str, *, at_least: Optional[int] = None) -> Optional[Row]:
        try:
            return _floats(self._read(("accounts", account_id), at_least=at_least)["account"], _MONEY)
        except NotFoundError:
            return None

    def list_accounts(self, status: Optional[str] = None, *, at_least: Optional[int] = None) -> list[Row]:
        """status: active, inactive, suspended."""
        found = self._read(("accounts",), {"status": status}, at_least)["accounts"]
        return [_floats(a, _MONEY) for a in found]

    def update_account_capital(
        self, account_id: str, current_capital: Number, total_assets: Number, position_value: Number
    ) -> None:
        self._tape.publish(events.capital_updated(account_id, current_capital, total_assets, position_value))

    def set_account_status(self, account_id: str, status: str) -> None:
        self._settled(events.account_status_changed(account_id, status))

    # Strategies. Where a strategy's name is asked for, its code will do.

    def create_strategy(
        self, strategy_name: str, strategy_code: str, strategy_type: str, version: str, description: str = ""
    ) -> int:
        """The sequence of its event, as create_account. ValueError when the name or the code is taken."""
        event = events.strategy_created(strategy_name, strategy_code, strategy_type, version, description)
        return self._settled(event).sequence

    def get_strategy(self, strategy_name: str, *, at_least: Optional[int] = None) -> Optional[Row]:
        try:
            found: Row = self._read(("strategies", strategy_name), at_least=at_least)["strategy"]
            return found
        except NotFoundError:
            return None

    def list_strategies(self, status: Optional[str] = None, *, at_least: Optional[int] = None) -> list[Row]:
        """status: testing, active, inactive."""
        found: list[Row] = self._read(("strategies",), {"status": status}, at_least)["strategies"]
        return found

    def set_strategy_status(self, strategy_name: str, status: str) -> None:
        self._settled(events.strategy_status_changed(self._code(strategy_name), status))

    def get_strategy_params(
        self, strategy_name: str, version: Optional[int] = None, *, at_least: Optional[int] = None
    ) -> Row:
        """The active version, or the one asked for. NotFoundError when there is none."""
        params: Row = self._param(strategy_name, version, at_least)["params"]
        return params

    def save_strategy_params(self, strategy_name: str, params: Mapping[str, Any], remark: str = "") -> int:
        """The version that the parameters became, which is active from now on."""
        receipt = self._settled(events.param_saved(self._code(strategy_name), params, remark))
        return int(self._param(strategy_name, None, receipt.sequence)["version"])

    def activate_strategy_params(self, strategy_name: str, version: int) -> None:
        """Goes back to an older version."""
        self._settled(events.param_activated(self._code(strategy_name), version))

    def list_strategy_params(self, strategy_name: str, *, at_least: Optional[int] = None) -> list[Row]:
        """The versions, newest first: version, active, remark, created_at."""
        found: list[Row] = self._read(("strategies", strategy_name, "params", "versions"), at_least=at_least)["versions"]
        return found

    def compare_strategy_params(
        self, strategy_name: str, version_a: int, version_b: int, *, at_least: Optional[int] = None
    ) -> dict[str, tuple[Any, Any]]:
        """What differs: key to (value in a, value in b), None where a version does not have the key."""
        params = {"a": version_a, "b": version_b}
        found = self._read(("strategies", strategy_name, "params", "compare"), params, at_least)
        differences = {key: (pair["a"], pair["b"]) for key, pair in found["changed"].items()}
        differences.update({key: (value, None) for key, value in found["removed"].items()})
        differences.update({key: (None, value) for key, value in found["added"].items()})
        return differences

    def _param(self, strategy_name: str, version: Optional[int], at_least: Optional[int]) -> Row:
        found: Row = self._read(("strategies", strategy_name, "params"), {"version": version}, at_least)["param"]
        return found

    def _code(self, strategy_name: str) -> str:
        return str(self._read(("strategies", strategy_name))["strategy"]["strategy_code"])

    # Bindings

    def bind_strategy(self, account_id: str, strategy_name: str, allocated_capital: Number, risk_limit: Number) -> None:
        """risk_limit in percent. ValueError when the account's capital does not cover its allocations."""
        code = self._code(strategy_name)
        self._settled(events.strategy_bound(account_id, code, allocated_capital, risk_limit))

    def unbind_strategy(self, account_id: str, strategy_name: str) -> None:
        self._settled(events.strategy_unbound(account_id, self._code(strategy_name)))

    def get_account_strategies(self, account_id: str, *, at_least: Optional[int] = None) -> list[Row]:
        """The bindings of an account: strategy_code, allocated_capital, risk_limit, status."""
        found = self._read(("accounts", account_id, "strategies"), at_least=at_least)["bindings"]
        return [_floats(b, _MONEY) for b in found]

    def get_strategy_accounts(self, strategy_name: str, *, at_least: Optional[int] = None) -> list[Row]:
        """The bindings of a strategy, the other way round."""
        found = self._read(("strategies", strategy_name, "accounts"), at_least=at_least)["bindings"]
        return [_floats(b, _MONEY) for b in found]

    # Health and end

    def health_check(self) -> dict[str, str]:
        """ok, degraded or down for ingest, the read API (console), the log and each tier. Never raises."""
        health = {"ingest": self._tape.ingest_health(), "console": "ok"}
        try:
            found = self._reader.get(("status",))
            health["log"] = "ok" if found["log"]["reachable"] else _FAILED
            for tier in found["tiers"]:
                up = "degraded" if tier.get("error") or tier.get("held") else "ok"
                health[tier["name"]] = up if tier["reachable"] else _FAILED
        except (ReadError, LookupError, TypeError, AttributeError):  # or another server answers
            return {**health, "console": _FAILED}
        return health

    def close(self) -> None:
        """Closes the tape as well; what is not delivered stays in its spool."""
        self._reader.close()
        self._tape.close()

    def _settled(self, event: events.Event) -> Receipt:
        return self._tape.ask(event, self._patience)

    def _read(
        self, path: tuple[str, ...], params: Optional[Mapping[str, Any]] = None, at_least: Optional[int] = None
    ) -> Row:
        if at_least is None:
            status = self._tape.status()
            if status.pending and status.error is None:
                self._tape.flush(self._patience)
            at_least = self._tape.last_sequence
        return self._reader.get(path, {**(params or {}), "at_least": at_least or None})


def _positive(value: Number) -> str:
    text = price(value)
    if not float(text) > 0:
        raise ValueError(f"a price must be above 0, got {value}")
    return text


def _number(text: Optional[str]) -> Optional[float]:
    return None if text is None else float(text)


def _floats(row: Mapping[str, Any], names: Sequence[str]) -> Row:
    return {k: _number(v) if k in names else v for k, v in row.items()}


def _day(value: Optional[str]) -> Optional[str]:
    return None if value is None else date_text(value)


def _span(start: Optional[str], end: Optional[str], days: Optional[int]) -> Row:
    if days is not None:
        return {"last": days, "to": _day(end)}
    return {"from": _day(start), "to": _day(end)}
