"""What is traded: an instrument with its numbers, as brokers publish them."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["fx", "metal", "index", "crypto", "energy"]


@dataclass(frozen=True, slots=True)
class Instrument:
    """One tradable symbol.

    Prices are quote currency per unit of base; `units` count the base currency (or ounces, or index contracts).
    """

    symbol: str
    """Canonical name without separators: EURUSD, XAUUSD, US500."""
    kind: Kind
    base: str
    quote: str
    tick: float
    """Smallest price step."""
    pip: float
    """The step traders count in: 0.0001 for EURUSD, 0.01 for USDJPY."""
    contract_units: float = 100_000.0
    """Units of one standard lot."""
    unit_step: float = 1_000.0
    unit_min: float = 1_000.0
    unit_max: float = 50_000_000.0
    margin_fraction: float = 1 / 30
    min_stop_pips: float = 0.0
    typical_spread_pips: float = 1.0
    """A retail spread in a liquid hour; the floor where data carry none."""
    swap_long_pips: float = -0.5
    """Earned per night by a long position, pips; negative when paid."""
    swap_short_pips: float = -0.3
    triple_swap_weekday: int = 2
    """FX day at whose end three nights are booked; Wednesday = 2."""
    is_always_open: bool = False
    """Trades through the weekend (crypto)."""
