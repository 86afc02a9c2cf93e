"""What a strategy's cache folder says, and which events take the tape there."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple, Optional

from . import events
from .values import date_text, decimal_text, price, stock_code, whole

POSITIONS = ("positions.json", "held_days.json")  # the second is the older name, its values are plain numbers
MAX_PRICES = "max_price.json"
MIN_PRICES = "min_price.json"
DEALS = "deal_hist.csv"

_INC_DATE = "_inc_date"
_DAY_COUNT = "day_count"
_HEADER = ("日期", "时间", "代码", "名称", "类型", "注释", "成交价", "成交量")
_ROW_LINES, _ROW_BYTES = 64, 64 << 10
_SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))

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
    """The prices by stock, and what could not be read. 0 and below, as of a suspended stock, is no price."""
    prices, odd = {}, []
    for key, entry in value.items():
        try:
            text = price(entry)
            if float(text) > 0:
                prices[stock_code(key)] = text
        except (ValueError, TypeError) as error:
            odd.append(f"{key}: {error}")
    return prices, odd


def difference(account: str, before: State, after: State, unsure: Collection[str] = ()) -> list[events.Event]:
    """The events that lead from one state to the other.

    A highest or lowest price that goes while its position stays has no event of its own: the position is closed
    and opened again, which leaves exactly the state. So it is with stocks of which it is not known what the tape says.
    """
    found: list[events.Event] = []
    held = dict(before.held)
    if after.inc_date > before.inc_date:
        found.append(events.days_incremented(account, after.inc_date))
        held = {code: h._replace(days=h.days + 1) for code, h in held.items()}
    for code in [*before.held, *(c for c in sorted(unsure) if c not in before.held)]:
        if code not in after.held or code in unsure:
            found.append(events.position_closed(account, code))
            held.pop(code, None)
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
class Row:
    """A row of deal_hist.csv as it stands in the file. fields are none when `reason` says why it is no row."""

    raw: bytes
    end: int
    fields: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Deal:
    """A row that is a deal. `content` is what makes rows equal; its order must never change."""

    content: tuple[str, ...]
    order_type: str
    price_type: Optional[str]

    def digest(self, account: str) -> str:
        """The same for rows of the same content, here and in what watches and imports folders."""
        return _digest("trade.recorded.v1", account, *self.content)

    def event(self, account: str, strategy_name: str, digest: str, nth: int) -> events.Event:
        """The trade that the nth row, from 1, of this content is.

        Its id and its source are those that watching and importing give the row: whoever turns it into an event, it is one.
        """
        day, clock, code, name, _, _, remark, at_price, volume = self.content
        event = events.trade_recorded(
            account,
            code,
            name,
            self.order_type,
            at_price,
            int(volume),
            f"{day} {clock}",  # China time
            price_type=self.price_type,
            strategy_name=strategy_name,
            remark=remark,
            id="imp-" + _digest(digest, str(nth)),
        )
        return {**event, "source": "import/" + account}


def _digest(*fields: str) -> str:
    """160 bits of a hash over length-prefixed fields. Its form must never change."""
    texts = (field.encode() for field in fields)
    return hashlib.sha256(b"".join(b"%d:%s" % (len(text), text) for text in texts)).hexdigest()[:40]


def parse_deal(fields: Sequence[str]) -> Deal:
    """The deal; ValueError when the row is none. As strict as what watches and imports folders."""
    if len(fields) != len(_HEADER):
        raise ValueError(f"must have {len(_HEADER)} fields, has {len(fields)}")
    day, clock, code, name, word, remark, at_price, volume = fields
    day = day.strip(_SPACES)
    if not re.fullmatch(r"(19|20|21)[0-9]{2}-[0-9]{2}-[0-9]{2}|2200-[0-9]{2}-[0-9]{2}", day):
        raise ValueError("日期 must be a date such as 2025-01-02")
    date.fromisoformat(day)
    at = re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])([.,][0-9]+)?", clock.strip(_SPACES))
    if at is None:
        raise ValueError("时间 must be a time such as 09:30:00")
    word = word.strip(_SPACES)
    if word not in ORDER_WORDS:
        raise ValueError("类型 is not a known order word")
    order_type, price_type = ORDER_WORDS[word]
    shares = _literal("成交量", volume, 2)
    if not shares.endswith(".00"):
        raise ValueError("成交量 must be a whole number")
    content = (
        day,
        f"{int(at[1]):02d}:{at[2]}:{at[3]}",
        code.strip(_SPACES),
        name,
        order_type,
        price_type or "",
        remark,
        _literal("成交价", at_price, 3),
        shares[:-3],
    )
    return Deal(content, order_type, price_type)


def _literal(column: str, text: str, places: int) -> str:
    text = text.strip(_SPACES)
    if len(text) > 400 or not re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", text):
        raise ValueError(f"{column} must be a decimal number such as 12.345")
    written = decimal_text(text, places)
    if len(written.lstrip("-").replace(".", "").lstrip("0")) > 17:
        raise ValueError(f"{column} is too large: at most 17 digits are kept")
    return written


def read_rows(raw: bytes, breaks: Collection[int] = (), begin: int = 0) -> Iterator[Row]:
    """The complete rows of deal_hist.csv, from a place where one begins.

    A row that was begun and not ended is left for the next time. A bad row is told with its reason and reading goes on behind it. Where a row was begun and never ended, `breaks` says
    where the next begins: what stands before is passed over.
    """
    for end in (*sorted(b for b in breaks if b > begin), len(raw)):
        yield from _rows(raw, begin, end)
        begin = end


def _rows(raw: bytes, at: int, end: int) -> Iterator[Row]:
    while at < end:
        first = stop = raw.find(b"\n", at, end) + 1
        lines = 1
        # A quoted remark may span lines. One stray quote must not swallow what follows.
        while stop and raw.count(b'"', at, stop) % 2 and lines < _ROW_LINES and stop - at <= _ROW_BYTES:
            stop = raw.find(b"\n", stop, end) + 1
            lines += 1
        if not stop:
            return
        if raw.count(b'"', at, stop) % 2:
            yield Row(raw[at:first], first, reason="a quote is not closed")
            at = first
            continue
        row = raw[at:stop]
        begin, at = at, stop
        if len(row) > _ROW_BYTES:
            yield Row(row, stop, reason="the line is too long")
            continue
        try:
            text = decode(row)
            if not text.strip(_SPACES):
                continue
            fields = tuple(_split(text.removesuffix("\n").removesuffix("\r")))
        except ValueError as error:
            yield Row(row, stop, reason=str(error))
            continue
        if begin == 0 and tuple(f.strip(_SPACES) for f in fields) == _HEADER:
            continue
        yield Row(row, stop, fields)


def _split(text: str) -> Iterator[str]:
    """The fields of a row. Python's own reader believes more than what watches and imports folders does."""
    while True:
        if not text.startswith('"'):
            value, more, text = text.partition(",")
            if '"' in value:
                raise ValueError("a quote stands inside an unquoted field")
            yield value
            if not more:
                return
            continue
        quoted = re.match(r'"((?:[^"]|"")*)"(,|\Z)', text)
        if quoted is None:
            raise ValueError("text follows a closing quote")
        yield quoted[1].replace('""', '"')
        if not quoted[2]:
            return
        text = text[quoted.end() :]
