"""backtesting.py: one symbol, orders at the next open, stop and target given as prices.

Differences to the rules of the work: a target may fill on the bar of the entry, and a limit fills when price touches
it.
"""

import functools
import warnings
from typing import Any

import backtesting
import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy
from workloads import (
    CAPITAL,
    COMMISSION_FRACTION,
    FAST_BARS,
    PIP,
    SLOW_BARS,
    STOP_PIPS,
    TARGET_PIPS,
    UNITS,
    read_bars,
)

from peers.protocol import Describe, Job, Outcome, Work, new_trades, serve

backtesting.backtesting._tqdm = lambda items, **_options: items  # a progress bar is no part of the work


def average(values: Any, n_bars: int) -> Any:
    """Return the simple moving average, NaN before `n_bars` values."""
    return pd.Series(values).rolling(n_bars).mean()


class SmaCross(Strategy):  # type: ignore[misc]
    """Reverse on every cross."""

    def init(self) -> None:
        """Compute both averages for the whole series, as this engine does it."""
        self.fast = self.I(average, self.data.Close, FAST_BARS, plot=False)
        self.slow = self.I(average, self.data.Close, SLOW_BARS, plot=False)
        self.was_above: bool | None = None

    def next(self) -> None:
        """Decide on one closed bar."""
        is_above = self.fast[-1] > self.slow[-1]
        if self.was_above is not None and is_above != self.was_above:
            close = self.data.Close[-1]
            self.position.close()
            if is_above:
                self.buy(size=UNITS, sl=close - STOP_PIPS * PIP, tp=close + TARGET_PIPS * PIP)
            else:
                self.sell(size=UNITS, sl=close + STOP_PIPS * PIP, tp=close - TARGET_PIPS * PIP)
        self.was_above = is_above


def back_test(frame: pd.DataFrame) -> Any:
    """Return the statistics object, which holds the trades."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        engine = Backtest(frame, SmaCross, cash=CAPITAL, commission=COMMISSION_FRACTION, margin=1 / 30)
        return engine.run()


def describe(result: Any, closes: np.ndarray[Any, Any]) -> Outcome:
    """Return the trades in the common form; open ones are not listed by this engine."""
    table = result["_trades"].sort_values("EntryBar")
    trades = new_trades(len(table))
    trades["signal_bar"] = table["EntryBar"] - 1
    trades["exit_bar"] = table["ExitBar"]
    trades["side"] = np.sign(table["Size"])
    trades["entry_price"] = table["EntryPrice"]
    trades["exit_price"] = table["ExitPrice"]
    trades["net"] = table["PnL"]
    return Outcome(trades, float(result["Equity Final [$]"]) - CAPITAL)


def prepare(job: Job) -> tuple[Work, Describe]:
    """Return one back-test on the bars of `job`."""
    bars = next(iter(read_bars(job.data, 1, job.n_bars_stored).values()))[: job.n_bars]
    columns = {name.capitalize(): bars[name] for name in ("open", "high", "low", "close", "volume")}
    frame = pd.DataFrame(columns, index=pd.DatetimeIndex(bars["open_ns"].astype("M8[ns]")))
    return functools.partial(back_test, frame), functools.partial(describe, closes=bars["close"])


if __name__ == "__main__":
    serve("backtesting.py", lambda: str(backtesting.__version__), prepare)
