"""A strategy that knows nothing of the tape, on the stand-in helpers: random steps over one cache folder.

    python3 -m tests.trader URL CACHE_DIR FIRST END SEED

Trades at fixed moments from 2025-01-02 on, so that any machine's clock will do. A step that a kill interrupted is not
taken again: what the files say is what counts. Prints the number of the next step, and at the end `done` and how many
events were refused.
"""

from __future__ import annotations

import pathlib
import random
import sys
from datetime import date, datetime, timedelta
from threading import Lock
from types import SimpleNamespace

from tests import standin
from tests.standin import del_held_day, del_key, del_keys, new_held, record_deal, save_json, update_max_prices

ACCOUNT = "10000001"
CODES = [f"60000{n}.SH" for n in range(6)] + ["SZ000001", "430047.BJ"]
DAY = 20  # steps
_FIRST = datetime.fromisoformat("2025-01-02T09:30:00+08:00")


class Trader:
    """Calls the helpers as strategies do: on trades, on quotes, in the morning."""

    def __init__(self, folder: str, chance: random.Random) -> None:
        self.chance = chance
        self.lock = Lock()
        self.held, self.highest, self.lowest, self.deals = (
            f"{folder}/{name}" for name in ("positions.json", "max_price.json", "min_price.json", "deal_hist.csv")
        )

    def morning(self, day: date) -> bool:
        standin.today = day.isoformat
        return standin.all_held_inc(self.lock, self.held)

    def step(self, moment: datetime) -> None:
        code = self.chance.choice(CODES)
        what = self.chance.random()
        if what < 0.25:
            new_held(self.lock, self.held, self.chance.sample(CODES, self.chance.randrange(1, 3)))
            self.deal(moment, code, "买入成交")
        elif what < 0.4:
            del_held_day(self.lock, self.held, code)
            del_key(self.lock, self.highest, code)
            del_key(self.lock, self.lowest, code)
            self.deal(moment, code, "卖出成交")
        elif what < 0.45:
            del_keys(self.lock, self.highest, [code])  # while the position stays
        elif what < 0.5:
            held = standin.load_json(self.held)
            held.pop(code, None)
            held[self.chance.choice(CODES)] = {"day_count": self.chance.randrange(9)}
            save_json(self.held, held)
        elif what < 0.6:
            self.deal(moment, code, self.chance.choice(["限买委托", "市买委托", "限卖委托", "市卖委托", "撤单"]))
        else:
            price = self.chance.uniform(5, 20)
            quotes = {c: {"high": price * 1.01, "low": price * 0.99} for c in self.chance.sample(CODES, 4)}
            positions = [SimpleNamespace(stock_code=c) for c in CODES]
            update_max_prices(self.lock, quotes, positions, "10:00", self.highest, self.lowest, self.held)

    def tidy(self) -> None:
        """Forgets the prices of what is not held, which install does not record."""
        held = standin.load_json(self.held)
        for path in (self.highest, self.lowest):
            gone = [c for c in standin.load_json(path) if (held.get(c) or {}).get("day_count") is None]
            del_keys(self.lock, path, gone)

    def deal(self, moment: datetime, code: str, word: str) -> None:
        remark = self.chance.choice(["", "开仓", 'a "quoted", remark', "two\nlines"])
        price = self.chance.choice([8.3, 8.300000190734863, 12.345, 9])
        stamp = str(int(moment.timestamp()))
        record_deal(self.lock, self.deals, stamp, code, "浦发银行", word, remark, price, 100 * self.chance.randrange(1, 9))


def main(url: str, folder: str, first: int, end: int, seed: int) -> None:
    import tapedeck.silverquant

    for name in ("positions.json", "max_price.json", "min_price.json"):
        path = pathlib.Path(folder, name)
        try:
            standin.load_json(str(path))
        except ValueError:  # killed while it was rewritten: only a person, or this, can go on
            path.unlink()
    recorder = tapedeck.silverquant.install(ACCOUNT, folder, url=url, module="tests.standin", read_url="http://127.0.0.1:9")
    trader = Trader(folder, random.Random(seed))
    for step in range(first, end):
        moment = _FIRST + timedelta(days=step // DAY, seconds=step % DAY)
        trader.morning(moment.date())
        trader.step(moment)
        print(step + 1, flush=True)
    trader.tidy()
    if not recorder.tape.flush(60):
        sys.exit(f"not delivered: {recorder.tape.status()}")
    print(f"done {recorder.tape.status().rejected}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
