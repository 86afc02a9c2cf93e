from __future__ import annotations

import inspect
import json
import sys
import threading
import types
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest import mock

import tapedeck
from tests.test_tape import NOWHERE, Case, mark

ACCOUNT = {
    "account_id": "55009728", "account_name": "n", "broker": "QMT", "status": "active", "initial_capital": "100000.00",
    "current_capital": "90000.10", "total_assets": "100000.10", "position_value": None,
}
BAR = {"date": "2025-01-02", "open": "1.000", "high": "2.500", "low": "0.900", "close": "2.000", "volume": 100, "amount": "150.25"}
TRADE = {"sequence": 3, "stock_code": "600000.SH", "price": "8.300", "amount": "830.00", "volume": 100}
BINDING = {"account_id": "55009728", "strategy_code": "wencai_v1", "allocated_capital": "5000.00", "risk_limit": "2.50", "status": "active"}
GROUP = {"key": "2025-01", "count": 2, "buys": 1, "sells": 1, "amount": "1660.00", "profit": "-3.20", "wins": 0, "losses": 1, "win_rate": None}


class ReadAPI:
    """Answers what the test put at a target, and 404 elsewhere; remembers what it was asked."""

    def __init__(self) -> None:
        self.at: dict[str, Any] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None: ...

            def do_GET(self) -> None:
                outer.asked.append(self.path)
                value = outer.at.get(self.path.split("?")[0])
                status = 404 if value is None else value.get("status", 200)
                text = json.dumps(value or {"detail": "not known"}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Stores(Case):
    def setUp(self) -> None:
        super().setUp()
        self.log = self.ingest()
        self.api = ReadAPI()
        self.addCleanup(self.api.close)
        self.store = tapedeck.Store(self.tape(self.log.url, read_url=self.api.url))
        self.addCleanup(self.store._reader.close)

    def test_the_interface_is_the_one_that_strategies_call(self) -> None:
        for name, arguments in {
            "get_held_days": "code account_id", "update_held_days": "code days account_id", "all_held_inc": "account_id",
            "delete_held_days": "code account_id", "batch_new_held": "account_id codes", "get_max_price": "code account_id",
            "update_max_price": "code price account_id", "get_min_price": "code account_id",
            "update_min_price": "code price account_id",
            "record_trade": "account_id timestamp code name order_type remark price volume strategy_name",
            "query_trades": "account_id start_date end_date code strategy_name limit",
            "aggregate_trades": "account_id start_date end_date group_by",
            "get_kline": "code start_date end_date days", "batch_get_kline": "codes start_date end_date days",
            "create_account": "account_id account_name broker initial_capital", "get_account": "account_id",
            "update_account_capital": "account_id current_capital total_assets position_value",
            "create_strategy": "strategy_name strategy_code strategy_type version description",
            "get_strategy_params": "strategy_name version", "save_strategy_params": "strategy_name params remark",
            "compare_strategy_params": "strategy_name version_a version_b", "health_check": "", "close": "",
        }.items():
            parameters = inspect.signature(getattr(self.store, name)).parameters.values()
            self.assertEqual([p.name for p in parameters if p.kind is not p.KEYWORD_ONLY], arguments.split(), name)

    def test_writes(self) -> None:
        store = self.store
        store.update_held_days("SH600000", 5, "55009728")
        store.batch_new_held("55009728", ["600000.SH", "SZ000001"])
        store.update_max_price("600000.SH", 10.85, "55009728")
        store.update_min_price("600000.SH", 9.5, "55009728")
        store.delete_held_days("600000.SH", "55009728")
        store.record_trade("55009728", "1735784408", "SH600000", "浦发银行", "buy_trade", "开仓", 10.5, 1000, "问财")
        store.update_account_capital("55009728", 50000.0, 110000.1, 60000.1)
        self.assertEqual(store.create_account("55009729", "n", "GM", 1e5), 9)
        self.assertEqual(store.create_strategy("问财选股V1", "wencai_v1", "wencai", "1.0.0"), 10)
        logged = [(e["type"], {k: v for k, v in e["data"].items() if k != "account_id"}) for e in self.log.log]
        self.assertEqual(
            logged,
            [
                ("position.held_days_set.v1", {"stock_code": "600000.SH", "held_days": 5}),
                ("position.opened.v1", {"stock_code": "600000.SH", "held_days": 0}),
                ("position.opened.v1", {"stock_code": "000001.SZ", "held_days": 0}),
                ("position.price_marked.v1", {"stock_code": "600000.SH", "max_price": "10.850"}),
                ("position.price_marked.v1", {"stock_code": "600000.SH", "min_price": "9.500"}),
                ("position.closed.v1", {"stock_code": "600000.SH"}),
                (
                    "trade.recorded.v1",
                    {
                        "stock_code": "SH600000", "stock_name": "浦发银行", "order_type": "buy_trade", "price": "10.500",
                        "volume": 1000, "strategy_name": "问财", "remark": "开仓", "traded_at": "2025-01-02T10:20:08+08:00",
                    },
                ),
                ("account.capital_updated.v1", {"current_capital": "50000.00", "total_assets": "110000.10", "position_value": "60000.10"}),
                ("account.created.v1", {"account_name": "n", "broker": "GM", "initial_capital": "100000.00"}),
                (
                    "strategy.created.v1",
                    {"strategy_name": "问财选股V1", "strategy_code": "wencai_v1", "strategy_type": "wencai", "version": "1.0.0"},
                ),
            ],
        )
        for wrong in (
            lambda: store.update_held_days("600000.SH", -1, "55009728"),
            lambda: store.update_max_price("600000.SH", 0, "55009728"),
            lambda: store.update_min_price("600000.SH", 0.0001, "55009728"),
            lambda: store.update_max_price("600000", 1, "55009728"),
        ):
            with self.assertRaises(ValueError):
                wrong()  # type: ignore[no-untyped-call]

    def test_days_are_incremented_once(self) -> None:
        def once(batch: list[dict[str, Any]]) -> Any:
            status, headers, body = self.log.take(batch)
            results = [{**r, "applied": False, "sequence": 0} if len(self.log.log) > 1 else r for r in json.loads(body)]
            return status, headers, json.dumps(results).encode()

        self.log.answer = once
        self.assertTrue(self.store.all_held_inc("55009728"))
        self.assertFalse(self.store.all_held_inc("55009728"))
        self.spool = self.folder / "down"
        down = tapedeck.Store(self.tape(NOWHERE), patience=0.05)
        self.assertTrue(down.all_held_inc("55009728"))
        self.assertFalse(down.all_held_inc("55009728"))
        self.assertTrue(down.all_held_inc("55009729"))

    def test_a_day_is_said_once_whatever_dies(self) -> None:
        store = self.store
        self.assertTrue(store.all_held_inc("55009728"))
        store.close()  # ingest goes, the strategy comes again
        down = tapedeck.Store(self.tape(NOWHERE), patience=0.05)
        self.assertFalse(down.all_held_inc("55009728"))
        with mock.patch("tapedeck._disk.replace_json", side_effect=OSError("full")), self.assertLogs("tapedeck", "WARNING"):
            self.assertTrue(down.all_held_inc("55009729"))
        self.assertFalse(down.all_held_inc("55009729"))
        with mock.patch("tapedeck.store.date_text", return_value="2999-01-04"):
            self.assertTrue(down.all_held_inc("55009728"))

    def test_a_backlog_does_not_hold_up_the_morning(self) -> None:
        self.spool = self.folder / "down"
        down = tapedeck.Store(self.tape(NOWHERE), patience=0.01)
        with mock.patch.object(down._tape.spool, "waiting", side_effect=AssertionError("reads all that waits")):
            self.assertTrue(down.all_held_inc("55009728"))
            self.assertFalse(down.all_held_inc("55009728"))

    def test_what_the_read_api_would_refuse_is_a_value_error(self) -> None:
        for limit in (0, -1, 100_001):
            with self.assertRaises(ValueError):
                self.store.query_trades("55009728", limit=limit)
        with self.assertRaises(ValueError):
            self.store.aggregate_trades("55009728", "2025-01-01", "2025-12-31", "week")
        self.assertEqual(self.api.asked, [])

    def test_reads(self) -> None:
        store, at = self.store, self.api.at
        position = {"stock_code": "600000.SH", "open": True, "held_days": 3, "max_price": "10.850", "min_price": None}
        at["/v1/accounts/55009728/positions/600000.SH"] = {"position": position}
        at["/v1/accounts/55009728/positions"] = {"positions": [position, {**position, "open": False}]}
        at["/v1/accounts/55009728"] = {"account": ACCOUNT}
        at["/v1/accounts"] = {"accounts": [ACCOUNT]}
        at["/v1/accounts/55009728/strategies"] = at["/v1/strategies/wencai_v1/accounts"] = {"bindings": [BINDING]}
        at["/v1/trades"] = {"trades": [TRADE]}
        at["/v1/trades/aggregate"] = {"groups": [GROUP]}
        self.assertEqual(store.get_held_days("SH600000", "55009728"), 3)
        self.assertEqual(store.get_max_price("600000.SH", "55009728"), 10.85)
        self.assertIsNone(store.get_min_price("600000.SH", "55009728"))
        self.assertEqual(
            store.get_positions("55009728"), [{"stock_code": "600000.SH", "held_days": 3, "max_price": 10.85, "min_price": None}]
        )
        account = store.get_account("55009728")
        assert account is not None
        self.assertEqual((account["current_capital"], account["position_value"], account["broker"]), (90000.1, None, "QMT"))
        self.assertIsNone(store.get_account("55009730"))
        self.assertEqual(store.list_accounts("active")[0]["initial_capital"], 100000.0)
        self.assertEqual(store.get_account_strategies("55009728"), store.get_strategy_accounts("wencai_v1"))
        self.assertEqual(store.query_trades("55009728", "20250101", "2025-12-31", "SH600000", "问财", 5)[0]["price"], 8.3)
        self.assertEqual(
            self.api.asked[-1],
            "/v1/trades?account=55009728&from=2025-01-01&to=2025-12-31&stock=SH600000&strategy=%E9%97%AE%E8%B4%A2&limit=5",
        )
        self.assertEqual(
            store.aggregate_trades("55009728", "2025-01-01", "2025-12-31"),
            [{"period": "2025-01", "trade_count": 2, "total_amount": 1660.0, "profit": -3.2, "win_rate": None}],
        )
        at["/v1/accounts/55009728"] = {"status": 504, "detail": "not reached"}
        with self.assertRaises(tapedeck.ReadError) as late:
            store.get_account("55009728")
        self.assertEqual(late.exception.status, 504)

    def test_params(self) -> None:
        store, at = self.store, self.api.at
        name = "/v1/strategies/%E9%97%AE%E8%B4%A2"
        at[name] = {"strategy": {"strategy_code": "wencai_v1"}}
        at[name + "/params"] = {"param": {"version": 6, "params": {"slot_count": 12, "ratio": 0.5}}}
        at[name + "/params/compare"] = {"added": {"c": 3}, "removed": {"a": [1]}, "changed": {"b": {"a": 1, "b": 2}}}
        self.assertEqual(store.save_strategy_params("问财", {"slot_count": 12}, "more"), 6)
        self.assertEqual(self.log.log[-1]["data"], {"strategy_code": "wencai_v1", "params": {"slot_count": 12}, "remark": "more"})
        self.assertEqual(self.api.asked[-1], name + "/params?at_least=1")
        self.assertEqual(store.get_strategy_params("问财", 5), {"slot_count": 12, "ratio": 0.5})
        self.assertEqual(self.api.asked[-1], name + "/params?version=5&at_least=1")
        self.assertEqual(store.compare_strategy_params("问财", 1, 2), {"a": ([1], None), "b": (1, 2), "c": (None, 3)})
        with self.assertRaises(tapedeck.NotFoundError):
            store.get_strategy_params("nobody")

    def test_klines(self) -> None:
        at = self.api.at
        at["/v1/klines/600000.SH"] = {"bars": [BAR]}
        at["/v1/klines"] = {"klines": {"600000.SH": [BAR], "000001.SZ": []}}
        row = {"datetime": 20250102, "open": 1.0, "high": 2.5, "low": 0.9, "close": 2.0, "volume": 100, "amount": 150.25}
        with mock.patch.dict(sys.modules, {"pandas": None}):
            self.assertEqual(self.store.get_kline("SH600000", days=60), [row])
            self.assertEqual(self.api.asked[-1], "/v1/klines/600000.SH?last=60")
            self.assertEqual(self.store.batch_get_kline(["SH600000", "000001.SZ"], "20250101"), {"SH600000": [row], "000001.SZ": []})
            self.assertEqual(self.api.asked[-1], "/v1/klines?stocks=600000.SH%2C000001.SZ&from=2025-01-01")
            self.assertEqual(self.store.batch_get_kline([]), {})
        frame = mock.Mock(side_effect=lambda rows, columns: ("frame", rows, columns))
        with mock.patch.dict(sys.modules, {"pandas": types.SimpleNamespace(DataFrame=frame)}):  # type: ignore[dict-item]
            self.assertEqual(self.store.get_kline("600000.SH"), ("frame", [row], list(row)))
        with self.assertRaises(ValueError):
            self.store.batch_get_kline(["600000.SH"] * 101)

    def test_reads_ask_for_own_writes(self) -> None:
        self.api.at["/v1/accounts"] = {"accounts": []}
        self.store.list_accounts()
        self.store._tape.publish_many([mark(n) for n in range(200)])
        self.store.list_accounts()
        self.store.list_accounts(at_least=7)
        self.store.list_accounts(at_least=0)
        self.assertEqual([a.partition("?")[2] for a in self.api.asked], ["", "at_least=200", "at_least=7", ""])

    def test_health(self) -> None:
        tiers = [
            {"name": "redis", "reachable": True, "sequence": 9, "lag": 0, "held": False},  # as a console says it
            {"name": "mysql", "reachable": False, "sequence": 0, "lag": 9, "held": False, "error": "connection refused"},
            {"name": "clickhouse", "reachable": True, "sequence": 9, "lag": 0, "held": True},
        ]
        self.api.at["/v1/status"] = {"log": {"reachable": True}, "tiers": tiers}
        ups = {"ingest": "ok", "console": "ok", "log": "ok", "redis": "ok", "mysql": "down", "clickhouse": "degraded"}
        self.assertEqual(self.store.health_check(), {**ups})
        self.api.at["/v1/status"] = {"another": "form"}
        self.assertEqual(self.store.health_check()["console"], "down")
        self.spool = self.folder / "down"
        store = tapedeck.Store(self.tape(NOWHERE, read_url=NOWHERE))
        self.assertEqual(store.health_check(), {"ingest": "down", "console": "down"})
        store.close()


if __name__ == "__main__":
    unittest.main()
