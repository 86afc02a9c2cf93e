from __future__ import annotations

import csv
import json
import os
import pathlib
import random
import time
import unittest
from datetime import timedelta
from threading import Lock
from typing import Any
from unittest import mock

import tapedeck
from tapedeck import silverquant
from tapedeck.spool import rejects_in
from tests import standin, trader
from tests.standin import new_held, record_deal, save_json  # routed although they were imported before
from tests.test_tape import NOWHERE, Case


class Tape:
    """What a reader of the tape has after all events of a spool: positions and deals."""

    def __init__(self, waiting: list[dict[str, Any]]) -> None:
        self.held: dict[str, int] = {}
        self.marks: dict[tuple[str, str], str] = {}
        self.inc_date = ""
        self.deals: dict[str, dict[str, Any]] = {}
        for event in waiting:
            data, code = event["data"], event["data"].get("stock_code", "")
            kind = event["type"]
            if kind in ("position.opened.v1", "position.held_days_set.v1"):
                self.held[code] = data["held_days"]
            elif kind == "position.days_incremented.v1":
                if data["date"] > self.inc_date:
                    self.inc_date = data["date"]
                    self.held = {c: d + 1 for c, d in self.held.items()}
            elif kind == "position.closed.v1":
                self.held.pop(code, None)
                for name in ("max_price", "min_price"):
                    self.marks.pop((code, name), None)
            elif kind == "position.price_marked.v1":
                self.marks.update({(code, n): data[n] for n in ("max_price", "min_price") if n in data})
            elif kind == "trade.recorded.v1":
                assert self.deals.setdefault(event["id"], event) == event
            else:
                raise AssertionError(kind)

    def check(self, case: unittest.TestCase, folder: pathlib.Path) -> None:
        held = json.loads((folder / "positions.json").read_text())
        case.assertEqual(self.inc_date, held.pop("_inc_date", ""))
        open_ = {standard(c): e["day_count"] for c, e in held.items() if e["day_count"] is not None}
        case.assertEqual(self.held, open_)
        marks = {}
        for name in ("max_price", "min_price"):
            try:
                content = json.loads((folder / f"{name}.json").read_text())
            except FileNotFoundError:
                content = {}
            marks.update({(standard(c), name): f"{p:.3f}" for c, p in content.items() if standard(c) in open_})
        case.assertEqual(self.marks, marks)
        try:
            with open(folder / "deal_hist.csv", newline="", encoding="utf-8") as file:
                rows = list(csv.reader(file))[1:]
        except FileNotFoundError:
            rows = []
        deals = [(e["data"]["stock_code"], e["data"].get("remark", ""), e["data"]["volume"]) for e in self.deals.values()]
        case.assertEqual(deals, [(r[2], r[5], int(r[7])) for r in rows])


def standard(code: str) -> str:
    return f"{code[2:]}.{code[:2]}" if code[0] == "S" else code


class Installed(Case):
    def setUp(self) -> None:
        super().setUp()
        self.cache = self.folder / "55009728"
        self.cache.mkdir()
        self.lock = Lock()
        self.addCleanup(silverquant.uninstall, 0)
        china = mock.patch.dict(os.environ, {"TZ": "CST-8"})
        china.start()
        time.tzset()
        self.addCleanup(time.tzset)
        self.addCleanup(china.stop)

    def install(self) -> silverquant.CacheFolder:
        return silverquant.install(
            "55009728", self.cache, url=NOWHERE, read_url=NOWHERE, spool=self.spool, module="tests.standin"
        )

    def path(self, name: str) -> str:
        return str(self.cache / name)

    def published(self, recorder: silverquant.CacheFolder, since: int = 0) -> list[tuple[str, Any]]:
        """Type and the data that matter."""
        shown = []
        for event in recorder.tape.spool.waiting()[since:]:
            data = {k: v for k, v in event["data"].items() if k not in ("account_id", "stock_code")}
            shown.append((event["type"].removeprefix("position.").removesuffix(".v1"), *data.values()))
        return shown

    def test_each_helper_says_exactly_what_it_changed(self) -> None:
        recorder = self.install()
        held, highest, lowest = self.path("positions.json"), self.path("max_price.json"), self.path("min_price.json")
        quotes = {"600000.SH": {"high": 12.3456, "low": 8.300000190734863}}
        positions = [mock.Mock(stock_code="600000.SH")]

        def prices() -> Any:
            return standin.update_max_prices(self.lock, quotes, positions, "10:00", highest, lowest, held)

        standin.today = lambda: "2025-01-03"
        for call, expected in (
            (lambda: new_held(self.lock, held, ["600000.SH", "SZ000001"]), [("opened", 0), ("opened", 0)]),
            (lambda: new_held(self.lock, held, ["600000.SH"]), []),
            (prices, []),
            (lambda: standin.all_held_inc(self.lock, held), [("days_incremented", "2025-01-03")]),
            (lambda: standin.all_held_inc(self.lock, held), []),
            (prices, [("price_marked", "12.346"), ("price_marked", "8.300")]),
            (prices, []),
            (lambda: save_json(held, {**standin.load_json(held), "600001.SH": {"day_count": 7}}), [("held_days_set", 7)]),
            (lambda: standin.del_key(self.lock, highest, "600000.SH"), [("closed",), ("held_days_set", 1), ("price_marked", "8.300")]),
            (lambda: standin.del_held_day(self.lock, held, "600000.SH"), [("closed",)]),
            (lambda: standin.del_key(self.lock, lowest, "600000.SH"), []),
            (lambda: standin.del_keys(self.lock, held, ["SZ000001", "600001.SH"]), [("closed",), ("closed",)]),
            (lambda: save_json(self.path("other.json"), {"600000.SH": {"day_count": 1}}), []),
            (lambda: save_json(str(self.folder / "positions.json"), {"600000.SH": {"day_count": 1}}), []),
        ):
            before = recorder.tape.status().pending
            call()  # type: ignore[no-untyped-call]
            self.assertEqual(self.published(recorder, before), expected)
        Tape(recorder.tape.spool.waiting()).check(self, self.cache)

    def test_deals(self) -> None:
        self.deal(1735781400, "600000.SH", "限买委托", "开仓", 8.3, 100)
        recorder = self.install()  # what is there already is the import's
        self.deal(1735781401, "600000.SH", "买入成交", 'say "hi",\nthen go', 8.300000190734863, 100)
        self.deal(1735781402, "600000.SH", "撤单", "", 9, 200)
        bought, cancelled = recorder.tape.spool.waiting()
        self.assertEqual(bought["type"], "trade.recorded.v1")
        self.assertEqual(
            bought["data"],
            {
                "account_id": "55009728", "stock_code": "600000.SH", "stock_name": "浦发银行", "order_type": "buy_trade",
                "price": "8.300", "volume": 100, "remark": 'say "hi",\nthen go', "traded_at": "2025-01-02T09:30:01+08:00",
            },
        )
        self.assertEqual((cancelled["data"]["order_type"], cancelled["data"]["price"]), ("cancel", "9.000"))
        silverquant.uninstall(0)
        with open(self.path("deal_hist.csv"), "a", encoding="utf-8", newline="") as file:  # killed before the tape had it, and half-way
            file.write("2025-01-02,09:30:03,600000.SH,浦发银行,卖出成交,,9.5,100\r\n2025-01-02,09:3")
        recorder = self.install()
        self.deal(1735781404, "600000.SH", "卖出成交", "last", 9.5, 300)
        self.assertEqual([e["data"]["volume"] for e in recorder.tape.spool.waiting()], [100, 200, 100, 300])
        self.assertEqual([e["text"] for e in rejects_in(self.spool)], ["2025-01-02,09:3"])
        (self.cache / "deal_hist.csv").unlink()
        self.deal(1735781403, "600000.SH", "卖出成交", "older than what is known", 9.5, 400)
        self.deal(1735781405, "600000.SH", "卖出成交", "newer", 9.5, 500)
        self.assertEqual([e["data"]["volume"] for e in recorder.tape.spool.waiting()][4:], [500])

    def deal(self, timestamp: int, code: str, word: str, remark: str, price: Any, volume: int) -> None:
        record_deal(self.lock, self.path("deal_hist.csv"), str(timestamp), code, "浦发银行", word, remark, price, volume)

    def test_what_changed_while_nobody_watched_is_recorded_at_the_next_install(self) -> None:
        save_json(self.path("positions.json"), {"_inc_date": "2025-01-02", "600000.SH": {"day_count": 3}, "600001.SH": {"day_count": None}})
        save_json(self.path("max_price.json"), {"600000.SH": 9.5, "600001.SH": 4.2})
        recorder = self.install()
        self.assertEqual(self.published(recorder), [("days_incremented", "2025-01-02"), ("held_days_set", 3), ("price_marked", "9.500")])
        silverquant.uninstall(0)
        save_json(self.path("positions.json"), {"_inc_date": "2025-01-06", "600002.SH": {"day_count": 1}})
        recorder = self.install()
        self.assertEqual(self.published(recorder, 3), [("days_incremented", "2025-01-06"), ("closed",), ("held_days_set", 1)])

    def test_older_files_and_half_written_ones(self) -> None:
        (self.cache / "held_days.json").write_text('{"600000.SH": 3, "_inc_date": "2025-01-02", "AAPL": 1}')
        (self.cache / "max_price.json").write_text('{"600000.SH": 1')
        recorder = self.install()
        self.assertEqual(self.published(recorder), [("days_incremented", "2025-01-02"), ("held_days_set", 3)])
        save_json(self.path("positions.json"), {"600000.SH": {"day_count": 4}})
        standin.load_json(self.path("held_days.json"))  # stale from now on
        self.assertEqual(self.published(recorder, 2), [("held_days_set", 4)])

    def test_a_strategy_never_suffers_and_what_was_missed_is_made_up_for(self) -> None:
        recorder = self.install()
        with mock.patch.object(recorder.tape, "publish_many", side_effect=tapedeck.SpoolError("full")), self.assertLogs("tapedeck", "ERROR"):
            new_held(self.lock, self.path("positions.json"), ["600000.SH"])
        self.assertEqual(recorder.tape.status().pending, 0)
        standin.load_json(self.path("positions.json"))
        self.assertEqual(self.published(recorder), [("opened", 0)])

    def test_files_are_written_as_before(self) -> None:
        def steps(folder: pathlib.Path) -> dict[str, bytes]:
            folder.mkdir()
            moving = trader.Trader(str(folder), random.Random(7))
            for step in range(60):
                moving.step(trader._FIRST + timedelta(seconds=step))
            return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}

        plain = steps(self.folder / "plain")
        self.cache = self.folder / "taped"
        self.cache.mkdir()
        self.install()
        self.cache.rmdir()
        self.assertEqual(steps(self.cache), plain)

    def test_random_steps(self) -> None:
        for _ in range(2):
            seed = random.randrange(2**32)
            with self.subTest(seed=seed):
                chance = random.Random(seed)
                self.cache, self.spool = self.folder / f"cache-{seed}", self.folder / f"spool-{seed}"
                self.cache.mkdir()
                recorder = self.install()
                strategy = trader.Trader(str(self.cache), chance)
                standin.load_json(strategy.held)
                for step in range(80):
                    moment = trader._FIRST + timedelta(days=step // 20, seconds=step)
                    strategy.morning(moment.date())
                    strategy.step(moment)
                    if chance.random() < 0.1:
                        silverquant.uninstall(0)
                        strategy.step(moment)  # unseen
                        recorder = self.install()
                        Tape(recorder.tape.spool.waiting()).check(self, self.cache)
                Tape(recorder.tape.spool.waiting()).check(self, self.cache)
                self.assertEqual(rejects_in(self.spool), [])
                silverquant.uninstall(0)


if __name__ == "__main__":
    unittest.main()
