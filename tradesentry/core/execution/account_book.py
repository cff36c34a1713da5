"""The account from inside: orders, trades and balance as a fold of everything the venue said and we did.

One book for one account. Every piece of news goes to the file of the order or trade that it is about (`order_file`,
`trade_file`); orders and trades follow from their files alone, so neither the order nor the number of times in which
events come changes what is shown. What cannot be told yet (an end or a fill of an order whose id nobody has explained)
waits until the numbering has no hole before it; then it was not about an order of ours.

The book sends nothing and stores nothing. `apply` and `note` change it and say what changed; the order manager stores
the rows of what was touched in the same transaction, and takes the change back when that fails (`tentative`).
"""

from collections.abc import Iterable, Sequence
from typing import Final

from tradesentry.core.broker.base_broker import OrderReport
from tradesentry.core.domain.events import BrokerEvent, EventFacts, EventKind, Fill, OrderTerms
from tradesentry.core.domain.live_account import (
    AccountChange,
    MoneyMoved,
    ProtectionMoved,
    SwapBooked,
    TradeOpened,
    TradeReduced,
)
from tradesentry.core.domain.live_orders import Effect
from tradesentry.core.domain.live_orders import Evidence as Source
from tradesentry.core.domain.venue import AccountState, OpenTrade
from tradesentry.core.execution.book_tables import TRADE, VENUE, BookTables
from tradesentry.core.execution.journal_rows import AccountJournal
from tradesentry.core.execution.order_file import OrderFile, OrderPlan, file_of_record
from tradesentry.core.execution.order_status import (
    ENDS,
    START,
    Claimed,
    EventKey,
    Evidence,
    Filled,
    VenueSaid,
)
from tradesentry.core.execution.trade_file import (
    STILL_GUARDED,
    STOP_LOSS,
    TAKE_PROFIT,
    GuardGone,
    GuardSet,
    SwapPaid,
    TradeEvidence,
    TradeFile,
    TradeFill,
    adopted,
    origin_of,
    trade_of_record,
)

_ORDER_WORDS: Final = (EventKind.ORDER_ACCEPTED, EventKind.CHANGE_REFUSED, *ENDS)


class AccountBook(BookTables):
    """Orders and trades of one account.

    Args:
        lease: Whose account; its instance tells our ids from others'.
        facts: Reads an event, as the broker's adapter does.
        instruments: As the venue trades them, by symbol.
    """

    # What is not in memory

    def unknown_to(self, events: Sequence[BrokerEvent]) -> tuple[set[str], set[str]]:
        """Return the order keys of ours and the trades that events are about and that the book does not hold."""
        keys: set[str] = set()
        trades: set[str] = set()
        for event in events:
            facts = self.facts(event)
            clients = {facts.client_order_id, *(fill.client_order_id for fill in facts.fills)}
            keys |= {client for client in clients if client is not None and self.is_own(client)}
            trades |= {ref for ref in _trades_of(facts) if ref}
        return {key for key in keys if key not in self._orders}, {ref for ref in trades if ref not in self._trades}

    # Changing

    def anchor(self, state: AccountState) -> None:
        """Take the balance that the venue reports as of its `last_seq`."""
        self._set_money(self._money.anchored(self.key_of(state.log_id, state.last_seq), state.balance))

    def add(self, key: str, plan: OrderPlan) -> list[AccountChange]:
        """Take up an order of ours that was just journaled."""
        return self._put_order(OrderFile(key, plan))

    def note(self, key: str, *items: Evidence, source: Source | None = None) -> list[AccountChange]:
        """Add evidence of our own about an order: asked, answered, denied, claimed."""
        changes: list[AccountChange] = []
        for item in items:
            if isinstance(item, Claimed):
                changes += self._learn_owner(item.venue_order_id, key, source)
        return changes + self._put_order(self._orders[key].with_evidence(items, source))

    def restore(self, orders: Iterable[OrderFile], trades: Iterable[TradeFile]) -> None:
        """Take up what the journal holds of orders and trades that are not in memory."""
        for order in orders:
            self._put_order(order)
            for venue_id in order.venue_ids:
                self._set(self._owners, venue_id, order.key)
        for trade in trades:
            self._put_trade(trade)

    def adopt_order(self, report: OrderReport, key: EventKey) -> list[AccountChange]:
        """Take up an order of the venue that no event explained, as a report shows it.

        Args:
            report: The order.
            key: Newest event that the report contains.
        """
        terms = OrderTerms(report.symbol, report.side, report.units, report.type, report.price, report.stop_loss,
                           report.take_profit, report.expires_ts_ns)  # fmt: skip
        said = VenueSaid(key, EventKind.ORDER_ACCEPTED, report.venue_order_id, terms=terms)
        return self._to_order(f"{VENUE}{report.venue_order_id}", said, Source.POLL, report.venue_order_id)

    def adopt_trade(self, trade: OpenTrade, key: EventKey) -> list[AccountChange]:
        """Take up a trade that no event explained; arguments as `adopt_order`."""
        present = self._trades.get(trade.trade_id, TradeFile(trade.trade_id))
        owner = self._orders.get(trade.client_order_id or "")
        origin = None if owner is None else origin_of(owner)
        return self._put_trade(present.with_evidence([adopted(trade, key)], origin))

    def show_guards(self, trade_ref: str, items: Iterable[TradeEvidence]) -> list[AccountChange]:
        """Take up stop and target of a trade as a report shows them, where no event said so.

        Args:
            trade_ref: The trade.
            items: `GuardSet` and `GuardGone`, placed at the newest event that the report contains.
        """
        return [change for item in items for change in self._guarded(trade_ref, item, 0)]

    def apply(self, events: Sequence[BrokerEvent], evidence: Source) -> list[AccountChange]:
        """Fold events in and return what changed; events that were folded in before change nothing.

        Args:
            events: In any order.
            evidence: How we heard of them.
        """
        changes: list[AccountChange] = []
        for event in sorted(events, key=lambda event: (self._rank(event.log_id), event.seq)):
            if self._heard(event):
                continue
            changes += self._fold(event, evidence)
        self._forget_loose()
        return changes

    # Folding

    def _fold(self, event: BrokerEvent, source: Source) -> list[AccountChange]:
        facts, key = self.facts(event), self.key_of(event.log_id, event.seq)
        self._set_money(self._money.with_event(key, facts.amount, facts.balance))
        if facts.kind is EventKind.ORDER_FILLED:
            return [change for fill in facts.fills for change in self._fold_fill(fill, facts, key, source)]
        if facts.kind in _ORDER_WORDS:
            return self._fold_word(facts, key, source)
        if facts.kind is EventKind.PROTECTION:
            return self._fold_guard(facts, key, event.ts_ns)
        if facts.kind is EventKind.SWAP:
            return self._fold_swaps(facts, key, event.ts_ns)
        return [MoneyMoved(facts.amount, event.ts_ns)] if facts.amount else []

    def _fold_swaps(self, facts: EventFacts, key: EventKey, ts_ns: int) -> list[AccountChange]:
        """Book overnight interest with its trades; what the venue does not break down is in the balance only."""
        told = facts.swaps or (() if facts.trade_ref is None else ((facts.trade_ref, facts.amount),))
        changes: list[AccountChange] = []
        for trade_ref, amount in told:
            self._to_trade(trade_ref, SwapPaid(key, amount, ts_ns))
            trade = self._live_trades.get(trade_ref)
            changes += [] if trade is None else [SwapBooked(trade, amount, ts_ns)]
        return changes

    def _fold_fill(self, fill: Fill, facts: EventFacts, key: EventKey, source: Source) -> list[AccountChange]:
        filled = Filled(key, fill)
        owner = self._owner(fill.client_order_id, fill.venue_order_id)
        changes: list[AccountChange] = []
        if owner is None and fill.effect is Effect.OPEN:
            owner = f"{VENUE}{fill.venue_order_id}"
        if owner is None:
            self._add_loose(fill.venue_order_id, filled)
        elif not owner.startswith(TRADE):
            changes = self._to_order(owner, filled, source, fill.venue_order_id if self._opens(owner, fill) else None)
        opener = self._orders.get(owner or "") if fill.effect is Effect.OPEN else None
        trade = self._to_trade(fill.trade_ref, TradeFill(key, fill, facts.reason), opener)
        if trade is not None:
            is_open = fill.effect is Effect.OPEN
            changes.append(TradeOpened(trade, fill) if is_open else TradeReduced(trade, fill, facts.reason))
        return changes

    def _opens(self, owner: str, fill: Fill) -> bool:
        """Say whether a fill proves that its venue order is this order: a stop may carry the id of its entry."""
        order = self._orders.get(owner)
        return order is None or order.effect is fill.effect

    def _fold_word(self, facts: EventFacts, key: EventKey, source: Source) -> list[AccountChange]:
        said = VenueSaid(key, facts.kind, facts.venue_order_id, facts.replaced_by, facts.reason, facts.terms)
        venue_id = facts.venue_order_id
        owner = self._owner(facts.client_order_id, venue_id) or self._owners.get(facts.replaces or "")
        is_accepted = facts.kind is EventKind.ORDER_ACCEPTED
        if owner is None and is_accepted and facts.trade_ref is not None:
            owner = self._closing(facts.trade_ref, key)
            if owner is not None and venue_id is not None:
                self._put_order(self._orders[owner].with_evidence([Claimed(venue_id)], source))
        if owner is None and is_accepted and venue_id is not None:
            owner = f"{VENUE}{venue_id}"
            if owner not in self._orders:
                self._set(self._orders, owner, OrderFile(owner, trade_ref=facts.trade_ref))
        if owner is not None and owner.startswith(TRADE):
            return self._guard_ended(owner.removeprefix(TRADE), facts, key)
        if owner is not None:
            return self._to_order(owner, said, source, venue_id if is_accepted else None)
        if venue_id is not None and facts.kind is not EventKind.CHANGE_REFUSED:
            self._add_loose(venue_id, said)
        return []

    def _guard_ended(self, trade_ref: str, facts: EventFacts, key: EventKey) -> list[AccountChange]:
        if facts.kind not in ENDS or facts.replaced_by is not None or facts.reason in STILL_GUARDED:
            return []
        return self._guarded(trade_ref, GuardGone(key, facts.venue_order_id or ""), 0)

    def _fold_guard(self, facts: EventFacts, key: EventKey, ts_ns: int) -> list[AccountChange]:
        ref, which = facts.trade_ref, facts.which
        if ref is None or which is None:
            return []
        if facts.price is None:
            gone = GuardGone(key, facts.venue_order_id or "", which)
            return [] if facts.reason in STILL_GUARDED else self._guarded(ref, gone, ts_ns)
        placed = GuardSet(key, which, facts.price, facts.venue_order_id or "")
        changes = self._guarded(ref, placed, ts_ns)
        if facts.venue_order_id is not None and facts.venue_order_id not in self._owners:
            self._set(self._owners, facts.venue_order_id, f"{TRADE}{ref}")
            loose = self._take_loose(facts.venue_order_id)
            for item in sorted((i for i in loose if isinstance(i, VenueSaid)), key=lambda i: i.key):
                told = EventFacts(item.kind, item.venue_order_id, reason=item.reason, replaced_by=item.replaced_by)
                changes += self._guard_ended(ref, told, item.key)
        return changes

    def _guarded(self, trade_ref: str, item: TradeEvidence, ts_ns: int) -> list[AccountChange]:
        old = self._live_trades.get(trade_ref)
        new = self._to_trade(trade_ref, item)
        if new is None:
            return []
        pairs = [(name, None if old is None else getattr(old, name), getattr(new, name))
                 for name in (STOP_LOSS, TAKE_PROFIT)]  # fmt: skip
        return [ProtectionMoved(new, name, was, now, ts_ns) for name, was, now in pairs if was != now]

    # After a restart

    def load(self, journal: AccountJournal, events: Sequence[BrokerEvent] = ()) -> None:
        """Restore the book from the journal.

        Args:
            journal: What is open, with the files of orders and trades in the rows.
            events: Stored events beyond the cursor, and the newest ones before it that state a balance.
        """
        if journal.log_id is not None:
            self.start_log(journal.log_id, 0)
        self.restore(
            (file_of_record(row) for row in journal.orders), (trade_of_record(row) for row in journal.positions)
        )
        if journal.account is not None:
            self._set_money(self._money.anchored(START, journal.account.balance))
        for event in events:
            if event.log_id == journal.log_id and event.seq <= journal.cursor:
                facts = self.facts(event)
                key = self.key_of(event.log_id, event.seq)
                self._set_money(self._money.with_event(key, facts.amount, facts.balance))
        if journal.log_id is not None:
            self.start_log(journal.log_id, journal.cursor)
        self.apply([event for event in events if event.seq > journal.cursor], Source.POLL)


def _trades_of(facts: EventFacts) -> list[str | None]:
    """Return the trades that an event is about."""
    return [facts.trade_ref, *(fill.trade_ref for fill in facts.fills), *(ref for ref, _ in facts.swaps)]
