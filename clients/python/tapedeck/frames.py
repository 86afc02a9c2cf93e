"""Klines in the form that strategies compute with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

COLUMNS = ["datetime", "open", "high", "low", "close", "volume", "amount"]


def kline(bars: Iterable[Mapping[str, Any]]) -> Any:
    """A pandas DataFrame with COLUMNS, oldest first; a list of dicts where there is no pandas.

    datetime is a number such as 20250102, as in the strategies' own _daily files.
    """
    rows = [
        {
            "datetime": int(bar["date"].replace("-", "")),
            **{name: float(bar[name]) for name in ("open", "high", "low", "close")},
            "volume": int(bar["volume"]),
            "amount": float(bar["amount"]),
        }
        for bar in bars
    ]
    try:
        import pandas
    except ImportError:
        return rows
    return pandas.DataFrame(rows, columns=COLUMNS)
