"""nautilus_trader 1.x: event-driven, bracket orders at one simulated margin venue.

Differences to the rules of the work: a market order fills at the deciding close, not at the next open, and inside a
bar prices go open, high, low, close, so that high comes before low on every bar. Only `engine.run()` is timed; the bars
are already objects of the engine by then.
"""

import functools
from decimal import Decimal
from typing import Any

import nautilus_trader
import numpy as np
import pandas as pd
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig, StrategyConfig
from nautilus_trader.indicators import SimpleMovingAverage
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.objects import Currency, Money, Price, Quantity
from nautilus_trader.persistence.wranglers import BarDataWrangler
from nautilus_trader.trading.strategy import Strategy
from workloads import (
    CAPITAL,
    COMMISSION_FRACTION,
    FAST_BARS,
    MINUTE_NS,
    PIP,
    SLOW_BARS,
    STOP_PIPS,
    TARGET_PIPS,
    UNITS,
    Bars,
    read_bars,
)

from peers.protocol import Describe, Job, Outcome, Work, new_trades, serve

VENUE = Venue("SIM")


class SmaCrossConfig(StrategyConfig, frozen=True):  # type: ignore[misc, call-arg]
    """What one strategy trades."""

    instrument_id: InstrumentId
    bar_type: BarType


class SmaCross(Strategy):  # type: ignore[misc]
    """Reverse on every cross."""

    def __init__(self, config: SmaCrossConfig) -> None:
        super().__init__(config)
        self.fast = SimpleMovingAverage(FAST_BARS)
        self.slow = SimpleMovingAverage(SLOW_BARS)
        self.was_above: bool | None = None
        self.instrument: Any = None

    def on_start(self) -> None:
        """Subscribe to the bars and let the engine update both averages."""
        self.instrument = self.cache.instrument(self.config.instrument_id)
        self.register_indicator_for_bars(self.config.bar_type, self.fast)
        self.register_indicator_for_bars(self.config.bar_type, self.slow)
        self.subscribe_bars(self.config.bar_type)

    def on_bar(self, bar: Bar) -> None:
        """Decide on one closed bar."""
        if not self.slow.initialized:
            return
        is_above = self.fast.value > self.slow.value
        if self.was_above is not None and is_above != self.was_above:
            self.cancel_all_orders(self.config.instrument_id)
            self.close_all_positions(self.config.instrument_id)
            self.enter(OrderSide.BUY if is_above else OrderSide.SELL, float(bar.close))
        self.was_above = is_above

    def enter(self, side: OrderSide, close: float) -> None:
        """Send a market order with its stop and target."""
        sign = 1 if side == OrderSide.BUY else -1
        bracket = self.order_factory.bracket(
            instrument_id=self.config.instrument_id,
            order_side=side,
            quantity=self.instrument.make_qty(UNITS),
            sl_trigger_price=self.instrument.make_price(close - sign * STOP_PIPS * PIP),
            tp_price=self.instrument.make_price(close + sign * TARGET_PIPS * PIP),
        )
        self.submit_order_list(bracket)


def pair(symbol: str) -> CurrencyPair:
    """Return a currency pair of five digits with the commission of the work and 1:30 margin."""
    return CurrencyPair(
        instrument_id=InstrumentId(Symbol(symbol), VENUE),
        raw_symbol=Symbol(symbol),
        base_currency=Currency.from_str(symbol[:3]),
        quote_currency=USD,
        price_precision=5,
        size_precision=0,
        price_increment=Price.from_str("0.00001"),
        size_increment=Quantity.from_int(1),
        lot_size=Quantity.from_int(1_000),
        max_quantity=Quantity.from_int(10_000_000),
        min_quantity=Quantity.from_int(1_000),
        max_price=None,
        min_price=None,
        max_notional=None,
        min_notional=None,
        margin_init=Decimal("0.0333"),
        margin_maint=Decimal("0.0333"),
        maker_fee=Decimal(str(COMMISSION_FRACTION)),
        taker_fee=Decimal(str(COMMISSION_FRACTION)),
        ts_event=0,
        ts_init=0,
    )


def to_nautilus(instrument: CurrencyPair, bar_type: BarType, bars: Bars) -> list[Bar]:
    """Return `bars` as engine objects, stamped with their close; volume is large enough for whole fills."""
    closed = pd.DatetimeIndex((bars["open_ns"] + MINUTE_NS).astype("M8[ns]"), tz="UTC")
    frame = pd.DataFrame({name: bars[name] for name in ("open", "high", "low", "close")}, index=closed)
    frame["volume"] = 1_000_000.0
    objects: list[Bar] = BarDataWrangler(bar_type, instrument).process(frame)
    return objects


def build(inputs: list[tuple[CurrencyPair, BarType, list[Bar]]]) -> BacktestEngine:
    """Return an engine that holds the bars and one strategy per symbol."""
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), run_analysis=False))
    engine.add_venue(
        VENUE,
        oms_type=OmsType.HEDGING,
        account_type=AccountType.MARGIN,
        base_currency=USD,
        starting_balances=[Money(CAPITAL, USD)],
        default_leverage=Decimal(30),
    )
    for index, (instrument, bar_type, objects) in enumerate(inputs):
        engine.add_instrument(instrument)
        engine.add_data(objects, sort=index == len(inputs) - 1)
        config = SmaCrossConfig(instrument_id=instrument.id, bar_type=bar_type, order_id_tag=f"{index:03d}")
        engine.add_strategy(SmaCross(config))
    return engine


def back_test(engines: list[BacktestEngine]) -> BacktestEngine:
    """Run the next prepared engine and return it."""
    engine = engines.pop()
    engine.run()
    return engine


def describe(engine: BacktestEngine, close_ns: np.ndarray[Any, Any]) -> Outcome:
    """Return the positions in the common form."""
    positions = sorted(engine.cache.positions(), key=lambda p: (str(p.instrument_id), p.ts_opened))
    trades = new_trades(len(positions))
    for row, position in zip(trades, positions, strict=True):
        row["signal_bar"] = np.searchsorted(close_ns, position.ts_opened)
        row["exit_bar"] = np.searchsorted(close_ns, position.ts_closed) if position.is_closed else len(close_ns) - 1
        row["side"] = 1 if position.entry == OrderSide.BUY else -1
        row["is_open"] = position.is_open
        row["entry_price"] = position.avg_px_open
        row["exit_price"] = position.avg_px_close
        row["net"] = position.realized_pnl.as_double()
    balance = engine.portfolio.account(VENUE).balance_total(USD).as_double()
    return Outcome(trades, float(balance - CAPITAL))


def prepare(job: Job) -> tuple[Work, Describe]:
    """Return one back-test on the bars of `job`; an engine runs once, so enough of them are built ahead."""
    series = read_bars(job.data, job.n_symbols, job.n_bars_stored)
    inputs = []
    for symbol, bars in series.items():
        instrument = pair(symbol)
        bar_type = BarType.from_str(f"{instrument.id}-1-MINUTE-LAST-EXTERNAL")
        inputs.append((instrument, bar_type, to_nautilus(instrument, bar_type, bars[: job.n_bars])))
    close_ns = next(iter(series.values()))["open_ns"][: job.n_bars] + MINUTE_NS
    engines = [build(inputs) for _ in range(job.n_runs)]
    return functools.partial(back_test, engines), functools.partial(describe, close_ns=close_ns)


if __name__ == "__main__":
    serve("nautilus_trader", lambda: str(nautilus_trader.__version__), prepare)
