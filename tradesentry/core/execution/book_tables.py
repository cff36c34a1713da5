"""The tables of an account book: files, what follows from them, whose a venue order is, and the way back.

Separate from the fold, which decides what an event means; here it is only kept. Every change leaves a way back while
one is asked for (`tentative`), so that memory never holds what the journal does not.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from tradesentry.core.domain.events import BrokerEvent, EventFacts, Fill
from tradesentry.core.domain.live_account import AccountChange, LiveOrder, LiveTrade, OrderMoved
from tradesentry.core.domain.live_orders import Evidence as Source
from tradesentry.core.domain.live_orders import OrderStatus, parse_client_order_id
from tradesentry.core.domain.venue import VenueInstrument
from tradesentry.core.execution.journal_rows import Lease, OrderRecord, PositionRecord
from tradesentry.core.execution.money_fold import MoneyFold
from tradesentry.core.execution.order_file import OrderFile
from tradesentry.core.execution.order_status import IN_FLIGHT, START, EventKey, Evidence, place_attempt
from tradesentry.core.execution.trade_file import TradeEvidence, TradeFile, origin_of

VENUE: Final = "venue:"
"""Begins the key of an order that is not ours."""
_TOLD: Final = 2_048
"""Events whose reading is remembered."""
TRADE: Final = "trade:"
"""Begins the owner of a venue order that guards a trade."""


class BookTables:
    """What an account book keeps. Arguments as `AccountBook`."""

    def __init__(
        self,
        lease: Lease,
        facts: Callable[[BrokerEvent], EventFacts],
        instruments: Mapping[str, VenueInstrument],
    ) -> None:
        self._lease, self._facts, self.instruments = lease, facts, instruments
        self.clear()

    def clear(self) -> None:
        """Forget everything, as at the start."""
        self._orders: dict[str, OrderFile] = {}
        self._trades: dict[str, TradeFile] = {}
        self._live_orders: dict[str, LiveOrder] = {}
        self._open_orders: dict[str, LiveOrder] = {}
        self._live_trades: dict[str, LiveTrade] = {}
        self._open_trades: dict[str, LiveTrade] = {}
        self._owners: dict[str, str] = {}
        """Key of the order, or `trade:` and the trade, by the venue's order id."""
        self._told: dict[tuple[str, int], tuple[BrokerEvent, EventFacts]] = {}
        self._loose: dict[str, frozenset[Evidence]] = {}
        """Evidence about orders of the venue that nobody has explained yet, by its order id."""
        self._keys: dict[int, str] = {}
        self._logs: dict[str, int] = {}
        self._through: dict[str, int] = {}
        self._beyond: dict[str, dict[int, bool]] = {}
        """Numbers heard above the first one missing."""
        self._money = MoneyFold()
        self._undo: list[Callable[[], None]] | None = None
        self._touched: tuple[dict[str, None], dict[str, None]] = ({}, {})
        self._dropped: dict[str, OrderRecord] = {}
        self.log_id: str | None = None

    # Reading

    @property
    def orders(self) -> Mapping[str, LiveOrder]:
        """Orders by key: the open ones, and those that ended since the book was made."""
        return MappingProxyType(self._live_orders)

    @property
    def open_orders(self) -> Mapping[str, LiveOrder]:
        """Orders that are not over, by key."""
        return MappingProxyType(self._open_orders)

    @property
    def trades(self) -> Mapping[str, LiveTrade]:
        """Open trades by the venue's reference."""
        return MappingProxyType(self._open_trades)

    @property
    def balance(self) -> Decimal:
        """Balance by the newest event that was heard."""
        return self._money.balance

    @property
    def cursor(self) -> int:
        """Events of the present log are complete up to here."""
        return self._through.get(self.log_id or "", 0)

    def has_heard(self, event: BrokerEvent) -> bool:
        """Say whether an event was folded in before; then it is stored as well."""
        through = self._through.get(event.log_id, -1)
        return event.seq <= through or event.seq in self._beyond.get(event.log_id, ())

    @property
    def has_hole(self) -> bool:
        """Whether a newer event of the present log was heard than the cursor's next."""
        return bool(self._beyond.get(self.log_id or ""))

    @property
    def newest(self) -> EventKey:
        """The newest event that was heard."""
        if self.log_id is None:
            return START
        return EventKey(self._rank(self.log_id), max([self.cursor, *self._beyond.get(self.log_id, ())]))

    @property
    def unresolved(self) -> frozenset[str]:
        """Symbols with an order whose outcome is not known."""
        return frozenset(order.symbol for order in self._open_orders.values() if order.status in IN_FLIGHT)

    def order(self, seq: int) -> LiveOrder | None:
        """Return an order of ours by its number."""
        key = self._keys.get(seq)
        return None if key is None else self._live_orders.get(key)

    def trade(self, trade_ref: str) -> LiveTrade | None:
        """Return a trade, closed ones since the book was made included."""
        return self._live_trades.get(trade_ref)

    def tightest_stop(self, trade_ref: str) -> float | None:
        """Return the best stop that a trade ever had; None: none is known."""
        file = self._trades.get(trade_ref)
        return None if file is None else file.tightest_stop()

    def is_explained(self, trade_ref: str) -> bool:
        """Say whether an event of the venue told how a trade was opened, and so by which order."""
        file = self._trades.get(trade_ref)
        return file is not None and file.is_explained

    def file(self, key: str) -> OrderFile | None:
        """Return all that is known about an order."""
        return self._orders.get(key)

    def is_overfilled(self, key: str) -> bool:
        """Say whether more was filled than the order was for."""
        return key in self._orders and self._orders[key].standing().is_overfilled

    def facts(self, event: BrokerEvent) -> EventFacts:
        """Return what an event says, as the broker's adapter reads it; each event is read once a batch."""
        key = (event.log_id, event.seq)
        found = self._told.get(key)
        if found is not None and found[0] is event:
            return found[1]
        if len(self._told) >= _TOLD:
            self._told.clear()
        facts = self._facts(event)
        self._told[key] = (event, facts)
        return facts

    def fills_of(self, event: BrokerEvent) -> tuple[Fill, ...]:
        """Return the fills that an event tells."""
        return self.facts(event).fills

    def log_of(self, key: EventKey) -> str | None:
        """Return the name of the log that a place is in."""
        return next((name for name, rank in self._logs.items() if rank == key.log), None)

    def key_of(self, log_id: str, seq: int) -> EventKey:
        """Return the place of an event."""
        return EventKey(self._rank(log_id), seq)

    # Changing

    def start_log(self, log_id: str, seq: int) -> None:
        """Begin to follow a numbering after `seq`; the fold of an older one stays."""
        self._set(vars(self), "log_id", log_id)
        self._rank(log_id)
        self._set(self._through, log_id, max(seq, self._through.get(log_id, 0)))

    @contextmanager
    def tentative(self) -> Iterator[None]:
        """Take every change inside the block back when it ends with an error."""
        self._undo, self._touched, self._dropped = [], ({}, {}), {}
        try:
            yield
        except BaseException:
            undo, self._undo = self._undo, None
            for take_back in reversed(undo):
                take_back()
            raise
        finally:
            self._undo = None

    def forget_ended(self, keep: int) -> None:
        """Forget the oldest orders and trades that are over, beyond `keep`; the journal has them when one is named."""
        openers = {trade.key for trade in self._open_trades.values()}
        over = [key for key in self._live_orders if key not in self._open_orders and key not in openers]
        for key in over[: max(0, len(over) - keep)]:
            file = self._orders.pop(key)
            self._live_orders.pop(key)
            for venue_order_id in file.venue_ids:
                self._owners.pop(venue_order_id, None)
            if file.plan is not None:
                self._keys.pop(file.plan.intent.seq, None)
        closed = [ref for ref in self._live_trades if ref not in self._open_trades]
        for ref in closed[: max(0, len(closed) - keep)]:
            for order_id in self._trades.pop(ref).guard_orders():
                self._owners.pop(order_id, None)
            self._live_trades.pop(ref)

    def touched(self) -> tuple[list[OrderRecord], list[PositionRecord]]:
        """Return the rows of what changed since `tentative` began."""
        orders = [self._orders[key].record(self._live_orders[key])
                  for key in self._touched[0] if key in self._live_orders]  # fmt: skip
        trades = [self._trades[ref].record(self._live_trades[ref])
                  for ref in self._touched[1] if ref in self._live_trades]  # fmt: skip
        return orders + list(self._dropped.values()), trades

    # Numbers

    def _rank(self, log_id: str) -> int:
        if log_id not in self._logs:
            self._set(self._logs, log_id, len(self._logs) + 1)
        return self._logs[log_id]

    def _heard(self, event: BrokerEvent) -> bool:
        """Note the number of an event; return whether it was noted before."""
        if self.log_id is None:
            self.start_log(event.log_id, 0)
        if event.log_id not in self._beyond:
            self._set(self._beyond, event.log_id, {})
        through, beyond = self._through.get(event.log_id, 0), self._beyond[event.log_id]
        if event.seq <= through or event.seq in beyond:
            return True
        self._set(beyond, event.seq, True)
        while through + 1 in beyond:
            through += 1
            self._set(beyond, through, None)
        self._set(self._through, event.log_id, through)
        return False

    # Owners

    def is_own(self, client_order_id: str | None) -> bool:
        """Say whether an id was made for this account by this installation."""
        parsed = parse_client_order_id(client_order_id)
        return parsed is not None and parsed[0] == self._lease.instance

    def _owner(self, client_order_id: str | None, venue_order_id: str | None) -> str | None:
        """Return the key of the order, or `trade:` and the trade, that ids belong to."""
        if client_order_id is not None and client_order_id in self._orders:
            return client_order_id
        return self._owners.get(venue_order_id or "")

    def _closing(self, trade_ref: str, key: EventKey) -> str | None:
        """Return the exit of ours under way on a trade, for a closing order without an id that is newer than it."""
        for name, live in self._open_orders.items():
            order = self._orders[name]
            if order.plan is None or live.status not in IN_FLIGHT or order.venue_ids:
                continue
            asked = place_attempt(order.evidence)
            if order.plan.intent.trade_ref == trade_ref and asked is not None and key > asked.after:
                return name
        return None

    def _learn_owner(self, venue_order_id: str, key: str, source: Source | None) -> list[AccountChange]:
        """Note whose a venue order is, and hand over what was known about it."""
        if self._owners.get(venue_order_id) == key:
            return []
        self._set(self._owners, venue_order_id, key)
        items = self._take_loose(venue_order_id)
        stranger = self._orders.get(f"{VENUE}{venue_order_id}")
        if stranger is not None and stranger.key != key:
            items |= stranger.evidence
            self._drop_order(stranger.key)
        return self._put_order(self._orders[key].with_evidence(items, source)) if items else []

    def _drop_order(self, key: str) -> None:
        """Forget a stranger that turned out to be ours; its row says that it is over."""
        live = self._live_orders.get(key)
        if live is not None:
            row = self._orders[key].record(replace(live, status=OrderStatus.CANCELED, reason="claimed"))
            self._set(self._dropped, key, row)
        tables: tuple[dict[str, Any], ...] = (self._orders, self._live_orders, self._open_orders)
        for table in tables:
            self._set(table, key, None)

    def _add_loose(self, venue_order_id: str, item: Evidence) -> None:
        present = self._loose.get(venue_order_id, frozenset())
        self._set(self._loose, venue_order_id, present | {item})

    def _take_loose(self, venue_order_id: str) -> frozenset[Evidence]:
        items = self._loose.get(venue_order_id, frozenset())
        if items:
            self._set(self._loose, venue_order_id, None)
        return items

    def _forget_loose(self) -> None:
        """Drop what nothing before it explained: once no number is missing it was not about an order of ours."""
        if self.has_hole or not self._loose:
            return
        if self.unresolved:
            return
        for venue_order_id in tuple(self._loose):
            self._set(self._loose, venue_order_id, None)

    # Files

    def _to_order(self, key: str, item: Evidence, source: Source, venue_order_id: str | None) -> list[AccountChange]:
        present = self._orders.get(key) or OrderFile(key)
        changes = self._put_order(present.with_evidence([item], source))
        return changes + ([] if venue_order_id is None else self._learn_owner(venue_order_id, key, source))

    def _put_order(self, order: OrderFile) -> list[AccountChange]:
        """Keep a file and return what it changed."""
        self._set(self._orders, order.key, order)
        if order.plan is not None:
            self._set(self._keys, order.plan.intent.seq, order.key)
        live = order.live(order.standing())
        old = self._live_orders.get(order.key)
        if live is None or live == old:
            return []
        self._set(self._live_orders, order.key, live)
        self._set(self._open_orders, order.key, None if live.status.is_terminal else live)
        self._touched[0][order.key] = None
        return [OrderMoved(live, None if old is None else old.status)]

    def _to_trade(self, trade_ref: str, item: TradeEvidence, opener: OrderFile | None = None) -> LiveTrade | None:
        present = self._trades.get(trade_ref, TradeFile(trade_ref))
        origin = None if opener is None else origin_of(opener)
        self._put_trade(present.with_evidence([item], origin))
        return self._live_trades.get(trade_ref)

    def _put_trade(self, trade: TradeFile) -> list[AccountChange]:
        self._set(self._trades, trade.trade_ref, trade)
        for order_id in trade.guard_orders():
            if order_id not in self._owners:
                self._set(self._owners, order_id, f"{TRADE}{trade.trade_ref}")
        live = trade.live()
        if live is not None and live != self._live_trades.get(trade.trade_ref):
            self._set(self._live_trades, trade.trade_ref, live)
            self._set(self._open_trades, trade.trade_ref, live if live.is_open else None)
        if live is not None:
            self._touched[1][trade.trade_ref] = None
        return []

    def _set_money(self, money: MoneyFold) -> None:
        self._set(vars(self), "_money", money)

    def _set(self, table: dict[Any, Any], key: Any, value: Any) -> None:
        """Set an entry, or remove it with None, leaving a way back; `Any` because each table has its own types."""
        if self._undo is not None:
            if key in table:
                old = table[key]
                self._undo.append(lambda: table.__setitem__(key, old))
            else:
                self._undo.append(lambda: table.pop(key, None))
        if value is None and table is not vars(self):
            table.pop(key, None)
        else:
            table[key] = value
