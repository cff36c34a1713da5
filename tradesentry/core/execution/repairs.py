"""What a comparison with the venue can find, and what it changes in the journal's picture.

Separate from the comparison: recovery carries these out, alerts and the console name them. `applied` is the journal's
side of the repairs; what only the venue can change (`STANDING`) is left as it is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final, TypeAlias

from tradesentry.core.broker.base_broker import OrderReport
from tradesentry.core.domain.live_account import LiveOrder, LiveTrade
from tradesentry.core.domain.live_orders import Effect, Evidence, OrderStatus
from tradesentry.core.domain.money import ZERO
from tradesentry.core.domain.orders import Side
from tradesentry.core.domain.venue import AccountState, OpenTrade

SAME_PRICE: Final = 1e-9
"""Relative; prices of both sides are on the venue's grid."""


@dataclass(frozen=True, slots=True)
class JournalState:
    """What the journal tells of an account."""

    log_id: str | None
    cursor: int
    """Events are complete up to here."""
    balance: Decimal
    orders: Mapping[str, LiveOrder]
    """Open ones and those that ended lately, by key."""
    trades: Mapping[str, LiveTrade]
    """Open ones, by reference."""
    known_ids: frozenset[str] = frozenset()
    """Ids of ours at the venue that the journal has, beyond `orders`."""
    stops: Mapping[str, float] = field(default_factory=dict)
    """Tightest stop that each trade ever had, by reference."""
    blocked: frozenset[str] = frozenset()
    """Instruments blocked by an earlier look."""
    asked: frozenset[str] = frozenset()
    """Orders that an earlier look missed and asked for."""
    balance_gap: Decimal = ZERO
    """Venue minus journal that was reported before."""


@dataclass(frozen=True, slots=True)
class VenueReport:
    """One consistent look at the venue."""

    account: AccountState
    orders: tuple[OrderReport, ...]
    """Resting entries."""
    trades: tuple[OpenTrade, ...] | None
    """Open trades; None: not looked at."""


@dataclass(frozen=True, slots=True)
class LogReplaced:
    """The venue numbers its events anew: nothing known of the old numbers may be compared."""

    ours: str
    theirs: str


@dataclass(frozen=True, slots=True)
class JournalLags:
    """Events up to the snapshot are not there yet; catch up and look again."""

    cursor: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class CursorAhead:
    """The journal has seen more than the venue says it gave out: an old snapshot, a wrong account or a rollback."""

    cursor: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class OwnIdUnknown:
    """The venue holds an id of ours that the journal lacks: the journal is behind."""

    client_order_id: str
    instance: int
    seq: int


@dataclass(frozen=True, slots=True)
class AdoptOrder:
    """A resting order that nobody here placed."""

    report: OrderReport


@dataclass(frozen=True, slots=True)
class AdoptTrade:
    """A trade that nobody here opened."""

    trade: OpenTrade


@dataclass(frozen=True, slots=True)
class OrderFound:
    """The venue shows an order whose outcome was not known, or that was taken for ended."""

    key: str
    status: OrderStatus
    report: OrderReport


@dataclass(frozen=True, slots=True)
class OrderGone:
    """An order that works as far as we know is not shown: ask for it, conclude nothing."""

    key: str
    symbol: str


@dataclass(frozen=True, slots=True)
class ForgetOrder:
    """An EXTERNAL order is gone."""

    key: str


@dataclass(frozen=True, slots=True)
class TermsDiffer:
    """A resting order has other terms; the venue's count."""

    key: str
    report: OrderReport


@dataclass(frozen=True, slots=True)
class FillsDiffer:
    """The fills of an order do not add up to what the venue filled."""

    key: str
    symbol: str
    ours: Decimal
    theirs: Decimal


@dataclass(frozen=True, slots=True)
class UnitsDiffer:
    """The fills of a trade do not add up to the units that the venue holds; 0: it does not hold the trade."""

    trade_ref: str
    symbol: str
    ours: Decimal
    theirs: Decimal


@dataclass(frozen=True, slots=True)
class BlockInstrument:
    """Nothing new on an instrument whose fills and position disagree."""

    symbol: str
    text: str


@dataclass(frozen=True, slots=True)
class FreeInstrument:
    """Fills and position of a blocked instrument agree again."""

    symbol: str


@dataclass(frozen=True, slots=True)
class ProtectionDiffers:
    """Stop or target of a trade are others at the venue, and no looser; the venue's count."""

    trade_ref: str
    stop_loss: float | None
    take_profit: float | None


@dataclass(frozen=True, slots=True)
class RestoreStop:
    """A trade's stop is missing or looser at the venue: set it, else close the trade."""

    trade_ref: str
    symbol: str
    side: Side
    stop_loss: float | None
    """Where to; None: no stop was ever known, so only closing is left."""
    present: float | None


@dataclass(frozen=True, slots=True)
class BalanceDiffers:
    """The amounts of all events do not add up to the venue's balance."""

    ours: Decimal
    theirs: Decimal


Repair: TypeAlias = (
    LogReplaced
    | JournalLags
    | CursorAhead
    | OwnIdUnknown
    | AdoptOrder
    | AdoptTrade
    | OrderFound
    | OrderGone
    | ForgetOrder
    | TermsDiffer
    | FillsDiffer
    | UnitsDiffer
    | BlockInstrument
    | FreeInstrument
    | ProtectionDiffers
    | RestoreStop
    | BalanceDiffers
)
INCOMPARABLE: Final = (LogReplaced, JournalLags, CursorAhead)
"""Repairs after which nothing else was compared."""
STANDING: Final = (FillsDiffer, UnitsDiffer, RestoreStop)
"""Found again at every look until the venue's word or a command has changed something."""


def applied(journal: JournalState, repairs: Iterable[Repair]) -> JournalState:
    """Return the journal's side after repairs: everything but what only the venue can change.

    Args:
        journal: Before.
        repairs: Of `reconcile`.
    """
    repairs = list(repairs)
    known, blocked, asked = set(journal.known_ids), set(journal.blocked), set(journal.asked)
    gap = journal.balance_gap
    for repair in repairs:
        match repair:
            case OwnIdUnknown(client_order_id=key):
                known.add(key)
            case OrderGone(key=key):
                asked.add(key)
            case BlockInstrument(symbol=symbol):
                blocked.add(symbol)
            case FreeInstrument(symbol):
                blocked.discard(symbol)
            case BalanceDiffers(ours, theirs):
                gap = theirs - ours
            case _:
                pass
    return replace(
        journal,
        orders=_orders_after(journal.orders, repairs),
        trades=_trades_after(journal.trades, repairs),
        stops=_stops_after(journal),
        known_ids=frozenset(known),
        blocked=frozenset(blocked),
        asked=frozenset(asked),
        balance_gap=gap,
    )


def _orders_after(before: Mapping[str, LiveOrder], repairs: Iterable[Repair]) -> dict[str, LiveOrder]:
    orders = dict(before)
    for repair in repairs:
        match repair:
            case AdoptOrder(report):
                orders[f"venue:{report.venue_order_id}"] = external_order(report)
            case OrderFound(key, status, report):
                orders[key] = with_terms(orders[key], report, status=status)
            case TermsDiffer(key, report):
                orders[key] = with_terms(orders[key], report, status=orders[key].status)
            case ForgetOrder(key):
                orders[key] = replace(orders[key], status=OrderStatus.CANCELED, evidence=Evidence.POLL)
            case _:
                pass
    return orders


def _trades_after(before: Mapping[str, LiveTrade], repairs: Iterable[Repair]) -> dict[str, LiveTrade]:
    trades = dict(before)
    for repair in repairs:
        match repair:
            case AdoptTrade(trade):
                trades[trade.trade_id] = external_trade(trade)
            case ProtectionDiffers(ref, stop, target):
                trades[ref] = replace(trades[ref], stop_loss=stop, take_profit=target)
            case _:
                pass
    return trades


def _stops_after(journal: JournalState) -> dict[str, float]:
    """Return the tightest stops, those that the venue has just been seen to loosen included."""
    stops = dict(journal.stops)
    for ref, held in journal.trades.items():
        tight = tightest(held.side, (stops.get(ref), held.stop_loss))
        if tight is not None:
            stops[ref] = tight
    return stops


def tightest(side: Side, stops: Iterable[float | None]) -> float | None:
    """Return the stop nearest to the price for a trade of `side`, None when there is none."""
    known = [stop for stop in stops if stop is not None]
    if not known:
        return None
    return max(known) if side is Side.BUY else min(known)


def is_looser(side: Side, stop: float | None, than: float | None) -> bool:
    """Say whether `stop` loses more than `than`; no stop is looser than any."""
    if than is None:
        return False
    return stop is None or (side * (than - stop) > 0 and not is_same_price(stop, than))


def external_order(report: OrderReport) -> LiveOrder:
    """Return an order of the venue as one that is not ours."""
    return LiveOrder(
        key=f"venue:{report.venue_order_id}",
        seq=None,
        run=None,
        symbol=report.symbol,
        side=report.side,
        effect=Effect.OPEN,
        type=report.type,
        status=report.status,
        units=report.units,
        filled_units=report.filled_units,
        average_price=report.average_price,
        price=report.price,
        stop_loss=report.stop_loss,
        take_profit=report.take_profit,
        expires_ts_ns=report.expires_ts_ns,
        venue_order_ids=(report.venue_order_id,),
        trade_ref=report.trade_ref,
        evidence=Evidence.POLL,
    )


def external_trade(trade: OpenTrade) -> LiveTrade:
    """Return a trade of the venue as one that is not ours."""
    return LiveTrade(
        trade_ref=trade.trade_id,
        key=None,
        seq=None,
        run=None,
        symbol=trade.symbol,
        side=trade.side,
        units=trade.units,
        initial_units=trade.initial_units,
        entry_price=trade.entry_price,
        entry_ts_ns=trade.entry_ts_ns,
        stop_loss=trade.stop_loss,
        take_profit=trade.take_profit,
        initial_stop=trade.initial_stop,
    )


def with_terms(order: LiveOrder, report: OrderReport, *, status: OrderStatus) -> LiveOrder:
    """Return an order with the venue's terms."""
    ids = order.venue_order_ids
    return replace(
        order,
        status=status,
        units=report.units,
        price=report.price,
        stop_loss=report.stop_loss,
        take_profit=report.take_profit,
        expires_ts_ns=report.expires_ts_ns,
        venue_order_ids=ids if report.venue_order_id in ids else (*ids, report.venue_order_id),
        evidence=Evidence.POLL,
    )


def is_same_price(a: float | None, b: float | None) -> bool:
    """Say whether two prices are one; None is only None."""
    if a is None or b is None:
        return a is b
    return abs(a - b) <= SAME_PRICE * max(abs(a), abs(b))
