"""OANDA v20 behind the broker port: httpx, decisions from transactions, nothing sent twice.

A 201 means neither filled nor working; what became of an order is read from the transactions of the reply. The client
order id is no idempotency key at this venue, so an entry is sent once and then looked for. The event stream compares
every heartbeat with what it has seen and fetches what is missing.
"""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeVar

from tradesentry.core.broker.base_broker import (
    Accepted,
    Capabilities,
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
from tradesentry.core.broker.oanda_candles import fetch_candles
from tradesentry.core.broker.oanda_client import OandaClient
from tradesentry.core.broker.oanda_fills import read_filled_order
from tradesentry.core.broker.oanda_messages import (
    facts_of,
    need,
    read_account,
    read_event,
    read_instrument,
    read_order,
    read_position,
    read_quote,
    read_trade,
)
from tradesentry.core.broker.oanda_orders import close_body, order_body, outcome_of, trade_orders_body
from tradesentry.core.broker.preparation import prepare_change, prepare_order, prepare_protection, units_to_close
from tradesentry.core.domain.clock import Clock, ClockSample, parse_time_ns
from tradesentry.core.domain.errors import AccountMismatch, BrokerError, nearest
from tradesentry.core.domain.events import BrokerEvent, EventFacts, StreamDown
from tradesentry.core.domain.money import ZERO
from tradesentry.core.domain.orders import OrderType
from tradesentry.core.domain.venue import AccountState, OpenTrade, Position, Quote, VenueInstrument
from tradesentry.core.market.bars import BarArray

T = TypeVar("T", OrderReport, OpenTrade)
CAPABILITIES: Final = Capabilities(
    hedging=True,
    brackets=True,
    partial_close=True,
    replace=True,
    replace_keeps_id=False,
    native_trailing=True,
    native_exits=False,
    min_poll_seconds=1.0,
    dedupe_scope="pending_orders_and_open_trades",
    absence_horizon_seconds=60.0,
)
QUOTE_AGE_SECONDS: Final = 2.0
MAX_BACKOFF_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class OandaLink:
    """The account that was linked, and where it is."""

    account: str
    token: str
    base_url: str
    stream_url: str
    environment: str
    """practice or live."""
    currency: str
    is_hedging: bool


class OandaBroker:
    """`BaseBroker` over one OANDA account.

    Args:
        link: The account.
        clock: Time.
        gate: Throttle, deadline and fence of commands.
        jitter: Random source of the reconnect delays; one of the account's own when absent.
        timeout_seconds: How long a reply is awaited.
    """

    def __init__(
        self,
        link: OandaLink,
        clock: Clock,
        *,
        gate: CommandGate | None = None,
        jitter: random.Random | None = None,
        timeout_seconds: float = 10.0,
    ) -> None:
        self.name, self.capabilities = "oanda", CAPABILITIES
        self._link, self._clock, self._gate = link, clock, gate or CommandGate(clock)
        self._jitter = jitter or random.Random(link.account)  # noqa: S311 - spreads reconnects, guards nothing
        self._client = OandaClient(
            base_url=link.base_url,
            stream_url=link.stream_url,
            token=link.token,
            clock=clock,
            timeout_seconds=timeout_seconds,
        )
        self._path, self.heard_at = f"/v3/accounts/{link.account}", self._client.heard_at
        self._items: dict[str, VenueInstrument] = {}
        self._quotes: dict[str, Quote] = {}
        self._is_closed = False

    # Reading

    async def connect(self) -> AccountState:
        """Read the account and prove that it is the linked one. See `BaseBroker`."""
        said = await self._client.get(self._path)
        account = need(said, "account")
        state = self._account(account, said)
        if "mt4AccountID" in account:
            raise AccountMismatch(
                f"Account …{state.account[-3:]} is linked to MetaTrader 4, where orders must not carry our ids. "
                "Link another account."
            )
        found = (state.account[-3:], state.currency, state.is_hedging)
        wanted = (self._link.account[-3:], self._link.currency, self._link.is_hedging)
        if state.account != self._link.account or found != wanted:
            raise AccountMismatch(
                f"The account is (…{found[0]}, {found[1]}, hedging {found[2]}) and the link says (…{wanted[0]}, "
                f"{wanted[1]}, hedging {wanted[2]}). Link the account anew."
            )
        await self.instruments()
        return state

    async def close(self) -> None:
        """Close all connections."""
        self._is_closed = True
        await self._client.close()

    async def server_clock(self) -> ClockSample:
        """Compare the time of a pricing reply with ours."""
        start_ns, start = self._clock.now_ns(), self._clock.monotonic()
        name = next(iter(self._items.values())).venue_name if self._items else "EUR_USD"
        said = await self._client.get(f"{self._path}/pricing", {"instruments": name})
        rtt_ns = round((self._clock.monotonic() - start) * 1e9)
        return ClockSample(parse_time_ns(str(need(said, "time"))) - (start_ns + rtt_ns // 2), rtt_ns)

    async def instruments(self) -> Mapping[str, VenueInstrument]:
        """Return what can be traded, and remember it."""
        said = await self._client.get(f"{self._path}/instruments")
        items = [read_instrument(row) for row in need(said, "instruments")]
        self._items = {item.instrument.symbol: item for item in items}
        return dict(self._items)

    async def get_balance(self) -> AccountState:
        """Return the money of the account."""
        said = await self._client.get(f"{self._path}/summary")
        return self._account(need(said, "account"), said)

    async def positions(self) -> Sequence[Position]:
        """Return net positions."""
        said = await self._client.get(f"{self._path}/openPositions")
        return [read_position(row) for row in need(said, "positions")]

    async def open_orders(self) -> Sequence[OrderReport]:
        """Return the resting entries."""
        said = await self._client.get(f"{self._path}/pendingOrders")
        return [read_order(row) for row in need(said, "orders") if "instrument" in row]

    async def open_trades(self) -> Sequence[OpenTrade]:
        """Return the open trades."""
        said = await self._client.get(f"{self._path}/openTrades")
        return [read_trade(row) for row in need(said, "trades")]

    async def find_order(self, client_order_id: str) -> OrderReport | None:
        """Return the newest order with an id of ours."""
        return await self._order(f"@{client_order_id}")

    async def quote(self, instrument: str) -> Quote:
        """Return the present bid and ask."""
        said = await self._client.get(f"{self._path}/pricing", {"instruments": self._item(instrument).venue_name})
        quote = read_quote(need(said, "prices")[0], received_ts_ns=self._clock.now_ns())
        self._quotes[quote.symbol] = quote
        return quote

    async def candles(self, instrument: str, *, granularity: str, start_ns: int, end_ns: int) -> BarArray:
        """Return complete bars. See `BaseBroker`."""
        path = f"{self._path}/instruments/{self._item(instrument).venue_name}/candles"
        return await fetch_candles(self._client, path, granularity=granularity, start_ns=start_ns, end_ns=end_ns)

    def facts(self, event: BrokerEvent) -> EventFacts:
        """Return what an event says."""
        return facts_of(event)

    async def events_since(self, seq: int) -> EventPage:
        """Return the transactions after `seq`."""
        said = await self._client.get(f"{self._path}/transactions/sinceid", {"id": str(seq)})
        events = tuple(self._event(row) for row in need(said, "transactions"))
        last_seq = int(need(said, "lastTransactionID"))
        log_id = f"oanda:{self._link.account}"
        return EventPage(events, last_seq, log_id, is_contiguous(events, after=seq, last_seq=last_seq))

    def _account(self, account: Mapping[str, Any], said: Mapping[str, Any]) -> AccountState:
        last_id = said.get("lastTransactionID", account.get("lastTransactionID", 0))
        return read_account(account, last_id=last_id, environment=self._link.environment, as_of_ns=self._clock.now_ns())

    def _event(self, said: Mapping[str, Any]) -> BrokerEvent:
        return read_event(said, account=self._link.account, received_ts_ns=self._clock.now_ns())

    def _item(self, symbol: str) -> VenueInstrument:
        if symbol not in self._items:
            raise BrokerError(
                f"OANDA does not trade {symbol!r} on this account. {nearest(symbol, self._items)}",
                code="unknown_instrument",
                retry="never",
            )
        return self._items[symbol]

    async def _order(self, spec: str) -> OrderReport | None:
        try:
            said = need(await self._client.get(f"{self._path}/orders/{spec}"), "order")
            return await read_filled_order(self._client, self._path, said)
        except BrokerError as error:
            if error.code == "not_found":
                return None
            raise

    async def _trade(self, trade_id: str) -> OpenTrade | None:
        try:
            said = need(await self._client.get(f"{self._path}/trades/{trade_id}"), "trade")
        except BrokerError as error:
            if error.code == "not_found":
                return None
            raise
        return read_trade(said) if said.get("state") == "OPEN" else None

    # Streams

    async def events(self) -> AsyncIterator[BrokerEvent | StreamDown]:
        """Yield transactions as they happen, and those that a gap, a stall or a reconnect has hidden."""
        seen: int | None = None
        n_failures = 0
        while not self._is_closed:
            try:
                seen = (await self.get_balance()).last_seq if seen is None else seen
                async with self._client.stream("events", f"{self._path}/transactions/stream", {}) as lines:
                    newest = seen + 1 if n_failures else seen
                    while True:
                        if newest > seen:
                            # What still lacks after this is found by the next heartbeat.
                            page = await self.events_since(seen)
                            for event in page.events:
                                yield event
                            seen = contiguous_through(page.events, after=seen)
                        said = await anext(lines)
                        n_failures = 0
                        newest = int(said.get("lastTransactionID", 0))
                        if said.get("type") != "HEARTBEAT":
                            event = self._event(said)
                            yield event
                            seen, newest = contiguous_through([event], after=seen), event.seq
            except BrokerError as error:
                seen = None if error.code == "cursor_out_of_range" else seen  # that log is gone: begin at the end
                yield StreamDown("events", error.code, self._clock.now_ns())
                n_failures += 1
                await self._back_off(n_failures)

    async def quotes(self, instruments: Sequence[str]) -> AsyncIterator[Quote | StreamDown]:
        """Yield quotes as they come."""
        names = {"instruments": ",".join(self._item(symbol).venue_name for symbol in instruments), "snapshot": "true"}
        n_failures = 0
        while not self._is_closed:
            try:
                async with self._client.stream("quotes", f"{self._path}/pricing/stream", names) as lines:
                    async for said in lines:
                        n_failures = 0
                        if said.get("type") == "PRICE":
                            quote = read_quote(said, received_ts_ns=self._clock.now_ns())
                            self._quotes[quote.symbol] = quote
                            yield quote
            except BrokerError as error:
                yield StreamDown("quotes", error.code, self._clock.now_ns())
                n_failures += 1
                await self._back_off(n_failures)

    async def _back_off(self, n_failures: int) -> None:
        seconds = min(2.0 ** (n_failures - 1), MAX_BACKOFF_SECONDS)
        await self._clock.sleep(seconds * (0.5 + 0.5 * self._jitter.random()))

    # Commands

    async def place_order(self, order: OrderRequest) -> Outcome:
        """Place an entry. See `BaseBroker`."""
        if order.symbol not in self._items:
            return NotSent("unknown_instrument", nearest(order.symbol, self._items))
        item = self._items[order.symbol]
        quote = await self._recent_quote(order.symbol) if order.type is OrderType.MARKET else None
        prepared = prepare_order(item, order, quote=quote)
        if isinstance(prepared, NotSent):
            return prepared
        request, rounded = prepared
        body = order_body(item, request)
        return await self._command("place", order.stamp, "POST", "/orders", body, request, rounded)

    async def replace_order(self, target: OrderRef, change: OrderChange) -> Outcome:
        """Change a resting order; its venue id changes."""
        spec = target.venue_order_id or f"@{target.client_order_id}"
        present = await self._read_first(lambda: self._order(spec))
        if isinstance(present, (NotSent, Refused)):
            return present
        item = self._items[present.symbol]
        prepared = prepare_change(item, present, change)
        if isinstance(prepared, NotSent):
            return prepared
        request, rounded = prepared
        body = order_body(item, request)
        return await self._command("replace", target.stamp, "PUT", f"/orders/{spec}", body, request, rounded)

    async def cancel_order(self, target: OrderRef) -> Outcome:
        """Cancel a resting order."""
        spec = target.venue_order_id or f"@{target.client_order_id}"
        return await self._command("cancel", target.stamp, "PUT", f"/orders/{spec}/cancel", None)

    async def close_trade(self, target: TradeRef, *, remaining_units: Decimal) -> Outcome:
        """Reduce a trade to `remaining_units`, as a difference from a fresh read."""
        trade = await self._read_first(lambda: self._trade(target.trade_id))
        if isinstance(trade, (NotSent, Refused)):
            return trade
        item = self._items[trade.symbol]
        units = units_to_close(item, trade, remaining_units)
        if isinstance(units, NotSent):
            return units
        if units == ZERO:
            return Accepted(None)
        body = close_body(item, None if remaining_units == ZERO else units)
        return await self._command("close", target.stamp, "PUT", f"/trades/{trade.trade_id}/close", body)

    async def set_protection(self, target: TradeRef, *, stop_loss: float | None, take_profit: float | None) -> Outcome:
        """Move stop or target of a trade, after a fresh read."""
        trade = await self._read_first(lambda: self._trade(target.trade_id))
        if isinstance(trade, (NotSent, Refused)):
            return trade
        item = self._items[trade.symbol]
        prepared = prepare_protection(item, trade, stop_loss=stop_loss, take_profit=take_profit)
        if isinstance(prepared, NotSent):
            return prepared
        if prepared == (None, None):
            return Accepted(None)
        body = trade_orders_body(item, *prepared)
        return await self._command("protect", target.stamp, "PUT", f"/trades/{trade.trade_id}/orders", body)

    async def _recent_quote(self, symbol: str) -> Quote | None:
        """Return a quote young enough to check a stop against; None when there is none, the venue checks again."""
        known = self._quotes.get(symbol)
        if known is not None and self._clock.now_ns() - known.received_ts_ns <= QUOTE_AGE_SECONDS * 1e9:
            return known
        try:
            return await self.quote(symbol)
        except BrokerError:
            return None

    async def _read_first(self, read: Callable[[], Awaitable[T | None]]) -> T | NotSent | Refused:
        """Return what a command has to know beforehand, or the outcome when it cannot be known."""
        try:
            found = await read()
        except BrokerError as error:
            return NotSent("read_failed", str(error))
        if found is None:
            return Refused("DOESNT_EXIST", "OANDA does not know the target any more.", RefusalClass.GONE)
        return found if found.symbol in self._items else NotSent("unknown_instrument", found.symbol)

    async def _command(
        self,
        operation: str,
        stamp: CommandStamp,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        request: OrderRequest | None = None,
        rounded: tuple[Rounding, ...] = (),
    ) -> Outcome:
        async def work(deadline: float) -> Outcome:
            reply = await self._client.send(method, self._path + path, body, deadline=deadline)
            if isinstance(reply, (NotSent, Unknown)):
                return reply
            return outcome_of(reply, self._event, request=request, rounded=rounded, now_ns=self._clock.now_ns())

        return await self._gate.run(operation, stamp, work, is_protective=operation not in ("place", "replace"))
