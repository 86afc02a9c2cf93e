from __future__ import annotations

import datetime as dt
import unittest
from decimal import Decimal

from tapedeck import events, values


class Values(unittest.TestCase):
    def test_ids_sort_in_the_order_they_were_made(self) -> None:
        ids = [values.new_id() for _ in range(20_000)]
        self.assertEqual(ids, sorted(set(ids)))
        self.assertRegex(ids[0], r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")

    def test_decimals_count_as_what_they_print_as(self) -> None:
        for value, text in (
            (8.3, "8.300"), (8.300000190734863, "8.300"), ("12.4305", "12.431"), (-0.0004, "0.000"), (1e-7, "0.000"),
            (Decimal("1E+2"), "100.000"), (7, "7.000"), (1.0005, "1.001"), ("-2.0005", "-2.001"),
        ):
            self.assertEqual(values.price(value), text)
        self.assertEqual(values.money(0.005), "0.01")
        for value in (float("nan"), float("inf"), "x", "", True, None):
            with self.assertRaises((ValueError, TypeError)):
                values.price(value)  # type: ignore[arg-type]

    def test_whole_numbers(self) -> None:
        self.assertEqual([values.whole(v) for v in (100, 100.0, "100")], [100, 100, 100])
        with self.assertRaises(ValueError):
            values.whole(100.5)

    def test_times_are_in_china(self) -> None:
        for value, text in (
            (dt.datetime(2025, 1, 2, 10, 20, 8), "2025-01-02T10:20:08+08:00"),
            (dt.datetime(2025, 1, 2, 2, 20, 8, tzinfo=dt.timezone.utc), "2025-01-02T10:20:08+08:00"),
            ("2025-01-02 10:20:08", "2025-01-02T10:20:08+08:00"),
            ("2025-01-02T02:20:08.5Z", "2025-01-02T10:20:08.500000+08:00"),
            ("1735784408", "2025-01-02T10:20:08+08:00"),
            (1735784408, "2025-01-02T10:20:08+08:00"),
        ):
            self.assertEqual(values.time_text(value), text)
        self.assertTrue(values.time_text().endswith("+08:00"))

    def test_dates_and_codes(self) -> None:
        self.assertEqual([values.date_text(d) for d in ("20250102", "2025-01-02", dt.date(2025, 1, 2))], ["2025-01-02"] * 3)
        self.assertEqual([values.stock_code(c) for c in ("SH600000", "600000.SH")], ["600000.SH"] * 2)
        for text in ("600000", "600000.XX", "SH60000", "_inc_date", "600000.SH "):
            with self.assertRaises(ValueError):
                values.stock_code(text)

    def test_what_is_none_is_left_out(self) -> None:
        event = events.price_marked("55009728", "SH600000", min_price=9.5, time="2025-01-02 10:00:00")
        self.assertEqual(event["data"], {"account_id": "55009728", "stock_code": "600000.SH", "min_price": "9.500"})
        self.assertEqual(event["time"], "2025-01-02T10:00:00+08:00")
        bars = [{"datetime": 20250102, "open": 1, "high": 2, "low": 1, "close": 2, "volume": 3.0, "amount": 4.5}]
        self.assertEqual(
            events.kline_recorded("600000.SH", bars)["data"]["bars"],
            [{"date": "2025-01-02", "open": "1.000", "high": "2.000", "low": "1.000", "close": "2.000", "volume": 3, "amount": "4.50"}],
        )


if __name__ == "__main__":
    unittest.main()
