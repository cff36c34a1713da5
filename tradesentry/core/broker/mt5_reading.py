"""Read an account at a terminal: orders, trades, quotes and bars as the port shows them.

Runs in the owner thread. Separate from the commands, which read before and after they send, and from the events: this
is what is there now, those are what has happened.
"""

from collections.abc import Sequence
from typing import Any, Final

from tradesentry.core.broker import mt5_constants as mt5
from tradesentry.core.broker.base_broker import OrderRef, OrderReport
from tradesentry.core.broker.mt5_messages import SERVER_MADE, Symbol, magic_of, read_order, read_quote, side_of
from tradesentry.core.broker.mt5_terminal import DAY_NS, Mt5Terminal
from tradesentry.core.domain.clock import Clock, ClockSample
from tradesentry.core.domain.errors import UsageError, nearest
from tradesentry.core.domain.live_orders import OrderStatus, parse_client_order_id
from tradesentry.core.domain.money import decimal_of
from tradesentry.core.domain.orders import OrderType
from tradesentry.core.domain.records import BAR
from tradesentry.core.domain.venue import OpenTrade, Quote
from tradesentry.core.market.bars import BarArray, normalize_timeframe, timeframe_ns
from tradesentry.core.utils.kernel import new_records

SEARCH_NS: Final = 30 * DAY_NS
"""How far back an order of unknown date is looked for."""
TIMEFRAMES: Final = {
    "M1": mt5.TIMEFRAME_M1, "M2": mt5.TIMEFRAME_M2, "M3": mt5.TIMEFRAME_M3, "M4": mt5.TIMEFRAME_M4,
    "M5": mt5.TIMEFRAME_M5, "M6": mt5.TIMEFRAME_M6, "M10": mt5.TIMEFRAME_M10, "M12": mt5.TIMEFRAME_M12,
    "M15": mt5.TIMEFRAME_M15, "M20": mt5.TIMEFRAME_M20, "M30": mt5.TIMEFRAME_M30, "H1": mt5.TIMEFRAME_H1,
    "H2": mt5.TIMEFRAME_H2, "H3": mt5.TIMEFRAME_H3, "H4": mt5.TIMEFRAME_H4, "H6": mt5.TIMEFRAME_H6,
    "H8": mt5.TIMEFRAME_H8, "H12": mt5.TIMEFRAME_H12, "D1": mt5.TIMEFRAME_D1, "W1": mt5.TIMEFRAME_W1,
}  # fmt: skip


class Mt5Reader:
    """Reads one account.

    Args:
        terminal: The terminal.
        clock: Time.
    """

    def __init__(self, terminal: Mt5Terminal, clock: Clock) -> None:
        self._terminal, self._clock = terminal, clock

    def quote(self, symbol: Symbol) -> Quote | None:
        """Return the newest tick of a symbol, None when there is none."""
        tick = self._terminal.call("symbol_info_tick", symbol.name)
        if not tick or not tick.time_msc:
            return None
        now_ns = self._clock.now_ns()
        server = self._terminal.server_clock
        server.look(symbol.symbol, int(tick.time_msc), now_ns=now_ns)
        ts_ns = server.to_utc_ns(int(tick.time_msc), near_ns=now_ns)
        return read_quote(symbol, tick, ts_ns=ts_ns, received_ts_ns=now_ns)

    def quotes(self, symbols: Sequence[str]) -> list[Quote]:
        """Return the newest ticks of pinned symbols, without those that have none."""
        found = (self.quote(self._terminal.symbols[symbol]) for symbol in symbols)
        return [quote for quote in found if quote is not None]

    def clock_sample(self) -> ClockSample:
        """Return how far the server's clock is from ours, by the newest fresh tick; 0 while the market is still."""
        start = self._clock.monotonic()
        self.quotes(list(self._terminal.symbols))
        rtt_ns = round((self._clock.monotonic() - start) * 1e9)
        server = self._terminal.server_clock
        if server.offset_ns is not None:
            return ClockSample(server.offset_ns, rtt_ns)
        newest_ns = server.newest_ns()
        return ClockSample(0 if newest_ns is None else max(0, newest_ns - self._clock.now_ns()), rtt_ns)

    def open_orders(self) -> list[OrderReport]:
        """Return the resting entries."""
        return [self._report(order) for order in self._terminal.call("orders_get")]

    def open_trades(self) -> list[OpenTrade]:
        """Return the open trades."""
        return [self._trade(position) for position in self._terminal.call("positions_get")]

    def resting(self, target: OrderRef) -> tuple[int, Symbol, OrderReport] | None:
        """Return ticket, symbol and report of a resting order, None when it does not rest."""
        orders = self._terminal.call("orders_get")
        if target.venue_order_id is not None:
            orders = [order for order in orders if str(order.ticket) == target.venue_order_id]
        else:
            orders = [order for order in orders if self._terminal.client_of(order.magic) == target.client_order_id]
        if not orders:
            return None
        order = max(orders, key=lambda order: int(order.ticket))
        return int(order.ticket), self._terminal.symbol_of(order.symbol), self._report(order)

    def position(self, trade_id: str) -> tuple[Any, Symbol, OpenTrade] | None:
        """Return position, symbol and trade of a trade's name, None when it is closed."""
        for position in self._terminal.call("positions_get"):
            if self._terminal.fold.ref(position.identifier) == trade_id:
                return position, self._terminal.symbol_of(position.symbol), self._trade(position)
        return None

    def find_order(self, client_order_id: str) -> OrderReport | None:
        """Return the newest order with an id of ours: resting, in history, or known by a deal alone."""
        if parse_client_order_id(client_order_id) is None:
            return None
        terminal, magic = self._terminal, magic_of(client_order_id)
        since_ns = terminal.outcomes.sent_at(client_order_id) or self._clock.now_ns() - SEARCH_NS
        window = terminal.window(since_ns)
        deals = [deal for deal in terminal.call("history_deals_get", *window) if _is_of(deal, magic)]
        past = [order for order in terminal.call("history_orders_get", *window) if _is_of(order, magic)]
        resting = [order for order in terminal.call("orders_get") if order.magic == magic]
        # A resting order may have been read into the history a moment before; the newest word on a ticket counts.
        orders = {order.ticket: order for order in (*past, *resting)}
        if orders:
            order = orders[max(orders)]
            return self._report(order, [deal for deal in deals if deal.order == order.ticket])
        return self._by_deal(deals, client_order_id) if deals else None

    def bars(self, symbol: Symbol, *, granularity: str, start_ns: int, end_ns: int) -> BarArray:
        """Return complete bars that open in [start_ns, end_ns).

        Raises:
            UsageError: MetaTrader has no such timeframe.
        """
        name = normalize_timeframe(granularity)
        if name not in TIMEFRAMES:
            raise UsageError(f"MetaTrader 5 has no bars of {granularity!r}. {nearest(name, TIMEFRAMES)}")
        server = self._terminal.server_clock
        window = (server.to_server_s(start_ns - DAY_NS), server.to_server_s(end_ns + DAY_NS))
        rates = self._terminal.call("copy_rates_range", symbol.name, TIMEFRAMES[name], *window)
        step_s, now_ns = timeframe_ns(name) // 1_000_000_000, self._clock.now_ns()
        rows = []
        for rate in rates:
            open_ns = server.to_utc_ns(int(rate["time"]) * 1_000)
            close_ns = server.to_utc_ns((int(rate["time"]) + step_s) * 1_000)
            if start_ns <= open_ns < end_ns and close_ns <= now_ns:
                prices = tuple(float(rate[key]) for key in ("open", "high", "low", "close"))
                spread = float(rate["spread"]) * symbol.point
                rows.append((open_ns, close_ns, *prices, float(rate["tick_volume"]), spread))
        bars = new_records(len(rows), BAR)
        for i, row in enumerate(sorted(rows)):
            bars[i] = row
        return bars

    def _report(self, order: Any, deals: Sequence[Any] = ()) -> OrderReport:
        terminal = self._terminal
        symbol = terminal.symbol_of(order.symbol)
        expires_ts_ns = int(terminal.fold.terms_of(order)[3])
        client = terminal.client_of(order.magic)
        return read_order(symbol, order, client=client, expires_ts_ns=expires_ts_ns, deals=deals)

    def _by_deal(self, deals: Sequence[Any], client: str) -> OrderReport:
        """Return what deals alone say of an order that the history does not show yet."""
        symbol = self._terminal.symbol_of(deals[0].symbol)
        volume = sum(deal.volume for deal in deals)
        return OrderReport(
            venue_order_id=str(deals[0].order),
            client_order_id=client,
            symbol=symbol.symbol,
            side=side_of(deals[0].type),
            type=OrderType.MARKET,
            units=symbol.units(volume),
            filled_units=symbol.units(volume),
            status=OrderStatus.FILLED,
            average_price=sum(deal.volume * deal.price for deal in deals) / volume,
            trade_ref=str(deals[0].position_id),
        )

    def _trade(self, position: Any) -> OpenTrade:
        terminal = self._terminal
        symbol, trade_id = terminal.symbol_of(position.symbol), terminal.fold.ref(position.identifier)
        units = symbol.units(position.volume)
        return OpenTrade(
            trade_id=trade_id,
            symbol=symbol.symbol,
            side=side_of(position.type),
            units=units,
            initial_units=max(units, terminal.fold.initial_units.get(trade_id, units)),
            entry_price=float(position.price_open),
            entry_ts_ns=terminal.server_clock.to_utc_ns(int(position.time_msc)),
            stop_loss=symbol.price(position.sl),
            take_profit=symbol.price(position.tp),
            client_order_id=terminal.client_of(position.magic),
            unrealized=decimal_of(position.profit) + decimal_of(position.swap),
        )


def _is_of(row: Any, magic: int) -> bool:
    """Say whether an order or deal carries a magic number by our own doing; the server's own may copy it."""
    return bool(row.magic == magic and row.reason not in SERVER_MADE)
