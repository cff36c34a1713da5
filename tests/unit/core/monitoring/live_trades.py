"""Live trades and what happens to them, with few arguments: 10,000 EURUSD from 1.1000, stop 1.0950, R 50 dollars."""

from dataclasses import replace
from decimal import Decimal

import numpy as np

from tests.support.venues import TUESDAY_NS
from tradesentry.core.broker.paper_memory import new_intent
from tradesentry.core.domain.events import Fill
from tradesentry.core.domain.live_account import LiveOrder, LiveTrade, OrderMoved, TradeOpened, TradeReduced
from tradesentry.core.domain.live_orders import Effect, OrderStatus, client_order_id
from tradesentry.core.domain.orders import Action, OrderType, Side

SECOND_NS = 1_000_000_000


def ticket(*, signal=1.1000, kind=OrderType.MARKET, price=np.nan):
    intent = new_intent(Action.ENTER, side=1, type=int(kind), signal_price=signal, price=price, stop_loss=1.0950)
    return np.asarray(intent).tobytes().hex()


def live_trade(ref="t1", side=Side.BUY, *, seq=1, entry=1.1000, units=10_000, **fields):
    stop = entry - side * 0.0050
    values = {
        "key": client_order_id(7, seq), "seq": seq, "run": None, "symbol": "EURUSD", "initial_units": Decimal(units),
        "entry_price": entry, "entry_ts_ns": TUESDAY_NS, "stop_loss": stop, "take_profit": entry + side * 0.0100,
        "initial_stop": stop, "initial_risk": Decimal(50), "ticket": ticket(), "tag": "breakout",
    }  # fmt: skip
    return LiveTrade(ref, side=side, units=Decimal(fields.pop("open_units", units)), **(values | fields))


def fill(trade, price, *, units=None, effect=Effect.REDUCE, fill_id="f", seconds=60, **fields):
    side = Side(-trade.side) if effect is Effect.REDUCE else trade.side
    values = {"commission": Decimal(0), "swap": Decimal(0), "realized": Decimal(0)} | fields
    return Fill(
        account="a", fill_id=fill_id, leg=0, venue_order_id="7", client_order_id=trade.key, trade_ref=trade.trade_ref,
        symbol=trade.symbol, side=side, units=Decimal(trade.units if units is None else units), price=price,
        ts_ns=TUESDAY_NS + seconds * SECOND_NS, effect=effect, **values,
    )  # fmt: skip


def opened(trade):
    return TradeOpened(trade, fill(trade, trade.entry_price, effect=Effect.OPEN, seconds=0))


def reduced(trade, price, *, units=None, reason="MARKET_ORDER_TRADE_CLOSE", seconds=60, **fields):
    """The trade after an exit of `units` (all when None) at a price."""
    units = trade.units if units is None else Decimal(units)
    gained = Decimal(str(round(float(units) * trade.side * (price - trade.entry_price), 2)))
    left = trade.units - units
    after = replace(
        trade, units=left, realized=trade.realized + gained, exit_value=trade.exit_value + float(units) * price,
        exit_ts_ns=TUESDAY_NS + seconds * SECOND_NS, exit_reason="" if left else reason, **fields,
    )  # fmt: skip
    return TradeReduced(after, fill(trade, price, units=units, seconds=seconds), reason)


def order_moved(trade, *, status=OrderStatus.ACCEPTED, bar_close_ns=0, kind=OrderType.MARKET, **fields):
    order = LiveOrder(
        key=trade.key, seq=trade.seq, run=trade.run, symbol=trade.symbol, side=trade.side, effect=Effect.OPEN,
        type=kind, status=status, units=trade.initial_units, bar_close_ns=bar_close_ns, **fields,
    )  # fmt: skip
    return OrderMoved(order, None)
