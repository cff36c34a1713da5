"""MetaTrader 5 through the gateway, behind the broker port: httpx, nothing sent twice.

What a reply means is said by the gateway in the words of the port; what no reply means is decided here, from what has
left the machine. Requests are prepared on this side as well, so that what is asked and what is sent can be compared
before anything leaves. The stream compares every heartbeat with what it has seen and fetches what is missing.
"""

import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final, TypeVar
from urllib.parse import quote as quoted

import numpy as np

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
    contiguous_through,
    is_contiguous,
)
from tradesentry.core.broker.commands import CommandGate
from tradesentry.core.broker.http_client import HttpClient
from tradesentry.core.broker.mt5 import capabilities_of
from tradesentry.core.broker.mt5_gateway_messages import GatewayLink, need, outcome_of
from tradesentry.core.broker.mt5_messages import facts_of
from tradesentry.core.broker.mt5_words import Kind
from tradesentry.core.broker.paper_ledger import net_positions
from tradesentry.core.broker.port_json import Json, from_json, to_json
from tradesentry.core.broker.preparation import prepare_change, prepare_order, prepare_protection, units_to_close
from tradesentry.core.domain.clock import NS_PER_SECOND, Clock, ClockSample
from tradesentry.core.domain.errors import AccountMismatch, BrokerError, BrokerUnavailable, nearest
from tradesentry.core.domain.events import BrokerEvent, EventFacts, StreamDown
from tradesentry.core.domain.money import ZERO
from tradesentry.core.domain.orders import OrderType
from tradesentry.core.domain.records import BAR
from tradesentry.core.domain.venue import AccountState, OpenTrade, Position, Quote, VenueInstrument
from tradesentry.core.market.bars import BarArray
from tradesentry.core.utils.kernel import new_records

T = TypeVar("T", OrderReport, OpenTrade)
QUOTE_AGE_SECONDS: Final = 2.0
MAX_BACKOFF_SECONDS: Final = 30.0
DEAD_SECONDS: Final = {"quotes": 12.0, "events": 12.0}
"""Two heartbeats and some; silence after which a stream counts as dead."""


class Mt5GatewayBroker:
    """`BaseBroker` over a gateway.

    Args:
        link: The account.
        clock: Time.
        gate: Throttle, deadline and fence of commands.
        jitter: Random source of the reconnect delays.
        timeout_seconds: How long a reply is awaited; longer than the gateway waits for its terminal.
        tls: Whom to trust, where the machine's own list is not meant.
    """

    def __init__(
        self,
        link: GatewayLink,
        clock: Clock,
        *,
        gate: CommandGate | None = None,
        jitter: random.Random | None = None,
        timeout_seconds: float = 12.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.name, self.capabilities = "mt5_gateway", capabilities_of(is_hedging=link.is_hedging)
        self._link, self._clock, self._gate = link, clock, gate or CommandGate(clock)
        self._jitter = jitter or random.Random(0)  # noqa: S311 - spreads reconnects, guards nothing
        self._client = HttpClient(
            "The gateway",
            base_url=link.url,
            stream_url=link.url,
            headers={"Authorization": f"Bearer {link.token}"},
            clock=clock,
            timeout_seconds=timeout_seconds,
            dead_seconds=DEAD_SECONDS,
            tls=tls,
        )
        self.heard_at = self._client.heard_at
        self._items: dict[str, VenueInstrument] = {}
        self._quotes: dict[str, Quote] = {}
        self._log_id, self._host_offset_ns = "", 0
        self._is_closed = False

    # Reading

    async def connect(self) -> AccountState:
        """Read the account and prove that it is the linked one. See `BaseBroker`."""
        state, _, _ = await self._state()
        found = (state.account, state.environment, state.currency, state.is_hedging)
        wanted = (str(self._link.login), self._link.environment, self._link.currency, self._link.is_hedging)
        if found != wanted:
            shown = [(f"…{account[-3:]}", *rest) for account, *rest in (found, wanted)]
            raise AccountMismatch(
                f"The gateway's account is {shown[0]} (login, environment, currency, hedging) and the link says "
                f"{shown[1]}. Link the account anew, or point MT5_GATEWAY_URL at its gateway."
            )
        await self.instruments()
        await self.server_clock()
        self._log_id = state.log_id
        return state

    async def close(self) -> None:
        """Close all connections."""
        self._is_closed = True
        await self._client.close()

    async def server_clock(self) -> ClockSample:
        """Return how far the trade server's clock is from ours, by way of the gateway's."""
        start_ns, start = self._clock.now_ns(), self._clock.monotonic()
        said = await self._client.get("/v1/health")
        rtt_ns = round((self._clock.monotonic() - start) * NS_PER_SECOND)
        self._host_offset_ns = int(need(said, "now_ns")) - (start_ns + rtt_ns // 2)
        return ClockSample(int(need(said, "server_offset_ns")) + self._host_offset_ns, rtt_ns)

    async def instruments(self) -> Mapping[str, VenueInstrument]:
        """Return what can be traded, and remember it."""
        said = await self._client.get("/v1/symbols")
        items = [from_json(VenueInstrument, row) for row in need(said, "symbols")]
        self._items = {item.instrument.symbol: item for item in items}
        return dict(self._items)

    async def get_balance(self) -> AccountState:
        """Return the money of the account."""
        return (await self._state())[0]

    async def positions(self) -> Sequence[Position]:
        """Return net positions."""
        return net_positions(await self.open_trades())

    async def open_orders(self) -> Sequence[OrderReport]:
        """Return the resting entries."""
        return (await self._state())[1]

    async def open_trades(self) -> Sequence[OpenTrade]:
        """Return the open trades."""
        return (await self._state())[2]

    async def find_order(self, client_order_id: str) -> OrderReport | None:
        """Return the newest order with an id of ours."""
        said = await self._client.get(f"/v1/orders/{quoted(client_order_id, safe='')}")
        return None if need(said, "order") is None else from_json(OrderReport, said["order"])

    async def quote(self, instrument: str) -> Quote:
        """Return the present bid and ask."""
        said = await self._client.get("/v1/ticks", {"symbols": self._item(instrument).instrument.symbol})
        ticks = need(said, "ticks")
        if not ticks:
            raise BrokerUnavailable(f"The terminal shows no price of {instrument} yet. Wait for the first tick.")
        return self._heard(ticks[0])

    async def candles(self, instrument: str, *, granularity: str, start_ns: int, end_ns: int) -> BarArray:
        """Return complete bars. See `BaseBroker`."""
        query = {
            "symbol": self._item(instrument).instrument.symbol,
            "granularity": granularity,
            "start_ns": str(start_ns),
            "end_ns": str(end_ns),
        }
        said = await self._client.get("/v1/rates", query)
        rows, names = need(said, "bars"), need(said, "fields")
        bars = new_records(len(rows), BAR)
        for i, name in enumerate(names):
            bars[name] = np.array([row[i] for row in rows], BAR[name])
        return bars

    def facts(self, event: BrokerEvent) -> EventFacts:
        """Return what an event says."""
        return facts_of(event)

    async def events_since(self, seq: int) -> EventPage:
        """Return the events after `seq`."""
        said = await self._client.get("/v1/events", {"since": str(seq)})
        events = tuple(from_json(BrokerEvent, row) for row in need(said, "events"))
        last_seq = int(need(said, "last_seq"))
        is_complete = bool(need(said, "is_complete")) and is_contiguous(events, after=seq, last_seq=last_seq)
        return EventPage(events, last_seq, str(need(said, "log_id")), is_complete)

    async def _state(self) -> tuple[AccountState, list[OrderReport], list[OpenTrade]]:
        said = await self._client.get("/v1/state")
        orders = [from_json(OrderReport, row) for row in need(said, "orders")]
        trades = [from_json(OpenTrade, row) for row in need(said, "trades")]
        return from_json(AccountState, need(said, "account")), orders, trades

    def _item(self, symbol: str) -> VenueInstrument:
        if symbol not in self._items:
            raise BrokerError(
                f"{symbol!r} is not pinned to a symbol of this gateway. {nearest(symbol, self._items)}",
                code="unknown_instrument",
                retry="never",
            )
        return self._items[symbol]

    def _heard(self, tick: Json) -> Quote:
        """Return a tick with our time of arrival."""
        quote = from_json(Quote, tick | {"received_ts_ns": self._clock.now_ns()})
        self._quotes[quote.symbol] = quote
        return quote

    # Streams

    async def events(self) -> AsyncIterator[BrokerEvent | StreamDown]:
        """Yield events as they happen, and those that a gap, a stall or a reconnect has hidden."""
        seen: int | None = None
        log_id = self._log_id
        n_failures = 0
        while not self._is_closed:
            try:
                seen = (await self.get_balance()).last_seq if seen is None else seen
                query = {"since": str(seen), "follow": "true"}
                async with self._client.stream("events", "/v1/events", query) as lines:
                    async for said in lines:
                        n_failures = 0
                        kind, newest = said.get("type"), int(said.get("last_seq", 0))
                        if said.get("log_id", log_id) != log_id:
                            # Another numbering: everything in it is new.
                            log_id, seen = str(said["log_id"]), 0
                            yield StreamDown("events", "log_changed", self._clock.now_ns())
                        if kind == "down":
                            yield StreamDown("events", str(said.get("reason")), self._clock.now_ns())
                        elif kind == "event":
                            event = from_json(BrokerEvent, need(said, "event"))
                            yield event
                            seen, newest = contiguous_through([event], after=seen), event.seq
                        if newest > seen:
                            page = await self.events_since(seen)
                            for event in page.events:
                                yield event
                            seen = contiguous_through(page.events, after=seen)
            except BrokerError as error:
                if self._is_closed:
                    return
                yield StreamDown("events", error.code, self._clock.now_ns())
                n_failures += 1
                await self._back_off(n_failures)

    async def quotes(self, instruments: Sequence[str]) -> AsyncIterator[Quote | StreamDown]:
        """Yield quotes as they come."""
        query = {"symbols": ",".join(self._item(name).instrument.symbol for name in instruments), "follow": "true"}
        n_failures = 0
        while not self._is_closed:
            try:
                async with self._client.stream("quotes", "/v1/ticks", query) as lines:
                    async for said in lines:
                        n_failures = 0
                        if said.get("type") == "tick":
                            yield self._heard(need(said, "tick"))
                        elif said.get("type") == "down":
                            yield StreamDown("quotes", str(said.get("reason")), self._clock.now_ns())
            except BrokerError as error:
                if self._is_closed:
                    return
                yield StreamDown("quotes", error.code, self._clock.now_ns())
                n_failures += 1
                await self._back_off(n_failures)

    async def _back_off(self, n_failures: int) -> None:
        seconds = min(2.0 ** (n_failures - 1), MAX_BACKOFF_SECONDS)
        await self._clock.sleep(seconds * (0.5 + 0.5 * self._jitter.random()))

    # Commands

    async def place_order(self, order: OrderRequest) -> Outcome:
        """Place an entry. See `BaseBroker`."""
        item = self._items.get(order.symbol)
        if item is None:
            return NotSent("unknown_instrument", nearest(order.symbol, self._items))
        quote = await self._recent_quote(order.symbol) if order.type is OrderType.MARKET else None
        prepared = prepare_order(item, order, quote=quote)
        if isinstance(prepared, NotSent):
            return prepared
        request, rounded = prepared
        said = {"order": to_json(request)}
        return await self._command("place", order.stamp, order.client_order_id, said, rounded)

    async def replace_order(self, target: OrderRef, change: OrderChange) -> Outcome:
        """Change a resting order; it keeps its id."""
        present = await self._read_first(lambda: self._resting(target))
        if isinstance(present, (NotSent, Refused)):
            return present
        prepared = prepare_change(self._items[present.symbol], present, change)
        if isinstance(prepared, NotSent):
            return prepared
        said = {"target": to_json(target), "change": to_json(change)}
        return await self._command("replace", target.stamp, target.client_order_id, said, prepared[1])

    async def cancel_order(self, target: OrderRef) -> Outcome:
        """Cancel a resting order."""
        return await self._command("cancel", target.stamp, target.client_order_id, {"target": to_json(target)})

    async def close_trade(self, target: TradeRef, *, remaining_units: Decimal) -> Outcome:
        """Reduce a trade to `remaining_units`; the gateway takes the difference from a read of its own."""
        trade = await self._read_first(lambda: self._trade(target.trade_id))
        if isinstance(trade, (NotSent, Refused)):
            return trade
        units = units_to_close(self._items[trade.symbol], trade, remaining_units)
        if isinstance(units, NotSent):
            return units
        if units == ZERO:
            return Accepted(None)
        said = {"target": to_json(target), "remaining_units": f"{remaining_units:f}"}
        return await self._command("close", target.stamp, target.client_order_id, said)

    async def set_protection(self, target: TradeRef, *, stop_loss: float | None, take_profit: float | None) -> Outcome:
        """Move stop or target of a trade."""
        trade = await self._read_first(lambda: self._trade(target.trade_id))
        if isinstance(trade, (NotSent, Refused)):
            return trade
        item = self._items[trade.symbol]
        prepared = prepare_protection(item, trade, stop_loss=stop_loss, take_profit=take_profit)
        if isinstance(prepared, NotSent):
            return prepared
        if prepared == (None, None):
            return Accepted(None)
        said = {"target": to_json(target), "stop_loss": prepared[0], "take_profit": prepared[1]}
        return await self._command("protect", target.stamp, target.client_order_id, said)

    async def _recent_quote(self, symbol: str) -> Quote | None:
        """Return a quote young enough to check a stop against; None when there is none, the gateway checks again."""
        known = self._quotes.get(symbol)
        if known is not None and self._clock.now_ns() - known.received_ts_ns <= QUOTE_AGE_SECONDS * NS_PER_SECOND:
            return known
        try:
            return await self.quote(symbol)
        except BrokerError:
            return None

    async def _resting(self, target: OrderRef) -> OrderReport | None:
        for order in await self.open_orders():
            is_it = order.venue_order_id == target.venue_order_id
            if is_it or (target.venue_order_id is None and order.client_order_id == target.client_order_id):
                return order
        return None

    async def _trade(self, trade_id: str) -> OpenTrade | None:
        return next((trade for trade in await self.open_trades() if trade.trade_id == trade_id), None)

    async def _read_first(self, read: Callable[[], Awaitable[T | None]]) -> T | NotSent | Refused:
        """Return what a command has to know beforehand, or the outcome when it cannot be known."""
        try:
            found = await read()
        except BrokerError as error:
            return NotSent("read_failed", str(error))
        if found is None:
            return Refused("DOESNT_EXIST", "The terminal does not know the target any more.", RefusalClass.GONE)
        return found if found.symbol in self._items else NotSent("unknown_instrument", found.symbol)

    async def _command(
        self,
        kind: Kind,
        stamp: CommandStamp,
        client_order_id: str | None,
        said: Json,
        rounded: tuple[Rounding, ...] = (),
    ) -> Outcome:
        async def work(deadline: float) -> Outcome:
            left_ns = round((deadline - self._clock.monotonic()) * NS_PER_SECOND)
            body = {
                "log_id": self._log_id,
                "kind": kind,
                "client_order_id": client_order_id,
                "attempt": stamp.attempt,
                "epoch": stamp.epoch,
                "request": said,
                "expires_at": self._clock.now_ns() + left_ns + self._host_offset_ns,
            }
            reply = await self._client.send("POST", "/v1/orders", body, deadline=deadline)
            if isinstance(reply, (NotSent, Unknown)):
                return reply
            return outcome_of(reply, rounded, now_ns=self._clock.now_ns())

        return await self._gate.run(kind, stamp, work, is_protective=kind not in ("place", "replace"))
