"""Carry out what a comparison with the venue found: rows in the journal, blocks, alerts, and stops at the venue.

`reconcile` says what differs; this decides nothing, it acts and remembers what was said before. Everything that changes
the book is written in one transaction as evidence of a look (POLL), so nothing that the journal held is rewritten.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from tradesentry.core.broker.base_broker import BaseBroker, OrderReport
from tradesentry.core.domain.errors import ReconciliationFailed
from tradesentry.core.domain.events import EventKind, OrderTerms
from tradesentry.core.domain.live_account import AccountChange, LiveTrade
from tradesentry.core.domain.live_orders import Evidence, OrderStatus, parse_client_order_id
from tradesentry.core.domain.money import ZERO
from tradesentry.core.domain.venue import OpenTrade
from tradesentry.core.execution.gate_view import VenueWatch
from tradesentry.core.execution.order_status import Claimed, EventKey, VenueSaid
from tradesentry.core.execution.order_store import OrderStore, Writing
from tradesentry.core.execution.reconciliation import reconcile
from tradesentry.core.execution.repairs import (
    INCOMPARABLE,
    AdoptOrder,
    AdoptTrade,
    BalanceDiffers,
    BlockInstrument,
    FillsDiffer,
    ForgetOrder,
    FreeInstrument,
    JournalState,
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
)
from tradesentry.core.execution.trade_file import STOP_LOSS, TAKE_PROFIT, GuardGone, GuardSet, TradeEvidence
from tradesentry.core.execution.venue_look import LOOKS, take_report

MISMATCH: Final = "mismatch"
_KIND_OF: Final = {
    OrderStatus.CANCELED: EventKind.ORDER_CANCELED,
    OrderStatus.EXPIRED: EventKind.ORDER_EXPIRED,
    OrderStatus.REJECTED: EventKind.ORDER_REJECTED,
}
_UNWRITTEN: Final = (FillsDiffer, UnitsDiffer, FreeInstrument)
"""Repairs that leave no row of their own."""


class VenueComparison:
    """Compares one account with its venue, again and again.

    Args:
        broker: The venue.
        store: The journal's side.
        watch: Where instruments are blocked.
        guard: Restores a stop, or closes the trade.
        catch_up: Brings the journal up to the venue's newest event.
    """

    def __init__(
        self,
        broker: BaseBroker,
        store: OrderStore,
        watch: VenueWatch,
        *,
        guard: Callable[[str, float | None], Awaitable[None]],
        catch_up: Callable[[], Awaitable[object]],
    ) -> None:
        self._broker, self._store, self._watch = broker, store, watch
        self._guard, self._catch_up = guard, catch_up
        self._last = JournalState(None, 0, ZERO, {}, {})
        self.report: VenueReport | None = None
        """The last consistent look."""

    async def compare(self, *, with_trades: bool = True) -> list[Repair]:
        """Return what a look at the venue found, after it was carried out.

        Args:
            with_trades: False looks at the resting orders only.

        Raises:
            ReconciliationFailed: Journal and venue speak of different events however often one looks.
            BrokerError: The venue could not be read.
            JournalUnavailable: The repairs could not be stored; nothing was changed.
        """
        repairs: list[Repair] = []
        for _ in range(LOOKS):
            report = await take_report(self._broker, with_trades=with_trades)
            await self._catch_up()
            if report is None:
                continue
            state = await self._journal_state(report)
            repairs = reconcile(state, report)
            if not any(isinstance(repair, INCOMPARABLE) for repair in repairs):
                self.report = report if with_trades or self.report is None else self.report
                await self._carry_out(state, repairs, report)
                return repairs
        raise ReconciliationFailed(
            f"The journal could not be brought to the venue's newest event in {LOOKS} looks: {repairs or 'it moves'}. "
            "Nothing is sent. Look whether the account is the linked one, and whether the venue answers completely."
        )

    @property
    def blocked(self) -> frozenset[str]:
        """Instruments whose fills and positions disagreed at the last look."""
        return self._last.blocked

    async def accept_venue(self, symbol: str) -> list[Repair]:
        """Take the venue's units of one instrument for right; only a person may ask for it.

        Args:
            symbol: The blocked instrument.

        Returns:
            What was accepted. The fills in between stay unknown, so the profit of these trades is the venue's only.
        """
        await self.compare()
        report = self.report
        if report is None:
            return []
        key = self._key(report)
        found = reconcile(await self._journal_state(report), report)
        wrong = [repair for repair in found if isinstance(repair, UnitsDiffer) and repair.symbol == symbol]
        shown = {trade.trade_id: trade for trade in report.trades or ()}
        async with self._store.writing() as writing:
            for repair in wrong:
                ours = self._store.book.trades[repair.trade_ref]
                trade = shown.get(repair.trade_ref) or _closed(ours)
                writing.changes += writing.book.adopt_trade(trade, key)
                text = f"{repair.trade_ref} on {symbol}: {repair.theirs:f} units instead of {repair.ours:f}"
                writing.alert("position_accepted", f"{text} by a person's word.")
        await self.compare()
        return list(wrong)

    async def _journal_state(self, report: VenueReport) -> JournalState:
        book, last = self._store.book, self._last
        return JournalState(
            log_id=book.log_id,
            # Beyond a hole the book has heard more than its cursor says, so an older look must not be compared with it.
            cursor=book.newest.seq if book.has_hole else book.cursor,
            balance=book.balance,
            orders=dict(book.orders),
            trades=dict(book.trades),
            known_ids=last.known_ids | await self._known_ids(report),
            stops={ref: stop for ref in book.trades if (stop := book.tightest_stop(ref)) is not None},
            blocked=last.blocked,
            asked=last.asked & frozenset(book.open_orders),
            balance_gap=last.balance_gap,
        )

    async def _known_ids(self, report: VenueReport) -> frozenset[str]:
        """Return the ids of ours in a report that only the journal knows any more."""
        store, known = self._store, set()
        shown = [order.client_order_id for order in report.orders]
        shown += [trade.client_order_id for trade in report.trades or ()]
        for key in shown:
            if key is None or key in store.book.orders or key in self._last.known_ids:
                continue
            if parse_client_order_id(key) and await store.journal.read_intent(store.lease, key) is not None:
                known.add(key)
        return frozenset(known)

    def _key(self, report: VenueReport) -> EventKey:
        return self._store.book.key_of(report.account.log_id, report.account.last_seq)

    async def _carry_out(self, state: JournalState, repairs: Sequence[Repair], report: VenueReport) -> None:
        asked = {
            repair: await self._broker.find_order(repair.key) for repair in repairs if isinstance(repair, OrderGone)
        }
        if any(not isinstance(repair, _UNWRITTEN) for repair in repairs):
            async with self._store.writing() as writing:
                for repair in repairs:
                    await self._write(writing, repair, report)
                for gone, answer in asked.items():
                    self._note_end(writing, gone, answer, report)
        self._last = applied(state, repairs)
        for repair in repairs:
            if isinstance(repair, BlockInstrument):
                self._watch.block(repair.symbol, MISMATCH, repair.text)
            elif isinstance(repair, FreeInstrument):
                self._watch.unblock(repair.symbol, MISMATCH)
        for repair in repairs:
            if isinstance(repair, RestoreStop):
                await self._guard(repair.trade_ref, repair.stop_loss)

    async def _write(self, writing: Writing, repair: Repair, report: VenueReport) -> None:
        """Write the journal's side of one repair."""
        book, key = writing.book, self._key(report)
        match repair:
            case AdoptOrder(shown):
                writing.changes += book.adopt_order(shown, key)
            case AdoptTrade(trade):
                writing.changes += book.adopt_trade(trade, key)
                text = f"A trade of {trade.units} {trade.symbol} ({trade.trade_id}) is not ours"
                writing.alert("external_trade", f"{text}. It counts in every limit and is not closed.")
            case OwnIdUnknown(client_order_id, instance, seq):
                await self._catch_up_numbers(writing, instance, seq)
                text = f"The venue holds our order {client_order_id}, which the journal lacks"
                writing.alert("journal_behind", f"{text}: it is behind. Trading is halted until a person confirms.")
            case OrderFound(name, _, shown) | TermsDiffer(name, shown):
                said = VenueSaid(key, EventKind.ORDER_ACCEPTED, shown.venue_order_id, terms=_terms(shown))
                writing.note(name, Claimed(shown.venue_order_id), said, source=Evidence.POLL)
            case ForgetOrder(name):
                gone = VenueSaid(key, EventKind.ORDER_CANCELED, book.orders[name].venue_order_ids[-1], reason="gone")
                writing.note(name, gone, source=Evidence.POLL)
            case BlockInstrument(symbol, text):
                what = f"{symbol} is not traded: {text}. It is freed when both agree"
                writing.alert("position_mismatch", f"{what}; see docs/runbooks/reconcile_by_hand.md.")
            case RestoreStop(trade_ref=ref, symbol=symbol):
                text = f"The stop of trade {ref} on {symbol} is {repair.present} at the venue"
                writing.alert(
                    "stop_weak", f"{text}, the journal has {repair.stop_loss}. It is restored, or the trade ends."
                )
            case ProtectionDiffers(ref, stop, target):
                writing.changes += _show_guards(writing, ref, stop, target, key)
            case BalanceDiffers(ours, theirs):
                book.anchor(report.account)
                text = f"The venue's balance is {theirs}, the events add up to {ours}. The venue's counts."
                writing.alert("balance_differs", f"{text} Look for a payment or a fee that made no event.")
            case _:
                pass

    async def _catch_up_numbers(self, writing: Writing, instance: int, seq: int) -> None:
        """Raise the order number above one that the venue has seen."""
        if instance == self._store.lease.instance:
            await writing.transaction.raise_seq(seq)

    def _note_end(self, writing: Writing, gone: OrderGone, shown: OrderReport | None, report: VenueReport) -> None:
        """Note the end of an order that was not shown, in the venue's words; silence ends nothing."""
        if shown is not None and shown.status in _KIND_OF:
            said = VenueSaid(self._key(report), _KIND_OF[shown.status], shown.venue_order_id, reason=shown.reason)
            writing.note(gone.key, said, source=Evidence.POLL)
        elif shown is None:
            text = f"Order {gone.key} on {gone.symbol} works as far as we know, and the venue does not show it."
            writing.alert("order_gone", f"{text} It stays open here until the venue says how it ended.")


def _terms(shown: OrderReport) -> OrderTerms:
    return OrderTerms(
        shown.symbol,
        shown.side,
        shown.units,
        shown.type,
        shown.price,
        shown.stop_loss,
        shown.take_profit,
        shown.expires_ts_ns,
    )


def _closed(trade: LiveTrade) -> OpenTrade:
    """Return a trade that the venue does not hold any more, as it would show it."""
    return OpenTrade(
        trade_id=trade.trade_ref,
        symbol=trade.symbol,
        side=trade.side,
        units=ZERO,
        initial_units=trade.initial_units,
        entry_price=trade.entry_price,
        entry_ts_ns=trade.entry_ts_ns,
        stop_loss=trade.stop_loss,
        take_profit=trade.take_profit,
        client_order_id=trade.key,
    )


def _show_guards(
    writing: Writing, ref: str, stop: float | None, target: float | None, key: EventKey
) -> list[AccountChange]:
    """Take the venue's stop and target of a trade into the book."""
    found: list[TradeEvidence] = []
    present = writing.book.trades[ref]
    for which, ours, theirs in ((STOP_LOSS, present.stop_loss, stop), (TAKE_PROFIT, present.take_profit, target)):
        if ours != theirs:
            found.append(GuardGone(key, which=which) if theirs is None else GuardSet(key, which, theirs))
    return writing.book.show_guards(ref, found)
