"""Read what OANDA says: replies, stream lines and transactions become the platform's values.

Lenient on purpose, because the published description is old: unknown fields are ignored, unknown words are kept, ids
may be numbers, and a transaction of an unknown type is an event of kind OTHER. What must be there and is not raises
`BrokerProtocolError`.
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from tradesentry.core.broker.base_broker import OrderReport
from tradesentry.core.domain.clock import parse_time_ns
from tradesentry.core.domain.errors import BrokerProtocolError
from tradesentry.core.domain.events import BrokerEvent, EventFacts, EventKind, Fill, OrderTerms
from tradesentry.core.domain.instruments import Instrument, Kind
from tradesentry.core.domain.live_orders import Effect, OrderStatus
from tradesentry.core.domain.money import ZERO, decimal_of
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.domain.venue import AccountState, OpenTrade, Position, Quote, VenueInstrument
from tradesentry.core.market.instruments import INSTRUMENTS, canonical_symbol

Json = Mapping[str, Any]
KINDS: Final = {
    "ORDER_FILL": EventKind.ORDER_FILLED,
    "ORDER_CANCEL": EventKind.ORDER_CANCELED,
    "DAILY_FINANCING": EventKind.SWAP,
    "TRANSFER_FUNDS": EventKind.TRANSFER,
}
ENTRIES: Final = ("MARKET", "LIMIT", "STOP", "MARKET_IF_TOUCHED", "FIXED_PRICE")
GUARDS: Final = {"STOP_LOSS": "stop_loss", "TAKE_PROFIT": "take_profit", "TRAILING_STOP_LOSS": "trailing_stop_loss"}
TYPES: Final = {"MARKET": OrderType.MARKET, "LIMIT": OrderType.LIMIT, "STOP": OrderType.STOP}
STATES: Final = {
    "PENDING": OrderStatus.ACCEPTED,
    "FILLED": OrderStatus.FILLED,
    "TRIGGERED": OrderStatus.FILLED,
    "CANCELLED": OrderStatus.CANCELED,
}
ASSETS: Final[Mapping[str, Kind]] = {"CURRENCY": "fx", "METAL": "metal", "CFD": "index"}


def need(said: Json, name: str) -> Any:
    """Return a field that has to be there.

    Raises:
        BrokerProtocolError: It is not.
    """
    if name not in said:
        raise BrokerProtocolError(
            f"OANDA left out {name!r} in {dict(said)!r:.200}. Nothing is concluded from that message; reconcile."
        )
    return said[name]


def _side(units: Decimal) -> Side:
    return Side.BUY if units > 0 else Side.SELL


def _number(said: Json, name: str) -> Decimal:
    return decimal_of(said.get(name, 0) or 0)


def _price(said: Json | None) -> float | None:
    return None if said is None or "price" not in said else float(said["price"])


def _client_id(said: Json, name: str = "clientExtensions") -> str | None:
    value = (said.get(name) or {}).get("id")
    return None if value is None else str(value)


def event_kind(said: Json) -> EventKind:
    """Return what kind of event a transaction is."""
    kind = str(said.get("type", ""))
    if kind == "ORDER_CANCEL" and said.get("reason") == "TIME_IN_FORCE_EXPIRED":
        return EventKind.ORDER_EXPIRED
    if kind in KINDS:
        return KINDS[kind]
    head, is_reject = kind.removesuffix("_REJECT"), kind.endswith("_REJECT")
    name = head.removesuffix("_ORDER")
    if is_reject and (head == "ORDER_CANCEL" or name in GUARDS):
        return EventKind.CHANGE_REFUSED
    if name in ENTRIES and head.endswith("_ORDER"):
        return EventKind.ORDER_REJECTED if is_reject else EventKind.ORDER_ACCEPTED
    return EventKind.PROTECTION if name in GUARDS else EventKind.OTHER


def read_event(said: Json, *, account: str, received_ts_ns: int) -> BrokerEvent:
    """Return a transaction as an event; OANDA's log of an account has one numbering for good."""
    return BrokerEvent(
        account=account,
        log_id=f"oanda:{account}",
        seq=int(need(said, "id")),
        kind=event_kind(said),
        payload=said,
        ts_ns=parse_time_ns(str(need(said, "time"))),
        received_ts_ns=received_ts_ns,
    )


def _fills(event: BrokerEvent) -> tuple[Fill, ...]:
    """Return one fill per trade that an ORDER_FILL touched; the commission is shown with the first."""
    said = event.payload
    opened, reduced = said.get("tradeOpened"), said.get("tradeReduced")
    parts = [(Effect.OPEN, opened)] if opened else []
    parts += [(Effect.REDUCE, part) for part in ([reduced] if reduced else []) + list(said.get("tradesClosed") or ())]
    client = said.get("clientOrderID")
    return tuple(
        Fill(
            account=event.account,
            fill_id=str(event.seq),
            leg=leg,
            venue_order_id=str(said.get("orderID", "")),
            client_order_id=None if client is None else str(client),
            trade_ref=str(need(part, "tradeID")),
            symbol=canonical_symbol(str(need(said, "instrument"))),
            side=_side(decimal_of(need(part, "units"))),
            units=abs(decimal_of(need(part, "units"))),
            price=float(part.get("price") or need(said, "price")),
            commission=_number(said, "commission") if leg == 0 else ZERO,
            swap=_number(part, "financing"),
            realized=_number(part, "realizedPL"),
            ts_ns=event.ts_ns,
            effect=effect,
        )
        for leg, (effect, part) in enumerate(parts)
    )


def _amount(kind: EventKind, said: Json) -> Decimal:
    if kind is EventKind.ORDER_FILLED:
        fees = _number(said, "commission") + _number(said, "guaranteedExecutionFee")
        return _number(said, "pl") + _number(said, "financing") - fees
    if kind is EventKind.SWAP:
        return _number(said, "financing")
    return _number(said, "amount") if kind is EventKind.TRANSFER else ZERO


def _order_terms(said: Json) -> OrderTerms | None:
    if "units" not in said or "instrument" not in said:
        return None
    units = decimal_of(said["units"])
    return OrderTerms(
        symbol=canonical_symbol(str(said["instrument"])),
        side=_side(units),
        units=abs(units),
        type=TYPES.get(str(said.get("type", "")).removesuffix("_ORDER"), OrderType.MARKET),
        price=_price(said),
        stop_loss=_price(said.get("stopLossOnFill")),
        take_profit=_price(said.get("takeProfitOnFill")),
        expires_ts_ns=parse_time_ns(str(said.get("gtdTime", "0"))),
    )


def _swaps(said: Json) -> tuple[tuple[str, Decimal], ...]:
    """Return the financing of each trade, where OANDA breaks it down."""
    positions = said.get("positionFinancings") or ()
    trades = (trade for position in positions for trade in position.get("openTradeFinancings") or ())
    return tuple((str(need(trade, "tradeID")), _number(trade, "financing")) for trade in trades)


def facts_of(event: BrokerEvent) -> EventFacts:
    """Return what one transaction says."""
    said = event.payload
    kind = event.kind
    is_order = kind in (EventKind.ORDER_ACCEPTED, EventKind.PROTECTION)
    venue_order = str(event.seq) if is_order else said.get("orderID")
    client = said.get("clientOrderID") or _client_id(said)
    trade = said.get("tradeID") or (said.get("tradeClose") or {}).get("tradeID")
    trade = trade or (said.get("tradeOpened") or {}).get("tradeID")
    name = str(said.get("type", "")).removesuffix("_REJECT").removesuffix("_ORDER")
    replaces, replaced_by = said.get("replacesOrderID"), said.get("replacedByOrderID")
    return EventFacts(
        kind=kind,
        venue_order_id=None if venue_order is None else str(venue_order),
        client_order_id=None if client is None else str(client),
        trade_ref=None if trade is None else str(trade),
        replaces=None if replaces is None else str(replaces),
        replaced_by=None if replaced_by is None else str(replaced_by),
        reason=str(said.get("rejectReason") or said.get("reason") or ""),
        fills=_fills(event) if kind is EventKind.ORDER_FILLED else (),
        which=GUARDS.get(name),
        price=_price(said) if kind is EventKind.PROTECTION else None,
        amount=_amount(kind, said),
        balance=decimal_of(said["accountBalance"]) if "accountBalance" in said else None,
        terms=_order_terms(said) if kind is EventKind.ORDER_ACCEPTED else None,
        swaps=_swaps(said) if kind is EventKind.SWAP else (),
    )


def read_instrument(said: Json) -> VenueInstrument:
    """Return an instrument with OANDA's numbers in place of the table's."""
    name = str(need(said, "name"))
    base, _, quote = name.partition("_")
    price_digits, units_digits = int(need(said, "displayPrecision")), int(said.get("tradeUnitsPrecision", 0))
    step = Decimal(1).scaleb(-units_digits)
    symbol = canonical_symbol(name)
    tick, pip = 10.0**-price_digits, 10.0 ** int(need(said, "pipLocation"))
    kind = ASSETS.get(str(said.get("type")), "index")
    known = INSTRUMENTS.get(symbol) or Instrument(symbol, kind, base, quote, tick, pip)
    least, most = decimal_of(said.get("minimumTradeSize", 1)), decimal_of(said.get("maximumOrderUnits", 100_000_000))
    item = replace(
        known,
        tick=round(tick, price_digits),
        pip=round(pip, 10),
        unit_step=float(step),
        unit_min=float(least),
        unit_max=float(most),
        margin_fraction=float(said.get("marginRate", known.margin_fraction)),
    )
    # "0" says that a position may be of any size.
    room = _number(said, "maximumPositionSize") or None
    return VenueInstrument(item, name, price_digits, units_digits, step, least, most, max_position_units=room)


def read_quote(said: Json, *, received_ts_ns: int) -> Quote:
    """Return the best prices of a pricing object."""
    bids, asks = need(said, "bids"), need(said, "asks")
    if not (bids and asks):
        raise BrokerProtocolError(f"OANDA sent no price for {said.get('instrument')}. It is not traded on.")
    return Quote(
        symbol=canonical_symbol(str(need(said, "instrument"))),
        bid=float(bids[0]["price"]),
        ask=float(asks[0]["price"]),
        ts_ns=parse_time_ns(str(need(said, "time"))),
        received_ts_ns=received_ts_ns,
        is_tradeable=bool(said.get("tradeable", said.get("status") == "tradeable")),
    )


def read_account(said: Json, *, last_id: Any, environment: str, as_of_ns: int) -> AccountState:
    """Return the money of an account."""
    balance, account = decimal_of(need(said, "balance")), str(need(said, "id"))
    unrealized = _number(said, "unrealizedPL")
    return AccountState(
        account=account,
        balance=balance,
        equity=decimal_of(said.get("NAV", balance + unrealized)),
        unrealized=unrealized,
        margin_used=_number(said, "marginUsed"),
        margin_free=_number(said, "marginAvailable"),
        currency=str(need(said, "currency")),
        log_id=f"oanda:{account}",
        last_seq=int(last_id),
        is_hedging=bool(said.get("hedgingEnabled", False)),
        as_of_ns=as_of_ns,
        environment=environment,
    )


def read_trade(said: Json) -> OpenTrade:
    """Return an open trade."""
    units = decimal_of(need(said, "currentUnits"))
    return OpenTrade(
        trade_id=str(need(said, "id")),
        symbol=canonical_symbol(str(need(said, "instrument"))),
        side=_side(decimal_of(need(said, "initialUnits"))),
        units=abs(units),
        initial_units=abs(decimal_of(said["initialUnits"])),
        entry_price=float(need(said, "price")),
        entry_ts_ns=parse_time_ns(str(said.get("openTime", "0"))),
        stop_loss=_price(said.get("stopLossOrder")),
        take_profit=_price(said.get("takeProfitOrder")),
        client_order_id=_client_id(said),
        unrealized=_number(said, "unrealizedPL"),
    )


def read_order(said: Json) -> OrderReport:
    """Return an entry order."""
    units = decimal_of(need(said, "units"))
    status = STATES.get(str(said.get("state")), OrderStatus.UNKNOWN)
    trade = said.get("tradeOpenedID") or said.get("tradeReducedID")
    for name in ("replacesOrderID", "replacedByOrderID"):
        said = {**said, name: None if said.get(name) is None else str(said[name])}
    return OrderReport(
        venue_order_id=str(need(said, "id")),
        client_order_id=_client_id(said),
        symbol=canonical_symbol(str(need(said, "instrument"))),
        side=_side(units),
        type=TYPES.get(str(said.get("type")), OrderType.MARKET),
        units=abs(units),
        filled_units=abs(units) if status is OrderStatus.FILLED else ZERO,
        status=status,
        price=_price(said),
        stop_loss=_price(said.get("stopLossOnFill")),
        take_profit=_price(said.get("takeProfitOnFill")),
        expires_ts_ns=parse_time_ns(str(said.get("gtdTime", "0"))),
        trade_ref=None if trade is None else str(trade),
        replaces=said["replacesOrderID"],
        replaced_by=said["replacedByOrderID"],
    )


def read_position(said: Json) -> Position:
    """Return the net position of an instrument; long and short sides may both be open."""
    sides = [said.get(name) or {} for name in ("long", "short")]
    units = [_number(side, "units") for side in sides]
    gross = sum(map(abs, units), ZERO)
    weighted = sum((abs(n) * _number(side, "averagePrice") for n, side in zip(units, sides, strict=True)), ZERO)
    average = float(weighted / gross) if gross else 0.0
    symbol = canonical_symbol(str(need(said, "instrument")))
    return Position(symbol, sum(units, ZERO), average, _number(said, "unrealizedPL"))
