"""Bring a request to the border: round it to what the venue trades, and refuse what must never leave.

Separate from the adapters so that each rounds and refuses alike. Every entry carries a stop on the losing side; units
go down to the step and never up; each number that changes is reported.
"""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from tradesentry.core.broker.base_broker import NotSent, OrderChange, OrderReport, OrderRequest, Rounding
from tradesentry.core.domain.live_orders import TimeInForce
from tradesentry.core.domain.money import ZERO, decimal_of, floor_to_step, round_to_tick
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.domain.venue import OpenTrade, Quote, VenueInstrument

PRICE_FIELDS = ("price", "stop_loss", "take_profit", "price_bound")


def on_grid(item: VenueInstrument, price: float) -> float:
    """Return `price` on the venue's tick."""
    return round_to_tick(price, item.instrument.tick, digits=item.price_digits)


def _rounded_prices(
    item: VenueInstrument, asked: OrderRequest | OrderChange, names: tuple[str, ...]
) -> tuple[dict[str, float], list[Rounding]]:
    sent: dict[str, float] = {}
    notes = []
    for name in names:
        price = getattr(asked, name)
        if price is None:
            continue
        sent[name] = on_grid(item, price)
        if sent[name] != price:
            notes.append(Rounding(name, repr(price), repr(sent[name])))
    return sent, notes


def _side_problem(side: Side, entry: float, stop: float | None, target: float | None) -> NotSent | None:
    if stop is not None and side * (entry - stop) <= 0:
        return NotSent("stop_side", f"Stop {stop} is not on the losing side of {entry} for a {side.name.lower()}.")
    if target is not None and side * (target - entry) <= 0:
        return NotSent("target_side", f"Target {target} is not on the winning side of {entry}.")
    return None


def _size_problem(item: VenueInstrument, units: Decimal) -> NotSent | None:
    if units < item.min_units or units <= ZERO:
        return NotSent("size_below_minimum", f"{units} units are below the venue's minimum {item.min_units}.")
    if units > item.max_units:
        return NotSent("size_above_maximum", f"{units} units are above the venue's maximum {item.max_units}.")
    if item.max_position_units is not None and units > item.max_position_units:
        text = f"{units} units alone are above the {item.max_position_units} that the venue lets be open."
        return NotSent("size_above_maximum", text)
    return None


def prepare_order(
    item: VenueInstrument, asked: OrderRequest, *, quote: Quote | None = None
) -> tuple[OrderRequest, tuple[Rounding, ...]] | NotSent:
    """Return the request as it will be sent and what was rounded, or why it must not be sent.

    Args:
        item: The instrument as the venue trades it.
        asked: The request.
        quote: Present prices, against which a market order's stop is checked; None skips that check.
    """
    if asked.stop_loss is None:
        return NotSent("no_stop", f"{asked.client_order_id} has no stop; every entry carries one. Set `stop_loss`.")
    if (asked.price is None) != (asked.type is OrderType.MARKET):
        return NotSent("price", f"A {asked.type.name.lower()} order with price {asked.price} cannot be placed.")
    if (asked.expires_ts_ns > 0) != (asked.tif is TimeInForce.GTD):
        return NotSent("expiry", f"Time in force {asked.tif} does not go with expiry {asked.expires_ts_ns}.")
    units = floor_to_step(asked.units, item.unit_step)
    problem = _size_problem(item, units)
    if problem:
        return problem
    prices, notes = _rounded_prices(item, asked, PRICE_FIELDS)
    sent: dict[str, Any] = {"units": units, **prices}
    if units != asked.units:
        notes.append(Rounding("units", str(asked.units), str(units)))
    entry = prices.get("price")
    if entry is None and quote is not None:
        entry = quote.closing(asked.side)
    if entry is not None:
        problem = _side_problem(asked.side, entry, prices["stop_loss"], prices.get("take_profit"))
        if problem:
            return problem
    return replace(asked, **sent), tuple(notes)


def prepare_change(
    item: VenueInstrument, present: OrderReport, change: OrderChange
) -> tuple[OrderRequest, tuple[Rounding, ...]] | NotSent:
    """Return the full terms of a resting order after `change`, or why it must not be sent."""
    prices, notes = _rounded_prices(item, change, ("price", "stop_loss", "take_profit"))
    expires = present.expires_ts_ns if change.expires_ts_ns is None else change.expires_ts_ns
    # Filled meanwhile: the venue says so, not we.
    left = present.units - present.filled_units or present.units
    asked = OrderRequest(
        client_order_id=present.client_order_id or "",
        symbol=present.symbol,
        side=present.side,
        units=left if change.units is None else change.units,
        type=present.type,
        price=prices.get("price", present.price),
        stop_loss=prices.get("stop_loss", present.stop_loss),
        take_profit=prices.get("take_profit", present.take_profit),
        tif=TimeInForce.GTD if expires else TimeInForce.GTC,
        expires_ts_ns=expires,
    )
    prepared = prepare_order(item, asked)
    if isinstance(prepared, NotSent):
        return prepared
    return prepared[0], (*notes, *prepared[1])


def prepare_protection(
    item: VenueInstrument, trade: OpenTrade, *, stop_loss: float | None, take_profit: float | None
) -> tuple[float | None, float | None] | NotSent:
    """Return stop and target on the grid, None where nothing changes, or why they must not be sent."""
    stop = None if stop_loss is None else on_grid(item, stop_loss)
    target = None if take_profit is None else on_grid(item, take_profit)
    if stop is not None and trade.stop_loss is not None and trade.side * (stop - trade.stop_loss) < 0:
        return NotSent(
            "loosens_stop",
            f"Stop {stop} is looser than {trade.stop_loss} of trade {trade.trade_id}; stops only tighten.",
        )
    if stop == trade.stop_loss:
        stop = None
    if target == trade.take_profit:
        target = None
    return stop, target


def units_to_close(item: VenueInstrument, trade: OpenTrade, remaining_units: Decimal) -> Decimal | NotSent:
    """Return the units that bring a trade down to `remaining_units`; 0 when it is there already."""
    if remaining_units < ZERO:
        return NotSent("remaining_units", f"A trade cannot be left with {remaining_units} units.")
    excess = trade.units - remaining_units
    if excess <= ZERO:
        return ZERO
    if remaining_units == ZERO:
        return trade.units
    return floor_to_step(excess, decimal_of(item.unit_step))
