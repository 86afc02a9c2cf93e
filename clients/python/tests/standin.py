"""Helpers that treat a cache folder as the strategies' own do: JSON rewritten in place, CSV appended, locale encoding.

Written for the tests, from behaviour.
"""

from __future__ import annotations

import csv
import json
import os
from datetime import datetime
from threading import Lock
from typing import Any

today = lambda: datetime.now().strftime("%Y-%m-%d")  # noqa: E731  (tests put another clock in)


def load_json(path: str) -> dict:
    if not os.path.exists(path):
        save_json(path, {})
    with open(path) as file:
        return json.load(file)


def save_json(path: str, var: dict, ensure_ascii: bool = True) -> None:
    with open(path, "w") as file:
        json.dump(var, file, ensure_ascii=ensure_ascii, indent=4)


def del_key(lock: Lock, path: str, key: str) -> None:
    del_keys(lock, path, [key])


def del_keys(lock: Lock, path: str, keys: list) -> None:
    with lock:
        content = load_json(path)
        save_json(path, {k: v for k, v in content.items() if k not in keys})


def del_held_day(lock: Lock, path: str, key: str) -> bool:
    with lock:
        held = load_json(path)
        held.setdefault(key, {})["day_count"] = None
        save_json(path, held)
    return True


def new_held(lock: Lock, path: str, codes: list) -> None:
    with lock:
        held = load_json(path)
        for code in codes:
            held[code] = {"day_count": 0}
        save_json(path, held)


def all_held_inc(lock: Lock, path: str) -> bool:
    with lock:
        held = load_json(path)
        if held.get("_inc_date") == today():
            return False
        for entry in held.values():
            if isinstance(entry, dict) and entry.get("day_count") is not None:
                entry["day_count"] += 1
        held["_inc_date"] = today()
        save_json(path, held)
    return True


def update_max_prices(
    lock: Lock,
    quotes: dict,
    positions: list,
    curr_time: str,
    path_max_prices: str,
    path_min_prices: str,
    path_held_info: str,
    ignore_open_day: bool = True,
) -> tuple[dict, dict]:
    held = load_json(path_held_info)
    with lock:
        highest, lowest = load_json(path_max_prices), load_json(path_min_prices)
    before = dict(highest), dict(lowest)
    for position in positions:
        code = position.stock_code
        days = held.get(code, {}).get("day_count")
        if code not in quotes or code not in held or (ignore_open_day and not days):
            continue
        highest[code] = max(highest.get(code, 0), round(quotes[code]["high"], 3))
        lowest[code] = min(lowest.get(code, 10**9), round(quotes[code]["low"], 3))
    for path, old, new in ((path_max_prices, before[0], highest), (path_min_prices, before[1], lowest)):
        if new != old:
            with lock:
                save_json(path, new)
    return highest, held


def record_deal(
    lock: Lock, path: str, timestamp: str, code: str, name: str, order_type: str, remark: str, price: Any, volume: int
) -> None:
    with lock:
        if not os.path.exists(path):
            with open(path, "w") as file:
                file.write("日期,时间,代码,名称,类型,注释,成交价,成交量\n")
        at = datetime.fromtimestamp(int(timestamp))
        with open(path, "a+", newline="") as file:
            csv.writer(file).writerow([at.date(), at.time(), code, name, order_type, remark, price, volume])
