"""Carry out commands at a terminal: read what they are about, keep the rules, and have them sent.

Everything here runs in the owner thread. Order of work: a repeated command is a question → epoch → preconditions →
rounding and local rules → the request, sent once → a look at the account. Entries are known again by their magic
number; exits name the position and only ever reduce it.
"""

from collections.abc import Callable
from decimal import Decimal

from tradesentry.core.broker.base_broker import (
    Accepted,
    NotSent,
    OrderChange,
    OrderRef,
    OrderReport,
    OrderRequest,
    Outcome,
    RefusalClass,
    Refused,
    TradeRef,
)
from tradesentry.core.broker.mt5_logs import CommandKey
from tradesentry.core.broker.mt5_messages import Symbol
from tradesentry.core.broker.mt5_reading import Mt5Reader
from tradesentry.core.broker.mt5_requests import change_body, close_body, entry_body, protection_body, remove_body
from tradesentry.core.broker.mt5_rules import freeze_problem, stop_problem, volume_problem
from tradesentry.core.broker.mt5_sending import Mt5Sender
from tradesentry.core.broker.mt5_terminal import Mt5Terminal
from tradesentry.core.broker.mt5_thread import Permit
from tradesentry.core.broker.preparation import prepare_change, prepare_order, prepare_protection, units_to_close
from tradesentry.core.domain.clock import Clock
from tradesentry.core.domain.errors import BrokerError, nearest
from tradesentry.core.domain.money import ZERO
from tradesentry.core.domain.orders import OrderType
from tradesentry.core.domain.venue import OpenTrade, Quote


class Mt5Desk:
    """Commands of one account.

    Args:
        terminal: The terminal.
        reader: What it shows.
        clock: Time.
        deviation_points: Slippage allowed on instant execution without a bound.
    """

    def __init__(self, terminal: Mt5Terminal, reader: Mt5Reader, clock: Clock, *, deviation_points: int) -> None:
        self._terminal, self._reader, self._clock = terminal, reader, clock
        self._sender = Mt5Sender(terminal, reader, clock)
        self._deviation_points = deviation_points
        self._n_unnamed = 0

    def place(self, order: OrderRequest, permit: Permit) -> Outcome:
        """Place an entry. See `BaseBroker`."""
        key = CommandKey(order.client_order_id, "place", order.stamp.attempt)
        known = self._sender.known(key, order.stamp)
        if known is not None:
            return known
        symbol = self._terminal.symbols.get(order.symbol)
        if symbol is None:
            return NotSent("unknown_instrument", nearest(order.symbol, self._terminal.symbols))
        quote = self._reader.quote(symbol)
        prepared = prepare_order(symbol.item, order, quote=quote)
        if isinstance(prepared, NotSent):
            return prepared
        request, rounded = prepared
        problem = self._entry_problem(symbol, request, quote)
        if problem is not None or quote is None:
            return problem or NotSent("no_quote", f"The terminal shows no price of {symbol.name}.")
        body = entry_body(
            symbol,
            request,
            price=quote.opening(request.side) if request.price is None else request.price,
            expires_s=self._expires_s(request),
            deviation_points=self._deviation_points,
        )
        return self._sender.send(
            key, body, permit, order.stamp, symbol=symbol, rounded=rounded, allow_partial=request.allow_partial
        )

    def replace(self, target: OrderRef, change: OrderChange, permit: Permit) -> Outcome:
        """Change a resting order; it keeps its ticket."""
        key = CommandKey(target.client_order_id, "replace", target.stamp.attempt)
        known = self._sender.known(key, target.stamp)
        if known is not None:
            return known
        found = self._reader.resting(target)
        if found is None:
            return _gone("ORDER_DOESNT_EXIST", target.client_order_id)
        ticket, symbol, present = found
        if change.units is not None and change.units != present.units:
            return NotSent("units_fixed", "MetaTrader 5 cannot change an order's volume. Cancel it and place another.")
        prepared = prepare_change(symbol.item, present, change)
        if isinstance(prepared, NotSent):
            return prepared
        request, rounded = prepared
        problem = self._change_problem(symbol, present) or stop_problem(symbol, request, self._reader.quote(symbol))
        if problem is not None:
            return problem
        body = change_body(symbol, ticket, request, expires_s=self._expires_s(request))
        outcome = self._sender.send(key, body, permit, target.stamp, symbol=symbol, rounded=rounded)
        return self._or_gone(outcome, lambda: self._reader.resting(target), "ORDER_DOESNT_EXIST")

    def cancel(self, target: OrderRef, permit: Permit) -> Outcome:
        """Cancel a resting order."""
        key = CommandKey(target.client_order_id, "cancel", target.stamp.attempt)
        known = self._sender.known(key, target.stamp)
        if known is not None:
            return known
        found = self._reader.resting(target)
        if found is None:
            return _gone("ORDER_DOESNT_EXIST", target.client_order_id)
        ticket, symbol, present = found
        problem = self._change_problem(symbol, present)
        if problem is not None:
            return problem
        body = remove_body(symbol, ticket)
        outcome = self._sender.send(key, body, permit, target.stamp, symbol=symbol)
        return self._or_gone(outcome, lambda: self._reader.resting(target), "ORDER_DOESNT_EXIST")

    def close(self, target: TradeRef, remaining_units: Decimal, permit: Permit) -> Outcome:
        """Reduce a trade to `remaining_units`, always by its ticket."""
        key = CommandKey(target.client_order_id or self._unnamed(target), "close", target.stamp.attempt)
        known = self._sender.known(key, target.stamp)
        if known is not None:
            return known
        found = self._reader.position(target.trade_id)
        if found is None:
            return _gone("TRADE_DOESNT_EXIST", target.trade_id)
        position, symbol, trade = found
        units = units_to_close(symbol.item, trade, remaining_units)
        if isinstance(units, NotSent):
            return units
        if units == ZERO:
            return Accepted(None)
        quote = self._reader.quote(symbol)
        if quote is None:
            return NotSent("no_quote", f"The terminal shows no price of {symbol.name}.")
        body = close_body(
            symbol,
            int(position.ticket),
            trade.side,
            min(symbol.volume(units), symbol.most),
            price=quote.closing(trade.side),
            client=target.client_order_id,
            deviation_points=self._deviation_points,
        )
        outcome = self._sender.send(key, body, permit, target.stamp, symbol=symbol, allow_partial=True)
        return self._or_gone(outcome, lambda: self._reader.position(target.trade_id), "TRADE_DOESNT_EXIST")

    def protect(
        self, target: TradeRef, permit: Permit, *, stop_loss: float | None, take_profit: float | None
    ) -> Outcome:
        """Move stop or target of a trade; what does not change is sent as it is, because 0 would remove it."""
        key = CommandKey(target.client_order_id or self._unnamed(target), "protect", target.stamp.attempt)
        known = self._sender.known(key, target.stamp)
        if known is not None:
            return known
        found = self._reader.position(target.trade_id)
        if found is None:
            return _gone("TRADE_DOESNT_EXIST", target.trade_id)
        position, symbol, trade = found
        prepared = prepare_protection(symbol.item, trade, stop_loss=stop_loss, take_profit=take_profit)
        if isinstance(prepared, NotSent):
            return prepared
        if prepared == (None, None):
            return Accepted(None)
        stop, aim = (new if new is not None else old for new, old in zip(prepared, _guards(trade), strict=True))
        problem = freeze_problem(symbol, trade, self._reader.quote(symbol))
        if problem is not None:
            return problem
        body = protection_body(symbol, int(position.ticket), stop, aim)
        outcome = self._sender.send(key, body, permit, target.stamp, symbol=symbol)
        return self._or_gone(outcome, lambda: self._reader.position(target.trade_id), "TRADE_DOESNT_EXIST")

    # Before sending

    def _unnamed(self, target: TradeRef) -> str:
        """Return a name of its own for a command that nobody can repeat by name; absolute targets need none."""
        self._n_unnamed += 1
        return f"trade:{target.trade_id}:{self._clock.now_ns()}:{self._n_unnamed}"

    def _entry_problem(self, symbol: Symbol, request: OrderRequest, quote: Quote | None) -> NotSent | Refused | None:
        if self._terminal.server_clock.problem:
            return NotSent("server_time", self._terminal.server_clock.problem)
        if quote is None:
            return NotSent("no_quote", f"The terminal shows no price of {symbol.name}.")
        price = quote.opening(request.side)
        bound = request.price_bound
        if request.type is OrderType.MARKET and bound is not None and request.side * (price - bound) > 0:
            return NotSent("bounds_violation", f"{symbol.symbol} opens at {price}, which is beyond the bound {bound}.")
        return stop_problem(symbol, request, quote) or volume_problem(self._terminal, symbol, request)

    def _expires_s(self, request: OrderRequest) -> int | None:
        expires = request.expires_ts_ns
        return self._terminal.server_clock.to_server_s(expires) if expires else None

    def _change_problem(self, symbol: Symbol, present: OrderReport) -> NotSent | None:
        return freeze_problem(symbol, present, self._reader.quote(symbol))

    def _or_gone(self, outcome: Outcome, read: Callable[[], object | None], code: str) -> Outcome:
        """Return a refusal as GONE when its target is not there any more."""
        if not isinstance(outcome, Refused) or outcome.kind is RefusalClass.GONE:
            return outcome
        try:
            is_there = read() is not None
        except BrokerError:
            return outcome
        return outcome if is_there else Refused(code, outcome.message, RefusalClass.GONE, outcome.events)


def _gone(code: str, what: str) -> Refused:
    return Refused(code, f"{what} is not at the terminal: filled, closed or canceled meanwhile.", RefusalClass.GONE)


def _guards(trade: OpenTrade) -> tuple[float | None, float | None]:
    return trade.stop_loss, trade.take_profit
