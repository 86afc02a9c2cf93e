"""The events that a strategy records. Each function makes one, to be given to Tape.publish.

Prices and money may be strings, Decimals, ints or floats; a float counts as what it prints as. `time` is when it
happened, now by default; see values.time_text for what is accepted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Optional

from .values import Day, Moment, Number, date_text, decimal_text, money, new_id, price, stock_code, time_text, whole

Event = dict[str, Any]


def make(
    type_: str,
    data: Mapping[str, Any],
    *,
    time: Optional[Moment] = None,
    id: Optional[str] = None,
    source: Optional[str] = None,
    correlationid: Optional[str] = None,
    causationid: Optional[str] = None,
) -> Event:
    """Any event, by type and data. What is None is left out; the Tape fills in its source."""
    event: Event = {"specversion": "1.0", "id": id or new_id()}
    if source is not None:
        event["source"] = source
    event["type"] = type_
    event["time"] = time_text(time)
    if correlationid is not None:
        event["correlationid"] = correlationid
    if causationid is not None:
        event["causationid"] = causationid
    event["data"] = {name: value for name, value in data.items() if value is not None}
    return event


def _optional(form: Any, value: Any) -> Any:
    return None if value is None else form(value)


def trade_recorded(
    account_id: str,
    stock_code: str,
    stock_name: str,
    order_type: str,
    price: Number,
    volume: int,
    traded_at: Moment,
    *,
    price_type: Optional[str] = None,
    strategy_name: Optional[str] = None,
    remark: Optional[str] = None,
    order_id: Optional[str] = None,
    id: Optional[str] = None,
) -> Event:
    """order_type: buy_order, sell_order, buy_trade, sell_trade, cancel; price_type: market, limit."""
    at = time_text(traded_at)
    return make(
        "trade.recorded.v1",
        {
            "account_id": account_id,
            "stock_code": stock_code,
            "stock_name": stock_name,
            "order_type": order_type,
            "price_type": price_type,
            "price": decimal_text(price, 3),
            "volume": whole(volume),
            "strategy_name": strategy_name or None,
            "remark": remark or None,
            "traded_at": at,
            "order_id": order_id,
        },
        time=at,
        id=id,
    )


def _position(kind: str, account_id: str, code: str, time: Optional[Moment], **data: Any) -> Event:
    return make(f"position.{kind}.v1", {"account_id": account_id, "stock_code": stock_code(code), **data}, time=time)


def position_opened(account_id: str, code: str, held_days: int = 0, *, time: Optional[Moment] = None) -> Event:
    return _position("opened", account_id, code, time, held_days=whole(held_days))


def held_days_set(account_id: str, code: str, held_days: int, *, time: Optional[Moment] = None) -> Event:
    return _position("held_days_set", account_id, code, time, held_days=whole(held_days))


def price_marked(
    account_id: str,
    code: str,
    max_price: Optional[Number] = None,
    min_price: Optional[Number] = None,
    *,
    time: Optional[Moment] = None,
) -> Event:
    """The highest or the lowest price since opening, or both."""
    return _position(
        "price_marked", account_id, code, time, max_price=_optional(price, max_price), min_price=_optional(price, min_price)
    )


def position_closed(account_id: str, code: str, *, time: Optional[Moment] = None) -> Event:
    return _position("closed", account_id, code, time)


def days_incremented(account_id: str, date: Optional[Day] = None, *, time: Optional[Moment] = None) -> Event:
    """One more held day for all open positions; the second one for a date changes nothing."""
    return make("position.days_incremented.v1", {"account_id": account_id, "date": date_text(date)}, time=time)


def account_created(account_id: str, account_name: str, broker: str, initial_capital: Number) -> Event:
    data = {
        "account_id": account_id,
        "account_name": account_name,
        "broker": broker,
        "initial_capital": money(initial_capital),
    }
    return make("account.created.v1", data)


def account_updated(account_id: str, account_name: Optional[str] = None, broker: Optional[str] = None) -> Event:
    return make("account.updated.v1", {"account_id": account_id, "account_name": account_name, "broker": broker})


def account_status_changed(account_id: str, status: str) -> Event:
    return make("account.status_changed.v1", {"account_id": account_id, "status": status})


def capital_updated(
    account_id: str,
    current_capital: Optional[Number],
    total_assets: Number,
    position_value: Optional[Number] = None,
    date: Optional[Day] = None,
    *,
    time: Optional[Moment] = None,
) -> Event:
    data = {
        "account_id": account_id,
        "current_capital": _optional(money, current_capital),
        "total_assets": money(total_assets),
        "position_value": _optional(money, position_value),
        "date": _optional(date_text, date),
    }
    return make("account.capital_updated.v1", data, time=time)


def strategy_created(
    strategy_name: str,
    strategy_code: str,
    strategy_type: str,
    version: str,
    description: str = "",
    status: Optional[str] = None,
) -> Event:
    data = {
        "strategy_name": strategy_name,
        "strategy_code": strategy_code,
        "strategy_type": strategy_type,
        "version": version,
        "description": description or None,
        "status": status,
    }
    return make("strategy.created.v1", data)


def strategy_status_changed(strategy_code: str, status: str) -> Event:
    return make("strategy.status_changed.v1", {"strategy_code": strategy_code, "status": status})


def _binding(
    type_: str,
    account_id: str,
    strategy_code: str,
    allocated_capital: Optional[Number],
    risk_limit: Optional[Number],
    status: Optional[str],
) -> Event:
    data = {
        "account_id": account_id,
        "strategy_code": strategy_code,
        "allocated_capital": _optional(money, allocated_capital),
        "risk_limit": _optional(money, risk_limit),
        "status": status,
    }
    return make(type_, data)


def strategy_bound(
    account_id: str, strategy_code: str, allocated_capital: Number, risk_limit: Number, status: Optional[str] = None
) -> Event:
    """Gives a strategy a share of an account's capital; risk_limit is in percent, 0 to 100."""
    return _binding("strategy.bound.v1", account_id, strategy_code, allocated_capital, risk_limit, status)


def binding_changed(
    account_id: str,
    strategy_code: str,
    allocated_capital: Optional[Number] = None,
    risk_limit: Optional[Number] = None,
    status: Optional[str] = None,
) -> Event:
    return _binding("strategy.binding_changed.v1", account_id, strategy_code, allocated_capital, risk_limit, status)


def strategy_unbound(account_id: str, strategy_code: str) -> Event:
    return make("strategy.unbound.v1", {"account_id": account_id, "strategy_code": strategy_code})


def param_saved(strategy_code: str, params: Mapping[str, Any], remark: str = "") -> Event:
    return make("param.saved.v1", {"strategy_code": strategy_code, "params": dict(params), "remark": remark or None})


def param_activated(strategy_code: str, version: int) -> Event:
    return make("param.activated.v1", {"strategy_code": strategy_code, "version": whole(version)})


def kline_recorded(code: str, bars: Iterable[Mapping[str, Any]], *, time: Optional[Moment] = None) -> Event:
    """bars: date, open, high, low, close, volume, amount; `datetime` is taken for `date`. At most 2,000."""
    rows = [
        {
            "date": date_text(str(bar["date"] if "date" in bar else bar["datetime"])),
            **{name: price(bar[name]) for name in ("open", "high", "low", "close")},
            "volume": whole(bar["volume"]),
            "amount": money(bar["amount"]),
        }
        for bar in bars
    ]
    return make("kline.recorded.v1", {"stock_code": stock_code(code), "bars": rows}, time=time)
