from __future__ import annotations

import csv
import json
import os
import pathlib
import random
import signal
import threading
import time
import unittest
from contextlib import nullcontext
from datetime import timedelta
from threading import Lock
from typing import Any
from unittest import mock

import tapedeck
from tapedeck import silverquant
from tapedeck.spool import Spool, rejects_in
from tests import standin, trader
from tests.ingest import problem
from tests.standin import new_held, record_deal, save_json  # routed although they were imported before
from tests.test_store import ReadAPI
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
        self.assertEqual([e["data"]["volume"] for e in recorder.tape.spool.waiting()][4:], [400, 500])  # ids tell equal rows

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

    def delivered(self, url: str, **settings: Any) -> silverquant.CacheFolder:
        """Installs and waits until ingest has all."""
        recorder = silverquant.install(
            "55009728", self.cache, url=url, spool=self.spool, module="tests.standin", **{"read_url": NOWHERE, **settings}
        )
        self.assertTrue(recorder.tape.flush(10))
        return recorder

    def test_a_file_that_is_not_whole_at_the_start_says_nothing(self) -> None:
        ingest = self.ingest()
        whole = {
            "positions.json": json.dumps({"_inc_date": "2025-01-02", "600000.SH": {"day_count": 3}, "600001.SH": {"day_count": 7}}),
            "max_price.json": '{"600000.SH": 9.5, "600001.SH": 4.2}',
            "min_price.json": '{"600000.SH": 8.5, "600001.SH": 4.1}',
        }
        for name, text in whole.items():
            (self.cache / name).write_text(text)
        self.delivered(ingest.url)
        recorded = len(ingest.log)
        for name, text in whole.items():
            for left in (None, "", text[: len(text) // 2]):
                with self.subTest(name=name, left=left):
                    silverquant.uninstall(5)
                    (self.cache / name).unlink() if left is None else (self.cache / name).write_text(left)
                    recorder = self.delivered(ingest.url)
                    self.assertEqual(ingest.log[recorded:], [])
                    other = "min_price.json" if name == "max_price.json" else "max_price.json"
                    save_json(self.path(other), {**json.loads(whole[other]), "600001.SH": 5})
                    if name == "positions.json":
                        self.assertEqual(recorder.tape.status().pending, 0)  # nothing without known positions
                    (self.cache / name).write_text(text)
                    (self.cache / other).write_text(whole[other])
                    recorder.catch_up_all()
                    self.assertTrue(recorder.tape.flush(5))
                    kinds = {e["type"] for e in ingest.log[recorded:]}
                    self.assertLessEqual(kinds, {"position.price_marked.v1"})
                    recorded = len(ingest.log)

    def test_one_bad_row_stops_no_deal_and_no_install(self) -> None:
        path = self.cache / "deal_hist.csv"
        head = "日期,时间,代码,名称,类型,注释,成交价,成交量\n".encode()
        path.write_bytes(head)
        self.install()
        silverquant.uninstall(0)
        good = "2025-01-02,10:20:0{},600000.SH,浦发银行,买入成交,,8.3,100\r\n"
        bad = [
            b"2025-01-02,11:00:00,000001.SZ,\xe5\xb9\xff,\xe4\xb9,x,8.3,100\r\n",  # neither UTF-8 nor GB18030
            b"2025-01-02,10:30:00,600000.SH," + b"\0" * 200_000 + b"\r\n",
            b'2025-01-02,10:30:00,600000.SH,"a"b,,,8.3,100\r\n',
            b"2025-01-02,10:30:00,600000.SH\r\n",
            b'2025-01-02,10:31:00,600000.SH,"' + b"\r\n" * 70,  # never closed
        ]
        rows = [good.format(n) for n in range(6)]
        path.write_bytes(head + b"".join(r.encode("gbk" if i % 2 else "utf-8") + b for i, (r, b) in enumerate(zip(rows, bad))))
        recorder = self.install()
        with open(path, "ab") as file:
            file.write(rows[5].encode())
        recorder.catch_up(["deal_hist.csv"])
        waiting = recorder.tape.spool.waiting()
        self.assertEqual([e["data"]["traded_at"][17:19] for e in waiting], [f"0{n}" for n in range(6)])
        self.assertEqual({e["data"]["stock_name"] for e in waiting}, {"浦发银行"})
        self.assertEqual(len(rejects_in(self.spool)), len(bad))
        left = (b'\r\n2025-01-02,10:32:00,"\r\n' + good.format(6).encode(), b'2025-01-02,10:33:00,600000.SH,x,"two\nli', b"")
        for n, text in enumerate(left, 6):  # a stray quote, and a row that was never ended
            with open(path, "ab") as file:
                file.write(text)
            silverquant.uninstall(0)
            recorder = self.install()
            if n > 6:
                with open(path, "ab") as file:
                    file.write(good.format(n).encode())
                recorder.catch_up(["deal_hist.csv"])
        self.assertEqual([e["data"]["traded_at"][17:19] for e in recorder.tape.spool.waiting()], [f"0{n}" for n in range(9)])
        self.assertEqual(len(rejects_in(self.spool)), len(bad) + 3)
        silverquant.uninstall(0)
        for name in ("positions.json", "max_price.json", "deal_hist.csv"):  # whatever the folder holds
            (self.cache / name).unlink(missing_ok=True)
            (self.cache / name).mkdir()
        self.install()

    def test_a_changed_file_is_read_again_and_each_row_recorded_once(self) -> None:
        ingest = self.ingest()
        recorder = self.delivered(ingest.url)
        path = self.cache / "deal_hist.csv"
        for n in (0, 1, 1, 2):
            self.deal(1735781401 + n, "600000.SH", "买入成交", "开仓", 8.3, 100)
        silverquant.uninstall(5)
        self.assertEqual(len({e["id"] for e in ingest.log}), 4)
        before = path.read_bytes()
        for text in (before.decode().encode("gbk"), before + "2025-01-02,09:31:00,000001.SZ,万科,撤单,,1,100\r\n".encode()):
            path.write_bytes(text)
            self.delivered(ingest.url, strategy_name="another")
            silverquant.uninstall(5)
        self.assertEqual(len(ingest.log), 5)
        head, first, rest = before.split(b"\n", 2)
        path.write_bytes(b"\n".join((head, b"2025-01-02,09:29:00,000002.SZ,x,\xe6\x92\xa4\xe5\x8d\x95,,1,100\r", first, rest)))
        recorder = self.delivered(ingest.url)
        self.assertEqual((len(ingest.log), ingest.log[-1]["data"]["stock_code"]), (6, "000002.SZ"))
        with open(path, "ab") as file:
            file.write(b"2025-01-02,09:3")
        silverquant.uninstall(5)
        self.delivered(ingest.url)
        for _ in range(2):
            self.deal(1735781401, "600000.SH", "买入成交", "开仓", 8.3, 100)
            silverquant.uninstall(5)
            recorder = self.delivered(ingest.url)
        self.assertEqual(len({e["id"] for e in ingest.log}), 8)  # the second and the third of their kind
        self.assertEqual(recorder.tape.status().rejected, 1)

    def test_a_step_that_could_not_be_remembered_leaves_nothing_open(self) -> None:
        ingest = self.ingest()
        recorder = self.delivered(ingest.url)
        save_json(self.path("positions.json"), {"600000.SH": {"day_count": 1}})
        for failing in (False, True):
            with mock.patch.object(recorder, "_remember", side_effect=OSError("held by a scanner")) if failing else nullcontext():
                with self.assertLogs("tapedeck", "ERROR") if failing else nullcontext():
                    new_held(self.lock, self.path("positions.json"), ["600001.SH"] if failing else ["600002.SH"])
            self.assertTrue(recorder.tape.flush(5))
        kept = recorder._memory.read_bytes()
        silverquant.uninstall(5)
        recorder._memory.write_bytes(kept)  # as a kill leaves it
        (self.cache / "positions.json").write_text('{"600000.SH": {"day_count": 1}}')
        self.delivered(ingest.url)
        self.assertEqual(set(Tape(ingest.log).held), {"600000.SH"})

    def test_the_read_api_counts_when_it_has_all_that_was_delivered(self) -> None:
        ingest, api = self.ingest(), ReadAPI()
        self.addCleanup(api.close)
        (self.cache / "positions.json").write_text('{"600000.SH": {"day_count": 1}}')
        self.delivered(ingest.url)
        silverquant.uninstall(5)
        position = {"open": True, "max_price": None, "min_price": None}
        told = [{**position, "stock_code": "600000.SH", "held_days": 1}, {**position, "stock_code": "600009.SH", "held_days": 2}]
        api.at["/v1/accounts/55009728/positions"] = {"inc_date": None, "positions": told}
        self.delivered(ingest.url, read_url=api.url)
        self.assertEqual(api.asked, ["/v1/accounts/55009728/positions?at_least=1"])
        self.assertEqual([(e["type"], e["data"]["stock_code"]) for e in ingest.log[1:]], [("position.closed.v1", "600009.SH")])

    def test_what_waits_in_the_spool_is_closed_although_nothing_else_tells_of_it(self) -> None:
        (self.cache / "positions.json").write_text('{"600000.SH": {"day_count": 1}}')
        recorder = self.install()
        memory = recorder._memory
        silverquant.uninstall(0)
        memory.write_text('{"of": "another form"}')
        (self.cache / "positions.json").write_text("{}")
        self.assertEqual(self.published(self.install(), 1), [("closed",)])

    def test_what_ingest_refused_is_not_taken_as_on_the_tape(self) -> None:
        ingest = self.ingest()
        room = 2

        def full(batch: list[dict[str, Any]]) -> Any:
            nonlocal room
            results, errors = [], []
            for i, e in enumerate(batch):
                if e["type"] == "position.opened.v1" and len(Tape(ingest.log).held) >= room:
                    errors.append({"index": i, "field": "data.stock_code", "rule": "must not open more", "value": ""})
                    results.append({"index": i, "error": errors[-1]})
                else:
                    results += json.loads(ingest.take([e])[2])
            return problem(422, "invalid-event", errors=errors, results=results) if errors else (200, {}, json.dumps(results).encode())

        ingest.answer = full
        recorder = self.delivered(ingest.url)
        new_held(self.lock, self.path("positions.json"), ["600000.SH", "600001.SH", "600002.SH"])
        self.assertTrue(recorder.tape.flush(5))
        save_json(self.path("max_price.json"), {"600000.SH": 9})  # no reason to try again
        self.assertTrue(recorder.tape.flush(5))
        self.assertEqual(recorder.tape.status().rejected, 1)
        standin.del_held_day(self.lock, self.path("positions.json"), "600001.SH")
        self.assertTrue(recorder.tape.flush(5))
        self.assertEqual(set(Tape(ingest.log).held), {"600000.SH", "600002.SH"})
        new_held(self.lock, self.path("positions.json"), ["600003.SH"])
        recorder.tape.flush(5)
        silverquant.uninstall(5)
        room = 9
        recorder = self.delivered(ingest.url)
        self.assertEqual(set(Tape(ingest.log).held), {"600000.SH", "600002.SH", "600003.SH"})
        silverquant.uninstall(5)
        room = 3
        recorder = self.install()  # ingest is down; the next life's refusals are this one's
        save_json(self.path("positions.json"), {c: {"day_count": 0} for c in ("600000.SH", "600002.SH", "600003.SH", "600005.SH")})
        silverquant.uninstall(0)
        save_json(self.path("positions.json"), {c: {"day_count": 0} for c in ("600002.SH", "600003.SH", "600005.SH")})
        recorder = self.delivered(ingest.url)
        self.assertEqual(set(Tape(ingest.log).held), {"600002.SH", "600003.SH", "600005.SH"})
        save_json(self.path("positions.json"), {c: {"day_count": 0} for c in ("600000.SH", "600002.SH", "600003.SH")})
        self.assertTrue(recorder.tape.flush(5))
        ingest.answer = lambda batch: problem(503, "not-ready")  # the refusal comes after there was room
        new_held(self.lock, self.path("positions.json"), ["600004.SH"])
        standin.del_held_day(self.lock, self.path("positions.json"), "600000.SH")
        ingest.answer = full
        self.assertTrue(recorder.tape.flush(5))
        standin.load_json(self.path("positions.json"))
        self.assertTrue(recorder.tape.flush(5))
        self.assertEqual(set(Tape(ingest.log).held), {"600002.SH", "600003.SH", "600004.SH"})

    def test_a_price_of_nothing_is_none(self) -> None:
        recorder = self.install()
        new_held(self.lock, self.path("positions.json"), ["600000.SH"])
        save_json(self.path("max_price.json"), {"600000.SH": 0})
        save_json(self.path("min_price.json"), {"600000.SH": -1.5})
        save_json(self.path("max_price.json"), {"600000.SH": 10.5})
        self.assertEqual(self.published(recorder), [("opened", 0), ("price_marked", "10.500")])

    def test_its_own_tape_lets_ingest_flag_what_is_outside_the_session(self) -> None:
        ingest = self.ingest()
        recorder = self.delivered(ingest.url)
        new_held(self.lock, self.path("positions.json"), ["600000.SH"])
        self.assertTrue(recorder.tape.flush(5))
        self.assertEqual(ingest.requests, [("/v1/events?session_policy=flag", 1)])

    def test_a_second_install_on_a_folder_waits_for_the_first(self) -> None:
        first = Spool(self.spool)
        with self.assertLogs("tapedeck", "ERROR"):
            recorder = self.install()
        new_held(self.lock, self.path("positions.json"), ["600000.SH"])  # the strategy goes on
        with self.assertRaises(tapedeck.SpoolError):
            recorder.tape.status()
        first.close()
        recorder._next_try = 0.0
        standin.load_json(self.path("positions.json"))
        self.assertEqual(self.published(recorder), [("opened", 0)])

    def test_a_tape_that_was_given_is_left_open(self) -> None:
        tape = self.tape(NOWHERE)
        silverquant.install("55009728", self.cache, tape=tape, module="tests.standin")
        silverquant.uninstall(0)
        tape.publish({"type": "x", "data": {}})

    def test_another_zone_than_chinas_is_told(self) -> None:
        with mock.patch.dict(os.environ, {"TZ": "UTC0"}):
            time.tzset()
            with self.assertLogs("tapedeck", "WARNING") as said:
                recorder = self.install()
            self.assertIn("not on China time", said.output[0])
            self.deal(1735781401, "600000.SH", "买入成交", "", 8.3, 100)
        time.tzset()
        [deal] = recorder.tape.spool.waiting()
        self.assertEqual(deal["data"]["traded_at"], "2025-01-02T01:30:01+08:00")  # as the file says

    def test_a_forked_child_writes_its_files_without_a_recorder(self) -> None:
        recorder = self.install()
        locked, go = threading.Event(), threading.Event()

        def writing() -> None:
            with recorder._writing, recorder.tape.spool._mutex, recorder.tape._sender._changed:
                locked.set()
                go.wait()

        thread = threading.Thread(target=writing)
        thread.start()
        locked.wait()
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            save_json(self.path("positions.json"), {"600000.SH": {"day_count": 1}})
            recorder.tape.close(0)
            recorder.tape.status()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        go.set()
        thread.join()
        self.assertEqual(status, 0)
        standin.load_json(self.path("positions.json"))
        self.assertEqual(self.published(recorder), [("held_days_set", 1)])

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
