"""MetaTrader 5 in process, behind the broker port: for Windows hosts, and inside the gateway.

The package has no idempotency, no events, and clocks that lie; the session and its logs give it all three. Commands
pass the same gate as everywhere (throttle, deadline, fence) and then the one owner thread. Nothing is sent twice; an
entry whose outcome is not known is looked for by its magic number.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from tradesentry.core.broker.base_broker import (
    Capabilities,
    CommandStamp,
    EventPage,
    OrderChange,
    OrderRef,
    OrderReport,
    OrderRequest,
    Outcome,
    TradeRef,
)
from tradesentry.core.broker.commands import CommandGate
from tradesentry.core.broker.mt5_messages import Symbol, facts_of
from tradesentry.core.broker.mt5_orders import Mt5Desk
from tradesentry.core.broker.mt5_reading import Mt5Reader
from tradesentry.core.broker.mt5_session import MAX_BACKOFF_SECONDS, Mt5Session
from tradesentry.core.broker.mt5_thread import Permit
from tradesentry.core.broker.mt5_words import Kind
from tradesentry.core.broker.paper_ledger import net_positions
from tradesentry.core.domain.clock import Clock, ClockSample
from tradesentry.core.domain.errors import BrokerError, BrokerProtocolError, BrokerUnavailable, nearest
from tradesentry.core.domain.events import BrokerEvent, EventFacts, StreamDown
from tradesentry.core.domain.venue import AccountState, OpenTrade, Position, Quote, VenueInstrument
from tradesentry.core.market.bars import BarArray

QUOTE_SECONDS: Final = 0.25


def capabilities_of(*, is_hedging: bool) -> Capabilities:
    """Return what an account at a terminal can do."""
    return Capabilities(
        hedging=is_hedging,
        brackets=True,
        partial_close=True,
        replace=True,
        replace_keeps_id=True,
        native_trailing=False,
        native_exits=False,
        min_poll_seconds=0.2,
        dedupe_scope="always",
        absence_horizon_seconds=60.0,
        replace_units=False,
    )


class Mt5Broker:
    """`BaseBroker` over one terminal.

    Args:
        session: The terminal.
        clock: Time.
        gate: Throttle, deadline and fence of commands.
    """

    def __init__(self, session: Mt5Session, clock: Clock, *, gate: CommandGate | None = None) -> None:
        self.name, self.capabilities = "mt5", capabilities_of(is_hedging=session.link.is_hedging)
        self.session, self.heard_at = session, session.heard_at
        self._clock, self._gate = clock, gate or CommandGate(clock)
        self._reader = Mt5Reader(session.terminal, clock)
        self._desk = Mt5Desk(session.terminal, self._reader, clock, deviation_points=session.link.deviation_points)
        self._n_quote_streams = 0

    # Reading

    async def connect(self) -> AccountState:
        """Start the session, prove the account, and look at the server's clock. See `BaseBroker`."""
        state = await self.session.start()
        await self.server_clock()
        return state

    async def close(self) -> None:
        """Close the session."""
        await self.session.stop()

    async def server_clock(self) -> ClockSample:
        """Compare the newest fresh tick with our time."""
        return await self.session.run(self._reader.clock_sample)

    async def instruments(self) -> Mapping[str, VenueInstrument]:
        """Return the pinned symbols with the broker's present numbers."""
        symbols = await self.session.run(self.session.terminal.read_symbols)
        return {name: symbol.item for name, symbol in symbols.items()}

    async def get_balance(self) -> AccountState:
        """Return the money of the account."""
        return await self.session.run(self.session.terminal.state)

    async def positions(self) -> Sequence[Position]:
        """Return net positions."""
        return net_positions(await self.open_trades())

    async def open_orders(self) -> Sequence[OrderReport]:
        """Return the resting entries."""
        return await self.session.run(self._reader.open_orders)

    async def open_trades(self) -> Sequence[OpenTrade]:
        """Return the open trades."""
        return await self.session.run(self._reader.open_trades)

    async def snapshot(self) -> tuple[AccountState, list[OrderReport], list[OpenTrade]]:
        """Return account, orders and trades of one moment, with the last event that they contain."""

        def read() -> tuple[AccountState, list[OrderReport], list[OpenTrade]]:
            terminal = self.session.terminal
            while True:
                state = terminal.state()
                shown = self._reader.open_orders(), self._reader.open_trades()
                if not terminal.refresh():
                    return state, *shown

        return await self.session.run(read)

    async def find_order(self, client_order_id: str) -> OrderReport | None:
        """Return the newest order with an id of ours, by its magic number."""
        return await self.session.run(lambda: self._reader.find_order(client_order_id))

    async def quote(self, instrument: str) -> Quote:
        """Return the present bid and ask."""
        symbol = self._symbol(instrument)
        quote = await self.session.run(lambda: self._reader.quote(symbol))
        if quote is None:
            raise BrokerUnavailable(f"The terminal shows no price of {symbol.name} yet. Wait for the first tick.")
        return quote

    async def candles(self, instrument: str, *, granularity: str, start_ns: int, end_ns: int) -> BarArray:
        """Return complete bars. See `BaseBroker`."""
        symbol = self._symbol(instrument)
        return await self.session.run(
            lambda: self._reader.bars(symbol, granularity=granularity, start_ns=start_ns, end_ns=end_ns)
        )

    def facts(self, event: BrokerEvent) -> EventFacts:
        """Return what an event says."""
        return facts_of(event)

    async def events_since(self, seq: int) -> EventPage:
        """Look at the account, then return the events after `seq`."""
        await self.session.run(self.session.terminal.refresh)
        log = self.session.terminal.log
        if seq > log.last_seq:
            raise BrokerProtocolError(
                f"Event {seq} was asked for and the log ends at {log.last_seq}: it was lost, or this is another "
                "account. Take a full snapshot.",
                code="cursor_out_of_range",
            )
        page = log.page(seq)
        # Without its server the terminal shows what it knew, and what is looked for may have happened since.
        return replace(page, is_complete=page.is_complete and self.session.terminal.is_online)

    async def read_quotes(self, instruments: Sequence[str]) -> list[Quote]:
        """Return the present quotes of several instruments, without those that have none."""
        symbols = [self._symbol(name).symbol for name in instruments]
        return await self.session.run(lambda: self._reader.quotes(symbols))

    def _symbol(self, symbol: str) -> Symbol:
        symbols = self.session.terminal.symbols
        if symbol not in symbols:
            raise BrokerError(
                f"{symbol!r} is not pinned to a symbol of this terminal. {nearest(symbol, symbols)}",
                code="unknown_instrument",
                retry="never",
            )
        return symbols[symbol]

    # Streams

    async def events(self) -> AsyncIterator[BrokerEvent | StreamDown]:
        """Yield events as the poller finds them."""
        async for item in self.session.follow(self.session.terminal.log.last_seq):
            yield item

    async def quotes(self, instruments: Sequence[str]) -> AsyncIterator[Quote | StreamDown]:
        """Yield quotes whenever they have changed, looked at every 250 ms."""
        seen: dict[str, tuple[int, float, float]] = {}
        n_failures = 0
        self._n_quote_streams += 1
        try:
            while not self.session.is_closed:
                try:
                    for quote in await self.read_quotes(instruments):
                        shown = (quote.ts_ns, quote.bid, quote.ask)
                        if seen.get(quote.symbol) != shown:
                            seen[quote.symbol] = shown
                            yield quote
                    n_failures, self.heard_at["quotes"] = 0, self._clock.monotonic()
                except BrokerError as error:
                    n_failures += 1
                    if n_failures == 1:
                        yield StreamDown("quotes", error.code, self._clock.now_ns())
                wait = min(2.0 ** (n_failures - 1), MAX_BACKOFF_SECONDS) if n_failures else QUOTE_SECONDS
                await self._clock.sleep(wait)
        finally:
            self._n_quote_streams -= 1

    def n_streams(self, stream: str) -> int:
        """Return how many listen to `events` or `quotes`."""
        return self.session.n_followers if stream == "events" else self._n_quote_streams

    # Commands

    async def place_order(self, order: OrderRequest) -> Outcome:
        """Place an entry. See `BaseBroker`."""
        return await self._command("place", order.stamp, lambda permit: self._desk.place(order, permit))

    async def replace_order(self, target: OrderRef, change: OrderChange) -> Outcome:
        """Change a resting order; it keeps its id."""
        return await self._command("replace", target.stamp, lambda permit: self._desk.replace(target, change, permit))

    async def cancel_order(self, target: OrderRef) -> Outcome:
        """Cancel a resting order."""
        return await self._command("cancel", target.stamp, lambda permit: self._desk.cancel(target, permit))

    async def close_trade(self, target: TradeRef, *, remaining_units: Decimal) -> Outcome:
        """Reduce a trade to `remaining_units`, by its ticket."""
        return await self._command(
            "close", target.stamp, lambda permit: self._desk.close(target, remaining_units, permit)
        )

    async def set_protection(self, target: TradeRef, *, stop_loss: float | None, take_profit: float | None) -> Outcome:
        """Move stop or target of a trade."""
        return await self._command(
            "protect",
            target.stamp,
            lambda permit: self._desk.protect(target, permit, stop_loss=stop_loss, take_profit=take_profit),
        )

    async def _command(self, kind: Kind, stamp: CommandStamp, work: Callable[[Permit], Outcome]) -> Outcome:
        is_protective = kind not in ("place", "replace")

        async def send(deadline: float) -> Outcome:
            return await self.session.command(work, deadline=deadline, is_protective=is_protective)

        return await self._gate.run(kind, stamp, send, is_protective=is_protective)
