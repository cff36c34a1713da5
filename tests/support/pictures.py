"""Pictures of an account: as the journal tells it and as the venue shows it, made with few arguments."""

from dataclasses import replace
from decimal import Decimal

from tradesentry.core.broker.base_broker import OrderReport
from tradesentry.core.domain.live_account import LiveOrder, LiveTrade
from tradesentry.core.domain.live_orders import Effect, OrderStatus, client_order_id
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.domain.venue import AccountState, OpenTrade
from tradesentry.core.execution.repairs import JournalState, VenueReport


def account(balance="100000", *, last_seq=50, log_id="log-1"):
    money = Decimal(balance)
    zero = Decimal(0)
    return AccountState("a", money, money, zero, zero, money, "USD", log_id, last_seq, is_hedging=True, as_of_ns=0)


def order(seq=1, *, status=OrderStatus.ACCEPTED, symbol="EURUSD", side=Side.BUY, **fields):
    """Return a resting limit order of ours, number `seq`, venue id 100 + seq."""
    return LiveOrder(
        key=client_order_id(7, seq),
        seq=seq,
        run=None,
        symbol=symbol,
        side=side,
        effect=Effect.OPEN,
        type=OrderType.LIMIT,
        status=status,
        units=fields.pop("units", Decimal(1_000)),
        price=fields.pop("price", 1.1),
        stop_loss=fields.pop("stop_loss", 1.09),
        venue_order_ids=fields.pop("venue_order_ids", (str(100 + seq),)),
        **fields,
    )


def report_of(ours, **changes):
    """Return how the venue shows an order of ours."""
    report = OrderReport(
        venue_order_id=ours.venue_order_ids[-1] if ours.venue_order_ids else str(100 + ours.seq),
        client_order_id=ours.key,
        symbol=ours.symbol,
        side=ours.side,
        type=ours.type,
        units=ours.units,
        filled_units=ours.filled_units,
        status=OrderStatus.ACCEPTED,
        price=ours.price,
        stop_loss=ours.stop_loss,
        take_profit=ours.take_profit,
    )
    return replace(report, **changes)


def trade(number=1, *, symbol="EURUSD", side=Side.BUY, stop=1.09, units="1000", **fields):
    """Return an open trade of ours with reference 200 + number."""
    return LiveTrade(
        trade_ref=str(200 + number),
        key=client_order_id(7, 500 + number),
        seq=500 + number,
        run=None,
        symbol=symbol,
        side=side,
        units=Decimal(units),
        initial_units=Decimal(units),
        entry_price=1.1,
        entry_ts_ns=1,
        stop_loss=stop,
        take_profit=fields.pop("take_profit", None),
        initial_stop=fields.pop("initial_stop", 1.09),
        **fields,
    )


def shown(ours, **changes):
    """Return how the venue shows a trade of ours."""
    at_venue = OpenTrade(
        trade_id=ours.trade_ref,
        symbol=ours.symbol,
        side=ours.side,
        units=ours.units,
        initial_units=ours.initial_units,
        entry_price=ours.entry_price,
        entry_ts_ns=ours.entry_ts_ns,
        stop_loss=ours.stop_loss,
        take_profit=ours.take_profit,
        client_order_id=ours.key,
    )
    return replace(at_venue, **changes)


def journal(orders=(), trades=(), **fields):
    return JournalState(
        log_id=fields.pop("log_id", "log-1"),
        cursor=fields.pop("cursor", 50),
        balance=fields.pop("balance", Decimal(100_000)),
        orders={o.key: o for o in orders},
        trades={t.trade_ref: t for t in trades},
        **fields,
    )


def venue(orders=(), trades=(), **fields):
    return VenueReport(account(**fields), tuple(orders), tuple(trades))
