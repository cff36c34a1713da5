"""Read what the terminal shows: its structures become the platform's values, its deals and orders become events.

Volumes are lots there and units here; times are the server's wall clock there and UTC here; both are translated once,
in this module. What an event says is decided when it is written, so `facts_of` is pure and needs no terminal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_DOWN, Decimal
from typing import Any, Final

from tradesentry.core.broker import mt5_constants as mt5
from tradesentry.core.broker.base_broker import OrderReport
from tradesentry.core.domain.errors import AccountMismatch, UsageError
from tradesentry.core.domain.events import BrokerEvent, EventFacts, EventKind, Fill, OrderTerms
from tradesentry.core.domain.instruments import Instrument, Kind
from tradesentry.core.domain.live_orders import (
    Effect,
    OrderStatus,
    client_order_id,
    order_number,
    parse_client_order_id,
)
from tradesentry.core.domain.money import ZERO, decimal_of
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.domain.venue import Quote, VenueInstrument
from tradesentry.core.market.instruments import INSTRUMENTS, canonical_symbol

SEQ_BITS: Final = 48
STATES: Final = {
    mt5.ORDER_STATE_CANCELED: OrderStatus.CANCELED,
    mt5.ORDER_STATE_PARTIAL: OrderStatus.PARTLY_FILLED,
    mt5.ORDER_STATE_FILLED: OrderStatus.FILLED,
    mt5.ORDER_STATE_REJECTED: OrderStatus.REJECTED,
    mt5.ORDER_STATE_EXPIRED: OrderStatus.EXPIRED,
}
"""Every other state is a working order."""
TYPES: Final = {
    mt5.ORDER_TYPE_BUY: OrderType.MARKET,
    mt5.ORDER_TYPE_SELL: OrderType.MARKET,
    mt5.ORDER_TYPE_BUY_LIMIT: OrderType.LIMIT,
    mt5.ORDER_TYPE_SELL_LIMIT: OrderType.LIMIT,
    mt5.ORDER_TYPE_BUY_STOP: OrderType.STOP,
    mt5.ORDER_TYPE_SELL_STOP: OrderType.STOP,
    mt5.ORDER_TYPE_BUY_STOP_LIMIT: OrderType.STOP,
    mt5.ORDER_TYPE_SELL_STOP_LIMIT: OrderType.STOP,
    mt5.ORDER_TYPE_CLOSE_BY: OrderType.MARKET,
}
SERVER_MADE: Final = {
    mt5.DEAL_REASON_SL: "STOP_LOSS_ORDER",
    mt5.DEAL_REASON_TP: "TAKE_PROFIT_ORDER",
    mt5.DEAL_REASON_SO: "MARKET_ORDER_MARGIN_CLOSEOUT",
}
"""Deals that the server makes, by reason; matched by position and never by magic. The words are OANDA's."""
TRADES: Final = (mt5.DEAL_TYPE_BUY, mt5.DEAL_TYPE_SELL)
TRANSFERS: Final = (mt5.DEAL_TYPE_BALANCE, mt5.DEAL_TYPE_CHARGE, mt5.DEAL_TYPE_CORRECTION)
NO_BALANCE: Final = (mt5.DEAL_TYPE_CREDIT, mt5.DEAL_TYPE_BONUS)
"""Deals that change the credit instead of the balance."""
NO_ENTRY: Final = (mt5.SYMBOL_TRADE_MODE_DISABLED, mt5.SYMBOL_TRADE_MODE_CLOSEONLY)
FX_MODES: Final = (mt5.SYMBOL_CALC_MODE_FOREX, mt5.SYMBOL_CALC_MODE_FOREX_NO_LEVERAGE)


def magic_of(client: str | None) -> int:
    """Return the number that carries an id of ours at the terminal; 0 when there is none.

    Raises:
        UsageError: Not an id of ours.
    """
    if client is None:
        return 0
    parts = parse_client_order_id(client)
    if parts is None:
        raise UsageError(f"{client!r} is no client order id, so it has no magic number. Make it by `client_order_id`.")
    return order_number(*parts)


def client_of(magic: int) -> str | None:
    """Return our id of a magic number. Numbers below 2**48 are other programs', which count from 1."""
    instance, seq = magic >> SEQ_BITS, magic & (1 << SEQ_BITS) - 1
    return client_order_id(instance, seq) if 0 < instance < 1 << 15 and seq > 0 else None


@dataclass(frozen=True, slots=True)
class Symbol:
    """A symbol of the terminal and the instrument that it is."""

    item: VenueInstrument
    contract: Decimal
    """Units of one lot."""
    step: Decimal
    """Least step of volumes, lots."""
    most: Decimal
    """Largest volume of one order, lots."""
    limit: Decimal
    """Largest volume in one direction, lots; 0 none."""
    point: float
    filling_mask: int
    is_market_execution: bool

    @property
    def name(self) -> str:
        """As the terminal spells it."""
        return self.item.venue_name

    @property
    def symbol(self) -> str:
        """Canonical."""
        return self.item.instrument.symbol

    def units(self, volume: float) -> Decimal:
        """Return the units of a volume in lots."""
        return (decimal_of(volume) * self.contract).normalize() + ZERO

    def volume(self, units: Decimal) -> Decimal:
        """Return the volume in lots on the step, rounded towards zero."""
        return (units / self.contract / self.step).to_integral_value(ROUND_DOWN) * self.step

    def price(self, price: float) -> float | None:
        """Return a stop, target or price of the terminal; 0 means none."""
        return round(price, self.item.price_digits) if price else None


def _digits(step: Decimal) -> int:
    return max(0, -int(step.normalize().as_tuple().exponent))


def read_symbol(info: Any, symbol: str) -> Symbol:
    """Return a symbol with the broker's numbers in place of the table's.

    Args:
        info: SymbolInfo.
        symbol: Canonical name that is pinned to it.
    """
    contract, step = decimal_of(info.trade_contract_size), decimal_of(info.volume_step)
    least, most = decimal_of(info.volume_min) * contract, decimal_of(info.volume_max) * contract
    units_step, stop_distance = step * contract, float(info.trade_stops_level * info.point)
    known = _known(info, symbol)
    item = replace(
        known,
        tick=float(info.trade_tick_size or info.point),
        contract_units=float(contract),
        unit_step=float(units_step),
        unit_min=float(least),
        unit_max=float(most),
        min_stop_pips=stop_distance / known.pip,
        triple_swap_weekday=(int(info.swap_rollover3days) - 1) % 7,
    )
    venue = VenueInstrument(
        instrument=item,
        venue_name=info.name,
        price_digits=int(info.digits),
        units_digits=_digits(units_step),
        unit_step=units_step,
        min_units=least,
        max_units=most,
        min_stop_distance=stop_distance,
        freeze_distance=float(info.trade_freeze_level * info.point),
        is_tradeable=info.trade_mode not in NO_ENTRY,
    )
    is_market = info.trade_exemode == mt5.SYMBOL_TRADE_EXECUTION_MARKET
    limit, most_lots = decimal_of(info.volume_limit), decimal_of(info.volume_max)
    return Symbol(venue, contract, step, most_lots, limit, float(info.point), int(info.filling_mode), is_market)


def _known(info: Any, symbol: str) -> Instrument:
    """Return the table's instrument, or one made of what the terminal says; with the broker's swaps where in points."""
    known = INSTRUMENTS.get(symbol)
    if known is None:
        pip = info.point * (10 if info.digits in (3, 5) else 1)
        kind: Kind = "fx" if info.trade_calc_mode in FX_MODES else "index"
        known = Instrument(symbol, kind, info.currency_base, info.currency_profit, info.point, round(pip, 10))
    if info.swap_mode != mt5.SYMBOL_SWAP_MODE_POINTS:
        return known
    scale = info.point / known.pip
    return replace(known, swap_long_pips=info.swap_long * scale, swap_short_pips=info.swap_short * scale)


def propose_symbols(infos: Sequence[Any]) -> dict[str, str]:
    """Return which symbol of the terminal each instrument of ours probably is, to be confirmed once and pinned.

    A name counts when its currencies are the instrument's; of several the shortest, which has the plainest suffix.

    Args:
        infos: SymbolInfo of all symbols.
    """
    found: dict[str, Any] = {}
    for info in sorted(infos, key=lambda info: (len(info.name), info.name), reverse=True):
        symbol = canonical_symbol(info.name)
        known = INSTRUMENTS.get(symbol)
        if known is None or info.trade_mode == mt5.SYMBOL_TRADE_MODE_DISABLED:
            continue
        is_fx = info.trade_calc_mode in FX_MODES
        if info.currency_profit != known.quote or (known.kind == "fx") != (is_fx and info.currency_base == known.base):
            continue
        found[symbol] = info
    return {symbol: found[symbol].name for symbol in sorted(found)}


def check_symbol(info: Any | None, symbol: str, name: str) -> None:
    """Check that a pinned symbol is what it was pinned as.

    Raises:
        AccountMismatch: It is absent or has other currencies.
    """
    known = INSTRUMENTS.get(symbol)
    if info is None:
        raise AccountMismatch(
            f"The terminal has no symbol {name!r}, which is pinned for {symbol}. Pin another one: "
            "`tradesentry mt5-gateway --symbols` lists what fits."
        )
    pair = (info.currency_base, info.currency_profit)
    if known is not None and known.kind == "fx" and pair != (known.base, known.quote):
        raise AccountMismatch(
            f"Symbol {name!r} trades {'/'.join(pair)}, and it is pinned for {symbol}. Pin the right one."
        )


def read_quote(symbol: Symbol, tick: Any, *, ts_ns: int, received_ts_ns: int) -> Quote:
    """Return a tick as a quote."""
    return Quote(
        symbol=symbol.symbol,
        bid=float(tick.bid),
        ask=float(tick.ask),
        ts_ns=ts_ns,
        received_ts_ns=received_ts_ns,
        is_tradeable=symbol.item.is_tradeable and 0 < tick.bid <= tick.ask,
    )


def read_order(
    symbol: Symbol, order: Any, *, client: str | None, expires_ts_ns: int, deals: Sequence[Any] = ()
) -> OrderReport:
    """Return an order, working or in history.

    Args:
        symbol: Of the order.
        order: TradeOrder.
        client: Our id, when it is ours.
        expires_ts_ns: Its expiry, ns UTC.
        deals: Its deals.
    """
    units = symbol.units(order.volume_initial)
    filled = symbol.units(order.volume_initial - order.volume_current)
    status = STATES.get(order.state, OrderStatus.ACCEPTED)
    if status is OrderStatus.PARTLY_FILLED and order.time_done_msc:
        status = OrderStatus.CANCELED
    volume = sum(deal.volume for deal in deals)
    average = sum(deal.volume * deal.price for deal in deals) / volume if volume else None
    return OrderReport(
        venue_order_id=str(order.ticket),
        client_order_id=client,
        symbol=symbol.symbol,
        side=side_of(order.type),
        type=TYPES.get(order.type, OrderType.MARKET),
        units=units,
        filled_units=filled if not deals else symbol.units(volume),
        status=status,
        price=None if TYPES.get(order.type) is OrderType.MARKET else symbol.price(order.price_open),
        stop_loss=symbol.price(order.sl),
        take_profit=symbol.price(order.tp),
        expires_ts_ns=expires_ts_ns,
        average_price=average,
        trade_ref=str(order.position_id) if order.position_id else None,
        reason="" if status in (OrderStatus.ACCEPTED, OrderStatus.PARTLY_FILLED, OrderStatus.FILLED) else status.name,
    )


def side_of(order_type: int) -> Side:
    """Return the side of an order, position or deal type; even ones buy."""
    return Side.BUY if order_type % 2 == 0 else Side.SELL


def raw(kind: str, value: Any) -> dict[str, Any]:
    """Return a structure of the terminal as JSON, every field as it came."""
    return {name: getattr(value, name) for name in mt5.STRUCTURES[kind]}


def facts_of(event: BrokerEvent) -> EventFacts:
    """Return what an event of a terminal says."""
    said = event.payload
    trade, client = said.get("trade_ref"), said.get("client_order_id")
    return EventFacts(
        kind=event.kind,
        venue_order_id=said.get("order_id"),
        client_order_id=client,
        trade_ref=trade,
        reason=said.get("reason", ""),
        fills=_fills(event) if event.kind is EventKind.ORDER_FILLED else (),
        which=said.get("which"),
        price=said.get("price") if event.kind is EventKind.PROTECTION else None,
        amount=Decimal(said.get("amount", "0")),
        terms=_order_terms(said) if event.kind is EventKind.ORDER_ACCEPTED else None,
    )


def _order_terms(said: Mapping[str, Any]) -> OrderTerms:
    """Return the terms of an order that an event shows; 0 is none."""
    price, stop_loss, take_profit, expires_ts_ns = said["terms"]
    kind = OrderType[said["order_type"].upper()]
    return OrderTerms(
        symbol=said["symbol"],
        side=Side(said["side"]),
        units=Decimal(said["units"]),
        type=kind,
        price=None if kind is OrderType.MARKET else price,
        stop_loss=stop_loss or None,
        take_profit=take_profit or None,
        expires_ts_ns=expires_ts_ns,
    )


def _fills(event: BrokerEvent) -> tuple[Fill, ...]:
    """Return one fill per trade that a deal touched; money is shown with the first."""
    said: Mapping[str, Any] = event.payload
    return tuple(
        Fill(
            account=event.account,
            fill_id=said["fill_id"],
            leg=leg,
            venue_order_id=said["order_id"],
            client_order_id=said["client_order_id"],
            trade_ref=part["trade_ref"],
            symbol=said["symbol"],
            side=Side(said["side"]),
            units=Decimal(part["units"]),
            price=float(said["price"]),
            commission=Decimal(said["commission"]) if leg == 0 else ZERO,
            swap=Decimal(said["swap"]) if leg == 0 else ZERO,
            realized=Decimal(said["realized"]) if leg == 0 else ZERO,
            ts_ns=event.ts_ns,
            effect=Effect(part["effect"]),
        )
        for leg, part in enumerate(said["legs"])
    )
