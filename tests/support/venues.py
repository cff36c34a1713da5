"""Paper venues and orders for tests of brokers, made with few arguments."""

from decimal import Decimal

from tests.support.markets import LIMITLESS, new_account, new_markets, rules_of, utc
from tradesentry.core.broker.base_broker import OrderRequest
from tradesentry.core.broker.faults import FaultScript
from tradesentry.core.broker.paper import PaperVenue
from tradesentry.core.broker.paper_memory import PaperMemory
from tradesentry.core.domain.live_orders import client_order_id
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.domain.venue import Quote, VenueInstrument
from tradesentry.core.execution.matching import MATCHING
from tradesentry.core.market.instruments import instrument

TUESDAY_NS = utc("2024-01-09T12:00")
SECOND_NS = 1_000_000_000
NO_LIMIT = dict.fromkeys(("daily_loss", "market_daily_loss", "drawdown_reduce", "drawdown_halt"), 10.0)


def venue_instrument(symbol):
    """Return an instrument as OANDA trades it: five or three decimals, whole units."""
    item = instrument(symbol)
    digits = 3 if item.quote == "JPY" else 5
    name = f"{item.base}_{item.quote}"
    return VenueInstrument(item, name, digits, 0, Decimal(1), Decimal(1), Decimal(100_000_000))


def new_venue(symbols=("EURUSD", "USDJPY"), *, capital=100_000.0, faults="", seed=0, options=None, **numbers):
    """Return a dollar account without costs and without a first quote; `options` are those of `PaperVenue`."""
    limits = NO_LIMIT | {"stop_out_level": LIMITLESS.stop_out_level}
    memory = PaperMemory(new_markets(symbols, **numbers), new_account(capital, **limits), rules_of(), MATCHING)
    named = {"account": "001-001-1234567-001", "log_id": "log-1", "fills_on": "quote"}
    named["faults"] = FaultScript.parse(faults, seed=seed)
    return PaperVenue(memory, [venue_instrument(symbol) for symbol in symbols], **named | (options or {}))


def quote_at(price, *, seconds=0.0, symbol="EURUSD", spread=0.0001, tradeable=True):
    """Return a quote `seconds` after Tuesday noon."""
    ts_ns = TUESDAY_NS + round(seconds * SECOND_NS)
    return Quote(symbol, price, round(price + spread, 5), ts_ns, ts_ns, tradeable)


def entry(seq=1, side=Side.BUY, *, units=10_000, stop=1.0950, kind=OrderType.MARKET, **fields):
    """Return an entry of 10,000 EURUSD at market unless `fields` say otherwise."""
    return OrderRequest(
        client_order_id=client_order_id(7, seq),
        symbol=fields.pop("symbol", "EURUSD"),
        side=side,
        units=Decimal(units),
        type=kind,
        stop_loss=stop,
        **fields,
    )
