"""Texts of the event contract: ids, times, decimals, stock codes."""

from __future__ import annotations

import datetime as dt
import os
import re
import threading
import time
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import SupportsFloat, SupportsIndex, Union

Number = Union[str, int, Decimal, SupportsFloat]
Moment = Union[str, int, float, dt.datetime]
Day = Union[str, dt.date]

CHINA = dt.timezone(dt.timedelta(hours=8))

_ids = threading.Lock()
_last_id = (0, 0)


def new_id() -> str:
    """A UUIDv7. The ids of one process sort in the order in which they were made."""
    global _last_id
    with _ids:
        millis, count = time.time_ns() // 1_000_000, 0
        if millis <= _last_id[0]:  # the same millisecond, or the clock was set back
            millis, count = _last_id[0], _last_id[1] + 1
            if count > 0xFFF:
                millis, count = millis + 1, 0
        _last_id = (millis, count)
    noise = int.from_bytes(os.urandom(8), "big") & (1 << 62) - 1
    digits = f"{millis << 80 | 7 << 76 | count << 64 | 2 << 62 | noise:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _new_lock() -> None:
    """In a forked child: another thread of the parent may have held the lock."""
    global _ids
    _ids = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)


def decimal_text(value: Number, places: int) -> str:
    """The decimal with so many places, rounded half away from zero.

    A float counts as what it prints as, so that 8.3 is 8.3. ValueError for what is no finite number.
    """
    if isinstance(value, bool):
        raise ValueError(f"{value} is no number")
    if not isinstance(value, (str, int, Decimal)):
        value = float.__repr__(float(value))
    try:
        number = Decimal(value)
        if not number.is_finite():
            raise ValueError(f"{value} is no finite number")
        rounded = number.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    except InvalidOperation:
        raise ValueError(f"{value!r} is no decimal that can be recorded") from None
    return f"{abs(rounded) if rounded == 0 else rounded:f}"


def price(value: Number) -> str:
    """Yuan a share, three places."""
    return decimal_text(value, 3)


def money(value: Number) -> str:
    """Yuan, two places."""
    return decimal_text(value, 2)


def whole(value: Union[int, str, float, SupportsIndex]) -> int:
    """The whole number, also when it came as 100.0 or "100"."""
    number = Decimal(decimal_text(value, 6))  # type: ignore[arg-type]
    if number != int(number):
        raise ValueError(f"{value} must be a whole number")
    return int(number)


def time_text(value: Moment | None = None) -> str:
    """RFC 3339 in +08:00; now when there is none.

    A number, or a text of digits, is a Unix timestamp in seconds; a text or a datetime without a zone is China time.
    """
    if value is None:
        moment = dt.datetime.now(CHINA)
    elif isinstance(value, dt.datetime):
        moment = value
    elif isinstance(value, str) and not re.fullmatch(r"\d{9,11}(\.\d+)?", value.strip()):
        text = re.sub(r"[zZ]$", "+00:00", value.strip())
        moment = dt.datetime.fromisoformat(re.sub(r"\.(\d{1,6})\d*", lambda m: "." + m[1].ljust(6, "0"), text))
    else:
        moment = dt.datetime.fromtimestamp(float(value), CHINA)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=CHINA)
    return moment.astimezone(CHINA).isoformat()


def date_text(value: Day | None = None) -> str:
    """2025-01-02 from a date, 2025-01-02 or 20250102; today in China when there is none."""
    if value is None:
        return dt.datetime.now(CHINA).date().isoformat()
    if isinstance(value, dt.datetime):
        value = value.date()
    if isinstance(value, dt.date):
        return value.isoformat()
    text = value.strip()
    if re.fullmatch(r"\d{8}", text):
        text = f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return dt.date.fromisoformat(text).isoformat()


_CODE = re.compile(r"(?:(\d{6})\.(SH|SZ|BJ)|(SH|SZ|BJ)(\d{6}))")


def stock_code(text: str) -> str:
    """600000.SH, also for SH600000. ValueError for what is no stock code."""
    match = _CODE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no stock code such as 600000.SH")
    return f"{match[1] or match[4]}.{match[2] or match[3]}"
