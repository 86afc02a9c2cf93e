"""What a strategy's cache folder says, and which events take the tape there."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Optional

from . import events
from .values import date_text, price, stock_code, whole

POSITIONS = ("positions.json", "held_days.json")  # the second is the older name, its values are plain numbers
MAX_PRICES = "max_price.json"
MIN_PRICES = "min_price.json"
DEALS = "deal_hist.csv"

_INC_DATE = "_inc_date"
_DAY_COUNT = "day_count"
_DEAL_FIELDS = 8

ORDER_WORDS = {
    "市买委托": ("buy_order", "market"),
    "限买委托": ("buy_order", "limit"),
    "市卖委托": ("sell_order", "market"),
    "限卖委托": ("sell_order", "limit"),
    "买入成交": ("buy_trade", None),
    "卖出成交": ("sell_trade", None),
    "撤单": ("cancel", None),
}


class Held(NamedTuple):
    """An open position. Prices are the contract's texts."""

    days: int
    max_price: Optional[str] = None
    min_price: Optional[str] = None


@dataclass
class State:
    """An account's positions. Prices of stocks that are not held say nothing and are left out."""

    inc_date: str = ""
    held: dict[str, Held] = field(default_factory=dict)


def read_positions(value: Any) -> tuple[str, dict[str, int], list[str]]:
    """_inc_date, the held days of the open positions, and what could not be read."""
    inc_date, held, odd = "", {}, []
    for key, entry in value.items():
        try:
            if key == _INC_DATE:
                inc_date = date_text(entry)
                continue
            days = entry.get(_DAY_COUNT) if isinstance(entry, dict) else entry
            if days is not None:
                held[stock_code(key)] = whole(days)
        except (ValueError, TypeError, AttributeError) as error:
            odd.append(f"{key}: {error}")
    return inc_date, held, odd


def read_prices(value: Any) -> tuple[dict[str, str], list[str]]:
    """The prices by stock, and what could not be read."""
    prices, odd = {}, []
    for key, entry in value.items():
        try:
            prices[stock_code(key)] = price(entry)
        except (ValueError, TypeError) as error:
            odd.append(f"{key}: {error}")
    return prices, odd


def difference(account: str, before: State, after: State) -> list[events.Event]:
    """The events that lead from one state to the other.

    A highest or lowest price that goes while its position stays has no event of its own: the position is closed
    and opened again, which leaves exactly the state.
    """
    found: list[events.Event] = []
    held = dict(before.held)
    if after.inc_date > before.inc_date:
        found.append(events.days_incremented(account, after.inc_date))
        held = {code: h._replace(days=h.days + 1) for code, h in held.items()}
    for code in before.held:
        if code not in after.held:
            found.append(events.position_closed(account, code))
            del held[code]
    for code, to in after.held.items():
        at = held.get(code)
        if at and ((at.max_price and not to.max_price) or (at.min_price and not to.min_price)):
            found.append(events.position_closed(account, code))
            at = None
        if at is None and to.days == 0:
            found.append(events.position_opened(account, code))
        elif at is None or at.days != to.days:
            found.append(events.held_days_set(account, code, to.days))
        highest = to.max_price if at is None or at.max_price != to.max_price else None
        lowest = to.min_price if at is None or at.min_price != to.min_price else None
        if highest and lowest and float(highest) < float(lowest):  # no event may say so, the files may
            found.append(events.price_marked(account, code, max_price=highest))
            highest = None
        if highest or lowest:
            found.append(events.price_marked(account, code, highest, lowest))
    return found


def load_object(raw: bytes) -> Any:
    """A JSON file's object; ValueError when it is half-written or none."""
    value = json.loads(decode(raw))
    if not isinstance(value, dict):
        raise ValueError("must be a JSON object")
    return value


def decode(raw: bytes) -> str:
    """Python's open writes the locale's encoding: GBK on Chinese Windows, UTF-8 elsewhere."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("gb18030")


@dataclass(frozen=True)
class Deal:
    """A row of deal_hist.csv, where it ends in the file, and when it says it was."""

    raw: bytes
    end: int
    fields: list[str]

    @property
    def at(self) -> str:
        """2025-01-02 10:20:08; texts of this form sort by time."""
        return " ".join(self.fields[:2])[:19]

    def event(self, account: str, strategy_name: str) -> events.Event:
        """The trade. Its id follows from the place and the text of the row, so that reading it twice records it once.

        ValueError when the row is no deal.
        """
        if len(self.fields) != _DEAL_FIELDS:
            raise ValueError(f"a row of {DEALS} must have {_DEAL_FIELDS} fields, this one has {len(self.fields)}")
        day, clock, code, name, word, remark, at_price, volume = self.fields
        order_type, price_type = ORDER_WORDS.get(word.strip(), (word, None))
        digest = hashlib.sha256(f"{account}\n{self.end}\n".encode() + self.raw.rstrip(b"\r\n")).hexdigest()
        return events.trade_recorded(
            account,
            code.strip(),
            name,
            order_type,
            at_price.strip(),
            whole(volume.strip()),
            datetime.fromisoformat(f"{day.strip()} {clock.strip()}").astimezone(),  # written in this machine's time
            price_type=price_type,
            strategy_name=strategy_name,
            remark=remark,
            id="sq-" + digest[:40],
        )


def read_deals(path: Path, offset: int) -> Iterator[Deal]:
    """The complete rows behind an offset. A row that was begun and not ended is left for the next time."""
    with open(path, "rb") as file:
        file.seek(offset)
        row = b""
        for text in file:
            offset += len(text)
            row += text
            if not row.endswith(b"\n"):
                return
            if row.count(b'"') % 2 and row.count(b"\n") < 64:  # a remark that spans lines
                continue
            fields = next(csv.reader(io.StringIO(decode(row), newline="")), [])
            if fields and not (offset == len(row) and not re.match(r"\s*\d", fields[0])):
                yield Deal(row, offset, fields)
            row = b""
