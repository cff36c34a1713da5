"""The ledger of a paper account: orders, trades, and the transaction that each change of the book becomes.

Separate from the commands: this half only records. `_tell` turns what the kernels changed into transactions in the
order it happened; `_publish` hands each batch to the sink first, so nobody hears of what is not stored.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from pydantic import TypeAdapter

from tradesentry.core.broker.base_broker import OrderReport, OrderRequest
from tradesentry.core.broker.paper_log import CANCEL_REASONS, EXIT_REASONS, EXPIRED, STRATEGY_EXIT
from tradesentry.core.broker.paper_memory import Change, Opened, PaperMemory, Reduced, Swapped
from tradesentry.core.domain.events import EventKind
from tradesentry.core.domain.live_orders import OrderStatus
from tradesentry.core.domain.money import ZERO, decimal_of
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.domain.venue import AccountState, OpenTrade, Position, Quote, VenueInstrument

Transaction = dict[str, Any]
Sink = Callable[[Sequence[Transaction]], None]
FILL_REASONS: Final = {
    OrderType.MARKET: "MARKET_ORDER",
    OrderType.LIMIT: "LIMIT_ORDER",
    OrderType.STOP: "STOP_ORDER",
}
GUARD_OF: Final = {"STOP_LOSS_ORDER": "stop_loss", "TAKE_PROFIT_ORDER": "take_profit"}


@dataclass(slots=True)
class PaperOrder:
    """An order and what became of it."""

    order_id: str
    request: OrderRequest
    status: OrderStatus = OrderStatus.ACCEPTED
    filled_units: Decimal = ZERO
    average_price: float | None = None
    trade_id: str | None = None
    reason: str = ""
    replaces: str | None = None
    replaced_by: str | None = None


@dataclass(slots=True)
class PaperTrade:
    """A trade, its position in the book, and the orders that guard it."""

    trade_id: str
    position_id: int
    market: int
    client_order_id: str | None
    order_id: str
    guards: dict[str, str] = field(default_factory=dict)
    """Order id of `stop_loss` and `take_profit`."""
    closing: str | None = None
    """Order id of a close that waits for the next open."""
    is_open: bool = True


_ORDERS: Final = TypeAdapter(list[PaperOrder])
_TRADES: Final = TypeAdapter(list[PaperTrade])


class PaperLedger:
    """What a paper account remembers. Arguments as `PaperVenue`."""

    def __init__(
        self,
        memory: PaperMemory,
        instruments: Sequence[VenueInstrument],
        *,
        account: str,
        log_id: str,
        currency: str,
        sink: Sink | None,
    ) -> None:
        self.memory, self.account, self.log_id, self.currency = memory, account, log_id, currency
        self.instruments = {item.instrument.symbol: item for item in instruments}
        self._symbols = list(self.instruments)
        self._sink = sink
        self.transactions: list[Transaction] = []
        self.quotes: dict[str, Quote] = {}
        self.orders: dict[str, PaperOrder] = {}
        self.trades: dict[str, PaperTrade] = {}
        self.listeners: list[Callable[[Transaction], None]] = []
        self.now_ns = 0
        self.epoch = 0
        self._balance = decimal_of(float(memory.account[0].balance))
        self._batch: list[Transaction] = []

    @property
    def last_seq(self) -> int:
        """Newest transaction number."""
        return len(self.transactions)

    def since(self, seq: int, *, limit: int = 1_000) -> list[Transaction]:
        """Return at most `limit` transactions after `seq`."""
        return self.transactions[seq : seq + limit]

    def find(self, spec: str) -> PaperOrder | None:
        """Return an order by its id, or the newest by `@` and the client's id."""
        if not spec.startswith("@"):
            return self.orders.get(spec)
        wanted = (order for order in reversed(self.orders.values()) if order.request.client_order_id == spec[1:])
        return next(wanted, None)

    # Writing

    def _write(self, kind: EventKind, **said: Any) -> str:
        """Append a transaction; return its number as text."""
        seq = self.last_seq + 1
        self._balance += decimal_of(said.get("amount", 0))
        transaction = {"seq": seq, "kind": kind.value, "ts_ns": self.now_ns, **said, "balance": f"{self._balance:f}"}
        self.transactions.append(transaction)
        self._batch.append(transaction)
        return str(seq)

    def _publish(self) -> list[Transaction]:
        """Store the transactions written since the last call, then tell the listeners; return them."""
        batch, self._batch = self._batch, []
        if batch and self._sink is not None:
            self._sink(batch)
        for transaction in batch:
            for listener in tuple(self.listeners):
                listener(transaction)
        return batch

    def _end(self, order: PaperOrder, reason: str) -> None:
        """Cancel or expire an order, by the reason."""
        is_late = reason == EXPIRED
        order.status, order.reason = (OrderStatus.EXPIRED if is_late else OrderStatus.CANCELED), reason
        kind = EventKind.ORDER_EXPIRED if is_late else EventKind.ORDER_CANCELED
        told = {"client_order_id": order.request.client_order_id or None, "replaced_by": order.replaced_by}
        self._write(kind, order_id=order.order_id, reason=reason, **told)

    def _guard(self, trade: PaperTrade, which: str, price: float | None, reason: str) -> None:
        """Replace, set or remove the stop or target of a trade in the log."""
        told = {"trade_id": trade.trade_id, "which": which, "client_order_id": trade.client_order_id}
        old = trade.guards.pop(which, None)
        if old is not None:
            why = "CLIENT_REQUEST_REPLACED" if price is not None else reason
            self._write(EventKind.PROTECTION, order_id=old, price=None, reason=why, **told)
        if price is not None:
            order_id = trade.guards[which] = str(self.last_seq + 1)
            why = "ON_FILL" if reason == "ON_FILL" else "REPLACEMENT" if old else "CLIENT_ORDER"
            self._write(EventKind.PROTECTION, order_id=order_id, price=price, reason=why, replaces=old, **told)

    def _tell(self, changes: Sequence[Change]) -> None:
        """Write what the kernels changed."""
        for change in changes:
            if isinstance(change, Opened):
                self._tell_opened(change)
            elif isinstance(change, Reduced):
                self._tell_reduced(change)
            elif isinstance(change, Swapped):
                trade = self._by_position(change.position_id)
                self._write(
                    EventKind.SWAP, trade_id=trade.trade_id, amount=f"{decimal_of(change.amount):f}", reason="FINANCING"
                )
            else:
                order = self.orders[str(change.tag)]
                self._end(order, CANCEL_REASONS.get(change.code, "INSUFFICIENT_LIQUIDITY"))

    def _tell_opened(self, change: Opened) -> None:
        order = self.orders[str(change.tag)]
        units = decimal_of(change.units)
        order.filled_units, order.average_price = order.filled_units + units, change.price
        order.status = OrderStatus.FILLED if order.filled_units >= order.request.units else OrderStatus.PARTLY_FILLED
        order.trade_id = trade_id = str(self.last_seq + 1)
        client = order.request.client_order_id or None
        trade = PaperTrade(trade_id, change.position_id, change.market, client, order.order_id)
        self.trades[trade_id] = trade
        self._write_fill(trade, order.order_id, client, change, reason=FILL_REASONS[order.request.type])
        for which, price in (("stop_loss", change.stop_loss), ("take_profit", change.take_profit)):
            if math.isfinite(price):
                self._guard(trade, which, price, "ON_FILL")

    def _tell_reduced(self, change: Reduced) -> None:
        trade = self._by_position(change.position_id)
        reason = EXIT_REASONS.get(change.reason, STRATEGY_EXIT)
        which = GUARD_OF.get(reason)
        closing, trade.closing = trade.closing, None
        order_id = (trade.guards.get(which) if which else closing) or str(self.last_seq + 1)
        self._write_fill(trade, order_id, None, change, reason=reason)
        if which:
            trade.guards.pop(which, None)
            if closing:
                self._write(EventKind.ORDER_CANCELED, order_id=closing, client_order_id=None, reason="TRADE_CLOSED")
        if change.is_closed:
            trade.is_open = False
            for other in tuple(trade.guards):
                self._guard(trade, other, None, "LINKED_TRADE_CLOSED")

    def _write_fill(
        self, trade: PaperTrade, order_id: str, client: str | None, change: Opened | Reduced, *, reason: str
    ) -> None:
        is_open = isinstance(change, Opened)
        commission = decimal_of(change.commission)
        realized = ZERO if isinstance(change, Opened) else decimal_of(change.realized)
        self.now_ns, present = max(change.ts_ns, 0), self.now_ns
        self._write(
            EventKind.ORDER_FILLED,
            order_id=order_id,
            client_order_id=client,
            trade_id=trade.trade_id,
            symbol=self._symbols[change.market],
            side=change.side if is_open else -change.side,
            units=f"{decimal_of(change.units):f}",
            price=change.price,
            commission=f"{commission:f}",
            realized=f"{realized:f}",
            effect="open" if is_open else "reduce",
            is_closed=isinstance(change, Reduced) and change.is_closed,
            r_multiple=change.r_multiple if isinstance(change, Reduced) else None,
            amount=f"{realized - commission:f}",
            reason=reason,
        )
        self.now_ns = present

    def _by_position(self, position_id: int) -> PaperTrade:
        return next(trade for trade in reversed(self.trades.values()) if trade.position_id == position_id)

    # Showing

    def free_margin(self) -> float:
        """Return the margin that is left, account currency."""
        return float(self.memory.account[0].free_margin)

    def report(self, order: PaperOrder) -> OrderReport:
        """Return an order as it stands."""
        request = order.request
        return OrderReport(
            venue_order_id=order.order_id,
            client_order_id=request.client_order_id or None,
            symbol=request.symbol,
            side=request.side,
            type=request.type,
            units=request.units,
            filled_units=order.filled_units,
            status=order.status,
            price=request.price,
            stop_loss=request.stop_loss,
            take_profit=request.take_profit,
            expires_ts_ns=request.expires_ts_ns,
            average_price=order.average_price,
            trade_ref=order.trade_id,
            reason=order.reason,
            replaces=order.replaces,
            replaced_by=order.replaced_by,
        )

    def resting(self) -> list[PaperOrder]:
        """Return the orders that are not filled, canceled or expired."""
        return [order for order in self.orders.values() if order.status is OrderStatus.ACCEPTED and order.request.price]

    def open_trades(self) -> list[OpenTrade]:
        """Return the open trades."""
        return [self._trade(t) for t in self.trades.values() if t.is_open]

    def _trade(self, trade: PaperTrade) -> OpenTrade:
        row: Any = self.memory.position(trade.market, trade.position_id)
        symbol = self._symbols[trade.market]
        side = Side(int(row.side))
        quote = self.quotes[symbol]
        gain = side * (quote.closing(side) - float(row.entry_price)) * float(row.units)
        memory = self.memory
        value = memory.matching.unit_value(memory.markets, trade.market, memory.desk, quote.bid, quote.ask)
        return OpenTrade(
            trade_id=trade.trade_id,
            symbol=symbol,
            side=side,
            units=decimal_of(float(row.units)),
            initial_units=decimal_of(float(row.initial_units)),
            entry_price=float(row.entry_price),
            entry_ts_ns=int(row.entry_ns),
            stop_loss=_finite(float(row.stop_loss)),
            take_profit=_finite(float(row.take_profit)),
            client_order_id=trade.client_order_id,
            initial_stop=_finite(float(row.initial_stop)),
            unrealized=decimal_of(gain * float(value)),
        )

    def state(self) -> AccountState:
        """Return the money of the account."""
        row = self.memory.account[0]
        balance, equity = decimal_of(float(row.balance)), decimal_of(float(row.equity))
        return AccountState(
            account=self.account,
            balance=balance,
            equity=equity,
            unrealized=equity - balance,
            margin_used=decimal_of(float(row.margin_used)),
            margin_free=decimal_of(float(row.free_margin)),
            currency=self.currency,
            log_id=self.log_id,
            last_seq=self.last_seq,
            is_hedging=True,
            as_of_ns=self.now_ns,
        )

    # Keeping

    def snapshot(self) -> dict[str, Any]:
        """Return everything but the transactions themselves; all JSON but the bytes of `memory`."""
        return {
            "memory": self.memory.save(),
            "last_seq": self.last_seq,
            "orders": _ORDERS.dump_python(list(self.orders.values()), mode="json"),
            "trades": _TRADES.dump_python(list(self.trades.values()), mode="json"),
            "balance": f"{self._balance:f}",
            "now_ns": self.now_ns,
            "epoch": self.epoch,
        }

    def restore(self, snapshot: Mapping[str, Any], transactions: Sequence[Transaction]) -> None:
        """Go on from a snapshot and the transactions up to it.

        Raises:
            StateMismatch: The snapshot was written with another record layout.
        """
        self.memory.load(snapshot["memory"])
        self.transactions = list(transactions[: snapshot["last_seq"]])
        self.orders = {order.order_id: order for order in _ORDERS.validate_python(snapshot["orders"])}
        self.trades = {trade.trade_id: trade for trade in _TRADES.validate_python(snapshot["trades"])}
        self._balance = Decimal(snapshot["balance"])
        self.now_ns, self.epoch = snapshot["now_ns"], snapshot["epoch"]
        for m, symbol in enumerate(self._symbols):
            row = self.memory.quotes[m]
            if row.n_bars > 0:
                self.quotes[symbol] = Quote(symbol, float(row.bid), float(row.ask), self.now_ns, self.now_ns)


def _finite(price: float) -> float | None:
    return price if math.isfinite(price) else None


def net_positions(trades: Sequence[OpenTrade]) -> list[Position]:
    """Return the net units and profit of trades, by instrument."""
    result = []
    for symbol in dict.fromkeys(trade.symbol for trade in trades):
        own = [trade for trade in trades if trade.symbol == symbol]
        units = sum((trade.side * trade.units for trade in own), ZERO)
        gross = float(sum((trade.units for trade in own), ZERO))
        average = sum(float(trade.units) * trade.entry_price for trade in own) / gross
        result.append(Position(symbol, units, average, sum((trade.unrealized for trade in own), ZERO)))
    return result
