"""Turn numbers into what a venue accepts: decimals, units on their step, prices on their tick.

Money and units are `Decimal` at the border, prices float64 inside. Rounding happens here and only here, so what was
asked and what was sent can be compared. Units are rounded towards zero, never up; a stop is rounded away from the loss
it guards against never further than half a tick.
"""

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal, InvalidOperation

from tradesentry.core.domain.errors import BrokerProtocolError

ZERO = Decimal(0)


def decimal_of(value: str | float | Decimal) -> Decimal:
    """Return the decimal that a number shows: 0.1 becomes 0.1, not its binary expansion.

    Raises:
        BrokerProtocolError: Not a finite number.
    """
    try:
        number = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite():
        raise BrokerProtocolError(
            f"{value!r} was received where a number belongs. Nothing is concluded from that message; reconcile.",
            code="not_a_number",
        )
    return number


def floor_to_step(units: Decimal, step: Decimal) -> Decimal:
    """Return `units` rounded towards zero to a multiple of `step`."""
    return (units / step).to_integral_value(ROUND_DOWN) * step


def round_to_tick(price: float, tick: float, *, digits: int) -> float:
    """Return the price on the grid of `tick` that is nearest, as the float that its decimal text reads as.

    Args:
        price: Any price.
        tick: Least step of prices.
        digits: Decimals that the venue shows.
    """
    return float(price_text(price, tick=tick, digits=digits))


def price_text(price: float, *, tick: float, digits: int) -> str:
    """Return the price on the tick grid, written with exactly `digits` decimals."""
    step = decimal_of(tick)
    on_grid = (decimal_of(price) / step).to_integral_value(ROUND_HALF_EVEN) * step
    return f"{on_grid.quantize(Decimal(1).scaleb(-digits))}"


def units_text(units: Decimal, *, digits: int) -> str:
    """Return signed units without an exponent, with at most `digits` decimals; they must lie on that grid already."""
    return f"{units.quantize(Decimal(1).scaleb(-digits)):f}"


def money_text(amount: float | Decimal, *, digits: int = 4) -> str:
    """Return an amount with `digits` decimals, the way venues write balances."""
    return f"{decimal_of(amount).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN):f}"
