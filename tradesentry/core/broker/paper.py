"""The paper broker: `PaperVenue` behind the port that real venues have, with the delays and faults of a wire.

A fault of the wire never changes what the account does, only whether and when we hear of it; so a lost reply is
`Unknown` here as anywhere, although the venue sits in this process. Delays depend on a seed and a count alone.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any

from tradesentry.core.broker.base_broker import (
    Accepted,
    CommandStamp,
    EventPage,
    NotSent,
    OrderChange,
    OrderRef,
    OrderReport,
    OrderRequest,
    Outcome,
    RefusalClass,
    Refused,
    Rounding,
    TradeRef,
    Unknown,
)
from tradesentry.core.broker.commands import CommandGate
from tradesentry.core.broker.faults import FaultKind, FaultScript, Point
from tradesentry.core.broker.paper_ledger import Transaction, net_positions
from tradesentry.core.broker.paper_log import event_of, facts_of
from tradesentry.core.broker.paper_venue import PaperVenue, Refusal
from tradesentry.core.broker.paper_wire import (
    AFTER,
    BEFORE,
    CAPABILITIES,
    PAGE,
    REFUSALS,
    History,
    Latency,
    disturbed,
    disturbed_page,
)
from tradesentry.core.broker.preparation import prepare_change, prepare_order, prepare_protection, units_to_close
from tradesentry.core.domain.clock import Clock, ClockSample
from tradesentry.core.domain.errors import BrokerUnavailable, JournalUnavailable, LeaseLost, UsageError, nearest
from tradesentry.core.domain.events import BrokerEvent, EventFacts, StreamDown
from tradesentry.core.domain.money import ZERO
from tradesentry.core.domain.venue import AccountState, OpenTrade, Position, Quote, VenueInstrument
from tradesentry.core.market.bars import BarArray


class PaperBroker:
    """`BaseBroker` over a paper account.

    Args:
        venue: The account.
        clock: Time of the wire; quotes bring the venue's own.
        faults: What goes wrong on the wire.
        latency: Of commands; None is none.
        gate: Throttle, deadline and fence of commands.
        timeout_seconds: How long a reply is awaited.
        history: Complete bars by (symbol, granularity, start, end).
        keep: Stores what the account did; awaited before anybody hears of it.
    """

    def __init__(
        self,
        venue: PaperVenue,
        clock: Clock,
        *,
        faults: FaultScript | None = None,
        latency: Latency | None = None,
        gate: CommandGate | None = None,
        timeout_seconds: float = 10.0,
        history: History | None = None,
        keep: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.name, self.capabilities = "paper", CAPABILITIES
        self.venue, self.faults = venue, faults or FaultScript()
        self.n_requests = 0
        """Commands that reached the venue."""
        self._clock, self._latency, self._gate = clock, latency, gate or CommandGate(clock)
        self._timeout_seconds, self._history, self._keep = timeout_seconds, history, keep or _nothing
        self._late: set[asyncio.Task[None]] = set()
        self._event_queues: list[asyncio.Queue[BrokerEvent | None]] = []
        self._quote_queues: list[asyncio.Queue[Quote | None]] = []

    # Reading

    async def connect(self) -> AccountState:
        """Return the account. See `BaseBroker`."""
        return (await self._read("connect")).state()

    async def close(self) -> None:
        """End all streams and forget what was still to be executed late."""
        for queue in self._event_queues:
            queue.put_nowait(None)
        for listener in self._quote_queues:
            listener.put_nowait(None)
        for task in self._late:
            task.cancel()

    async def server_clock(self) -> ClockSample:
        """Return no offset: there is one clock."""
        return ClockSample(0, 0)

    async def instruments(self) -> Mapping[str, VenueInstrument]:
        """Return what can be traded."""
        return dict((await self._read()).instruments)

    async def get_balance(self) -> AccountState:
        """Return the money of the account."""
        return (await self._read()).state()

    async def positions(self) -> Sequence[Position]:
        """Return net positions."""
        return net_positions((await self._read()).open_trades())

    async def open_orders(self) -> Sequence[OrderReport]:
        """Return the resting entries."""
        venue = await self._read()
        return [venue.report(order) for order in venue.resting()]

    async def open_trades(self) -> Sequence[OpenTrade]:
        """Return the open trades."""
        return (await self._read()).open_trades()

    async def find_order(self, client_order_id: str) -> OrderReport | None:
        """Return the newest order with an id of ours."""
        venue = await self._read()
        order = venue.find(f"@{client_order_id}")
        return None if order is None else venue.report(order)

    async def quote(self, instrument: str) -> Quote:
        """Return the present bid and ask."""
        quotes = (await self._read("quotes")).quotes
        if instrument not in quotes:
            raise BrokerUnavailable(f"There is no quote of {instrument} yet. {nearest(instrument, quotes)}")
        return quotes[instrument]

    async def candles(self, instrument: str, *, granularity: str, start_ns: int, end_ns: int) -> BarArray:
        """Return complete bars from the history that the broker was given."""
        if self._history is None:
            raise UsageError("This paper account was given no history. Pass `history` when it is made.")
        return self._history(instrument, granularity, start_ns, end_ns)

    def facts(self, event: BrokerEvent) -> EventFacts:
        """Return what an event says."""
        return facts_of(event)

    async def events_since(self, seq: int) -> EventPage:
        """Return the events after `seq`, at most 1,000."""
        venue = await self._read()
        events = [self._event(row) for row in venue.since(seq, limit=PAGE)]
        fault = self.faults.draw(Point.PAGE, "events")
        return disturbed_page(events, fault, after=seq, last_seq=venue.last_seq, log_id=venue.log_id)

    async def events(self) -> AsyncIterator[BrokerEvent | StreamDown]:
        """Yield transactions as they happen."""
        queue: asyncio.Queue[BrokerEvent | None] = asyncio.Queue()

        def listen(transaction: Transaction) -> None:
            queue.put_nowait(self._event(transaction))

        self.venue.listeners.append(listen)
        self._event_queues.append(queue)
        try:
            while (event := await queue.get()) is not None:
                if not await self._is_kept():
                    yield StreamDown("events", "not stored", self._clock.now_ns())
                    continue
                fault = self.faults.draw(Point.STREAM, "events")
                async for heard in disturbed(event, fault, queue, clock=self._clock):
                    yield heard
        finally:
            self.venue.listeners.remove(listen)
            self._event_queues.remove(queue)

    async def quotes(self, instruments: Sequence[str]) -> AsyncIterator[Quote | StreamDown]:
        """Yield the quotes that `show` is given."""
        queue: asyncio.Queue[Quote | None] = asyncio.Queue()
        self._quote_queues.append(queue)
        try:
            while (quote := await queue.get()) is not None:
                if quote.symbol in instruments:
                    yield quote
        finally:
            self._quote_queues.remove(queue)

    def n_streams(self, stream: str) -> int:
        """Return how many listen to `events` or `quotes`."""
        return len(self._event_queues if stream == "events" else self._quote_queues)

    def show(self, quote: Quote) -> list[Transaction]:
        """Bring a price to the venue and to those who listen to quotes."""
        transactions = self.venue.on_quote(quote)
        for queue in self._quote_queues:
            queue.put_nowait(quote)
        return transactions

    def show_bars(self, bars: Mapping[str, Any]) -> list[Transaction]:
        """Bring the closed bars of one instant to the venue, and their closes to those who listen to quotes.

        Bars that were settled already are left out, so a restart may show them again.

        Args:
            bars: BAR record by symbol.
        """
        fresh = {symbol: bar for symbol, bar in bars.items() if bar["close_ns"] > self.venue.settled_ns(symbol)}
        if not fresh:
            return []
        transactions = self.venue.on_bars(fresh)
        for queue in self._quote_queues:
            for symbol in fresh:
                queue.put_nowait(self.venue.quotes[symbol])
        return transactions

    def _event(self, transaction: Transaction) -> BrokerEvent:
        venue = self.venue
        now = self._clock.now_ns()
        return event_of(transaction, account=venue.account, log_id=venue.log_id, received_ts_ns=now)

    async def _read(self, operation: str = "read") -> PaperVenue:
        fault = self.faults.draw(Point.WIRE, operation)
        if fault is not None:
            raise BrokerUnavailable(f"The paper venue could not be read: {fault.kind.value}. Try again.")
        if not await self._is_kept():
            raise BrokerUnavailable("The paper account could not be stored, so it tells nothing. Is PostgreSQL there?")
        return self.venue

    async def _is_kept(self) -> bool:
        """Store what is not stored yet, and say whether all is."""
        try:
            await self._keep()
        except JournalUnavailable:
            return False
        return True

    # Commands

    async def place_order(self, order: OrderRequest) -> Outcome:
        """Place an entry. See `BaseBroker`."""
        item = self.venue.instruments.get(order.symbol)
        if item is None:
            return NotSent("unknown_instrument", nearest(order.symbol, self.venue.instruments))
        prepared = prepare_order(item, order, quote=self.venue.quotes.get(order.symbol))
        if isinstance(prepared, NotSent):
            return prepared
        request, rounded = prepared
        return await self._command(
            "place", order.stamp, lambda: self.venue.place(request), order.client_order_id, rounded
        )

    async def replace_order(self, target: OrderRef, change: OrderChange) -> Outcome:
        """Change a resting order; its venue id changes."""
        spec = target.venue_order_id or f"@{target.client_order_id}"
        present = self.venue.find(spec)
        if present is None:
            return Refused("ORDER_DOESNT_EXIST", f"Nothing rests as {spec}.", RefusalClass.GONE)
        prepared = prepare_change(self.venue.instruments[present.request.symbol], self.venue.report(present), change)
        if isinstance(prepared, NotSent):
            return prepared
        request, rounded = prepared
        return await self._command(
            "replace", target.stamp, lambda: self.venue.replace(spec, request), target.client_order_id, rounded
        )

    async def cancel_order(self, target: OrderRef) -> Outcome:
        """Cancel a resting order."""
        spec = target.venue_order_id or f"@{target.client_order_id}"
        return await self._command("cancel", target.stamp, lambda: self.venue.cancel(spec), target.client_order_id)

    async def close_trade(self, target: TradeRef, *, remaining_units: Decimal) -> Outcome:
        """Reduce a trade to `remaining_units`."""
        trade = self._trade(target.trade_id)
        if trade is None:
            return Refused("TRADE_DOESNT_EXIST", f"Trade {target.trade_id} is not open.", RefusalClass.GONE)
        units = units_to_close(self.venue.instruments[trade.symbol], trade, remaining_units)
        if isinstance(units, NotSent):
            return units
        if units == ZERO:
            return Accepted(None)
        wanted = None if remaining_units == ZERO else units
        return await self._command("close", target.stamp, lambda: self.venue.close(target.trade_id, wanted))

    async def set_protection(self, target: TradeRef, *, stop_loss: float | None, take_profit: float | None) -> Outcome:
        """Move stop or target of a trade."""
        trade = self._trade(target.trade_id)
        if trade is None:
            return Refused("TRADE_DOESNT_EXIST", f"Trade {target.trade_id} is not open.", RefusalClass.GONE)
        item = self.venue.instruments[trade.symbol]
        prepared = prepare_protection(item, trade, stop_loss=stop_loss, take_profit=take_profit)
        if isinstance(prepared, NotSent):
            return prepared
        stop, aim = prepared
        if stop is None and aim is None:
            return Accepted(None)
        return await self._command(
            "protect", target.stamp, lambda: self.venue.protect(target.trade_id, stop_loss=stop, take_profit=aim)
        )

    def _trade(self, trade_id: str) -> OpenTrade | None:
        return next((trade for trade in self.venue.open_trades() if trade.trade_id == trade_id), None)

    async def _command(
        self,
        operation: str,
        stamp: CommandStamp,
        act: Callable[[], list[Transaction] | Refusal],
        client_order_id: str | None = None,
        rounded: tuple[Rounding, ...] = (),
    ) -> Outcome:
        async def work(_deadline: float) -> Outcome:
            sent_ts_ns = self._clock.now_ns()
            outcome = await self._exchange(operation, stamp, act, client_order_id, rounded)
            with suppress(LeaseLost):
                return outcome if await self._is_kept() else Unknown("not_stored", sent_ts_ns)
            return Unknown("lease_lost", sent_ts_ns)

        return await self._gate.run(operation, stamp, work, is_protective=operation not in ("place", "replace"))

    async def _exchange(
        self,
        operation: str,
        stamp: CommandStamp,
        act: Callable[[], list[Transaction] | Refusal],
        client_order_id: str | None,
        rounded: tuple[Rounding, ...],
    ) -> Outcome:
        """Send one command over the wire, with what goes wrong there."""
        fault = self.faults.draw(Point.WIRE, operation)
        kind = fault.kind if fault else None
        if kind is FaultKind.CONNECT_REFUSED:
            return NotSent("connect_refused")
        sent_ts_ns = self._clock.now_ns()
        self.n_requests += 1
        if self._latency is not None:
            await self._clock.sleep(self._latency.seconds(self.n_requests))
        if kind in BEFORE:
            if fault is not None and fault.value == "429":
                return Refused("RATE_LIMITED", "Too many requests.", RefusalClass.BACK_OFF)
            return Unknown(BEFORE[kind], sent_ts_ns)
        if kind is FaultKind.LATE and fault is not None:
            self._execute_later(fault.number, stamp, act)
            await self._clock.sleep(self._timeout_seconds)
            return Unknown("timeout", sent_ts_ns)
        outcome = self._outcome(stamp, act, client_order_id, rounded)
        if kind in AFTER:
            return Unknown(AFTER[kind], sent_ts_ns)
        wait = self._timeout_seconds if kind is FaultKind.NO_REPLY else 0.0
        wait = fault.number if fault is not None and kind is FaultKind.SLOW else wait
        if wait > 0.0:
            await self._clock.sleep(min(wait, self._timeout_seconds))
        if wait >= self._timeout_seconds:
            return Unknown("timeout", sent_ts_ns)
        return outcome

    def _execute_later(
        self, seconds: float, stamp: CommandStamp, act: Callable[[], list[Transaction] | Refusal]
    ) -> None:
        async def later() -> None:
            await self._clock.sleep(seconds)
            self._outcome(stamp, act, None, ())

        task = asyncio.create_task(later())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    def _outcome(
        self,
        stamp: CommandStamp,
        act: Callable[[], list[Transaction] | Refusal],
        client_order_id: str | None,
        rounded: tuple[Rounding, ...],
    ) -> Outcome:
        """Let the venue act and say what became of it, from its transactions."""
        venue = self.venue
        if stamp.epoch < venue.epoch:
            text = f"Epoch {stamp.epoch} is older than {venue.epoch}; another process owns the account."
            return Refused("STALE_EPOCH", text, RefusalClass.HALT)
        venue.epoch = stamp.epoch
        venue.now_ns = max(venue.now_ns, self._clock.now_ns())
        result = act()
        if isinstance(result, Refusal):
            events, kind = tuple(map(self._event, result.transactions)), REFUSALS.get(result.code, RefusalClass.FINAL)
            return Refused(result.code, f"The paper venue refused: {result.code}.", kind, events)
        events = tuple(self._event(row) for row in result)
        order = None if client_order_id is None else venue.find(f"@{client_order_id}")
        kinds = [row["kind"] for row in result]
        if order is not None and kinds[0] == "order_accepted" and order.reason and not order.filled_units:
            text = f"The paper venue canceled the order at once: {order.reason}."
            return Refused(order.reason, text, REFUSALS.get(order.reason, RefusalClass.FINAL), events)
        return Accepted(None if order is None else venue.report(order), events, rounded)


async def _nothing() -> None:
    """Keep nothing: nobody else will have the account."""
