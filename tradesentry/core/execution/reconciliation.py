"""Compare what the journal tells with what the venue shows, and say what has to be done about it.

`reconcile` is pure: no clock, no order of arrival, no memory. It is asked only when the journal holds every event up to
the snapshot, so a difference is an anomaly and not a delay. The venue wins: what it shows and we do not know is adopted
as EXTERNAL, where terms differ its terms count. Positions are derived from fills and never invented: where fills and
positions disagree the instrument is blocked until they agree again. Only stops are restored at the venue itself, never
looser than the tightest that the journal has seen (J10).

`applied` is the journal's side of the repairs; a second look after it finds nothing new to note (idempotent).
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from tradesentry.core.broker.base_broker import OrderReport
from tradesentry.core.domain.live_account import LiveOrder, LiveTrade
from tradesentry.core.domain.live_orders import Effect, parse_client_order_id
from tradesentry.core.domain.money import ZERO
from tradesentry.core.domain.orders import OrderType
from tradesentry.core.domain.venue import OpenTrade
from tradesentry.core.execution.order_status import IN_FLIGHT, WORKING
from tradesentry.core.execution.repairs import (
    AdoptOrder,
    AdoptTrade,
    BalanceDiffers,
    BlockInstrument,
    CursorAhead,
    FillsDiffer,
    ForgetOrder,
    FreeInstrument,
    JournalLags,
    JournalState,
    LogReplaced,
    OrderFound,
    OrderGone,
    OwnIdUnknown,
    ProtectionDiffers,
    Repair,
    RestoreStop,
    TermsDiffer,
    UnitsDiffer,
    VenueReport,
    applied,
    is_looser,
    is_same_price,
    tightest,
)

__all__ = ["JournalState", "Repair", "VenueReport", "applied", "reconcile"]

CENT: Final = Decimal("0.01")


def reconcile(journal: JournalState, venue: VenueReport) -> list[Repair]:
    """Return what has to be done so that journal and venue agree, in an order that depends on the facts alone.

    Args:
        journal: What the journal tells.
        venue: What the venue shows.

    Returns:
        Repairs; empty when both agree to the cent. One of `INCOMPARABLE` alone when they speak of different events.
    """
    account = venue.account
    if journal.log_id is not None and journal.log_id != account.log_id:
        return [LogReplaced(journal.log_id, account.log_id)]
    if journal.cursor < account.last_seq:
        return [JournalLags(journal.cursor, account.last_seq)]
    if journal.cursor > account.last_seq:
        return [CursorAhead(journal.cursor, account.last_seq)]
    orders = _compare_orders(journal, venue)
    trades = [] if venue.trades is None else _compare_trades(journal, venue.trades)
    mismatches = [repair for repair in (*orders, *trades) if isinstance(repair, FillsDiffer | UnitsDiffer)]
    found = [*orders, *trades, *_blocks(journal, mismatches, may_free=venue.trades is not None)]
    gap = account.balance - journal.balance
    if abs(gap) >= CENT / 2 and abs(gap - journal.balance_gap) >= CENT / 2:
        found.append(BalanceDiffers(journal.balance, account.balance))
    return sorted(found, key=_rank)


def _compare_orders(journal: JournalState, venue: VenueReport) -> list[Repair]:
    """Return the repairs of resting entries."""
    by_venue_id = {i: order for order in journal.orders.values() for i in order.venue_order_ids}
    found: list[Repair] = []
    shown: set[str] = set()
    for report in {report.venue_order_id: report for report in sorted(venue.orders, key=repr)}.values():
        ours = journal.orders.get(report.client_order_id or "") or by_venue_id.get(report.venue_order_id)
        if ours is None:
            found += _unknown_id(journal, report.client_order_id)
            found.append(AdoptOrder(report))
            continue
        shown.add(ours.key)
        if ours.status in IN_FLIGHT or ours.status.is_terminal:
            found.append(OrderFound(ours.key, report.status, report))
        elif _terms_differ(ours, report):
            found.append(TermsDiffer(ours.key, report))
        if ours.filled_units != report.filled_units:
            found.append(FillsDiffer(ours.key, ours.symbol, ours.filled_units, report.filled_units))
    for key, order in journal.orders.items():
        rests = order.status in WORKING and order.effect is Effect.OPEN and order.type is not OrderType.MARKET
        if key in shown or not rests:
            continue
        if order.is_external:
            found.append(ForgetOrder(key))
        elif key not in journal.asked:
            found.append(OrderGone(key, order.symbol))
    return found


def _compare_trades(journal: JournalState, trades: Sequence[OpenTrade]) -> list[Repair]:
    """Return the repairs of open trades."""
    found: list[Repair] = []
    shown = {trade.trade_id: trade for trade in sorted(trades, key=repr)}
    for ref, trade in shown.items():
        ours = journal.trades.get(ref)
        if ours is None or not ours.is_open:
            found += _unknown_id(journal, trade.client_order_id)
            found.append(AdoptTrade(trade))
            continue
        if (ours.side * ours.units) != (trade.side * trade.units):
            found.append(UnitsDiffer(ref, ours.symbol, ours.side * ours.units, trade.side * trade.units))
        found += _compare_protection(journal, ours, trade)
    for ref, ours in journal.trades.items():
        if ours.is_open and ref not in shown:
            found.append(UnitsDiffer(ref, ours.symbol, ours.side * ours.units, ZERO))
    return found


def _compare_protection(journal: JournalState, ours: LiveTrade, trade: OpenTrade) -> list[Repair]:
    found: list[Repair] = []
    wanted = tightest(ours.side, (journal.stops.get(ours.trade_ref), ours.stop_loss))
    wanted = ours.initial_stop if wanted is None else wanted
    is_weak = is_looser(ours.side, trade.stop_loss, wanted) or (trade.stop_loss is None and wanted is None)
    if is_weak and ours.seq is not None:
        found.append(RestoreStop(ours.trade_ref, ours.symbol, ours.side, wanted, trade.stop_loss))
    if not (is_same_price(ours.stop_loss, trade.stop_loss) and is_same_price(ours.take_profit, trade.take_profit)):
        found.append(ProtectionDiffers(ours.trade_ref, trade.stop_loss, trade.take_profit))
    return found


def _blocks(journal: JournalState, mismatches: Sequence[FillsDiffer | UnitsDiffer], *, may_free: bool) -> list[Repair]:
    """Return the instruments to block, and those to free when everything was looked at."""
    texts: dict[str, list[str]] = {}
    for repair in sorted(mismatches, key=_rank):
        name = repair.trade_ref if isinstance(repair, UnitsDiffer) else repair.key
        text = f"{name} holds {repair.ours:f} by its fills and {repair.theirs:f} at the venue"
        texts.setdefault(repair.symbol, []).append(text)
    blocks = [BlockInstrument(symbol, "; ".join(why)) for symbol, why in texts.items() if symbol not in journal.blocked]
    free = [FreeInstrument(symbol) for symbol in journal.blocked if may_free and symbol not in texts]
    return [*blocks, *free]


def _unknown_id(journal: JournalState, client_order_id: str | None) -> list[Repair]:
    parsed = parse_client_order_id(client_order_id)
    if parsed is None or client_order_id is None:
        return []
    if client_order_id in journal.known_ids or client_order_id in journal.orders:
        return []
    return [OwnIdUnknown(client_order_id, *parsed)]


def _terms_differ(ours: LiveOrder, report: OrderReport) -> bool:
    prices = (
        (ours.price, report.price),
        (ours.stop_loss, report.stop_loss),
        (ours.take_profit, report.take_profit),
    )
    if any(not is_same_price(mine, theirs) for mine, theirs in prices):
        return True
    if ours.units != report.units or ours.expires_ts_ns != report.expires_ts_ns:
        return True
    return report.venue_order_id not in ours.venue_order_ids


def _rank(repair: Repair) -> tuple[str, str]:
    return type(repair).__name__, repr(repair)
