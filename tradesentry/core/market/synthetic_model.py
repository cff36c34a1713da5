"""The numbers of the synthetic market: what moves together, how much, when, and which patterns are planted.

Every currency has a value in US dollars and a pair is the ratio of two, so a cross always agrees with its legs. Values
move by three shared factors (dollar, risk, Europe) and a part of their own. Figures are rough long-run ones; nothing
here is fitted to a data set.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tradesentry.core.domain.errors import ConfigError, nearest
from tradesentry.core.domain.instruments import Instrument
from tradesentry.core.market.sessions import session_bounds_ns, weekday_of
from tradesentry.core.market.zones import DAY_NS, SECOND_NS, IntArray

FloatArray = NDArray[np.float64]
Variant = Literal["plain", "random_walk", "trend", "mean_revert", "teaching"]

STEPS: Final = 6
"""Simulated prices per minute; open, high, low and close are taken from them."""
MINUTE_NS: Final = 60 * SECOND_NS
MINUTES_PER_YEAR: Final = 260 * 1440
SLOW_VOLATILITY: Final = (7_200.0, 0.25)
"""Half-life in minutes and standard deviation of the slow part of log volatility."""
FAST_VOLATILITY: Final = (240.0, 0.35)
OWN_VOLATILITY: Final = 0.35
"""Standard deviation of a minute's own log volatility; with the two above it makes the tails fat."""
WEEKEND_VARIANCE: Final = 0.02
"""Share of a closed minute's variance that shows up as the gap at the next open."""
ROLLOVER_MINUTES: Final = 15
ROLLOVER_SPREAD: Final = 4.0
"""Spread at 17:00 New York as a multiple, falling to 1 over `ROLLOVER_MINUTES` on both sides."""
_REST: Final = 0.35
"""Activity outside all sessions."""
_ASIAN: Final = frozenset(("JPY", "AUD", "NZD", "SGD", "HKD", "CNH", "JP225", "AUS200", "HK50"))


@dataclass(frozen=True, slots=True)
class Asset:
    """One currency or other base, valued in dollars (indices: in their quote currency)."""

    value: float
    annual_volatility: float
    dollar: float
    """Loading on the dollar factor; loadings are correlations, the rest is its own."""
    risk: float
    europe: float

    @property
    def own(self) -> float:
        """Loading on its own shocks, so that the loadings' squares sum to 1."""
        return float(np.sqrt(1.0 - self.dollar**2 - self.risk**2 - self.europe**2))


_DEFAULT: Final = Asset(1.0, 0.08, 0.50, 0.20, 0.0)
ASSETS: Final = MappingProxyType(
    {
        "EUR": Asset(1.10, 0.075, 0.70, 0.05, 0.45), "GBP": Asset(1.27, 0.085, 0.62, 0.20, 0.35),
        "JPY": Asset(1 / 145, 0.090, 0.55, -0.40, 0.0), "CHF": Asset(1.12, 0.080, 0.65, -0.20, 0.45),
        "AUD": Asset(0.66, 0.100, 0.58, 0.55, 0.0), "NZD": Asset(0.61, 0.105, 0.56, 0.52, 0.0),
        "CAD": Asset(0.735, 0.070, 0.52, 0.42, 0.0), "SEK": Asset(0.095, 0.100, 0.60, 0.25, 0.40),
        "NOK": Asset(0.094, 0.110, 0.55, 0.35, 0.30), "DKK": Asset(0.147, 0.075, 0.70, 0.05, 0.45),
        "SGD": Asset(0.745, 0.045, 0.60, 0.25, 0.0), "HKD": Asset(0.128, 0.008, 0.30, 0.0, 0.0),
        "CNH": Asset(0.139, 0.045, 0.55, 0.20, 0.0), "MXN": Asset(0.058, 0.120, 0.35, 0.50, 0.0),
        "ZAR": Asset(0.054, 0.150, 0.45, 0.50, 0.0), "TRY": Asset(0.033, 0.180, 0.25, 0.25, 0.0),
        "PLN": Asset(0.25, 0.110, 0.55, 0.25, 0.45), "HUF": Asset(0.0028, 0.120, 0.50, 0.25, 0.45),
        "CZK": Asset(0.044, 0.095, 0.58, 0.15, 0.45), "XAU": Asset(2_000.0, 0.140, 0.45, -0.10, 0.0),
        "XAG": Asset(24.0, 0.270, 0.45, 0.15, 0.0), "XPT": Asset(950.0, 0.230, 0.40, 0.25, 0.0),
        "XPD": Asset(1_100.0, 0.350, 0.30, 0.30, 0.0), "US500": Asset(4_800.0, 0.160, 0.10, 0.85, 0.0),
        "US30": Asset(38_000.0, 0.150, 0.10, 0.80, 0.0), "NAS100": Asset(17_000.0, 0.210, 0.10, 0.82, 0.0),
        "GER40": Asset(16_500.0, 0.180, 0.05, 0.70, 0.35), "UK100": Asset(7_600.0, 0.140, 0.0, 0.65, 0.30),
        "FRA40": Asset(7_500.0, 0.170, 0.05, 0.68, 0.35), "EU50": Asset(4_500.0, 0.180, 0.05, 0.70, 0.35),
        "JP225": Asset(35_000.0, 0.190, -0.10, 0.60, 0.0), "AUS200": Asset(7_500.0, 0.140, 0.05, 0.55, 0.0),
        "HK50": Asset(17_000.0, 0.240, 0.05, 0.45, 0.0), "USOIL": Asset(75.0, 0.350, 0.15, 0.35, 0.0),
        "UKOIL": Asset(80.0, 0.330, 0.15, 0.35, 0.0), "NATGAS": Asset(2.6, 0.600, 0.0, 0.05, 0.0),
        "BTC": Asset(43_000.0, 0.600, 0.10, 0.30, 0.0), "ETH": Asset(2_300.0, 0.700, 0.10, 0.35, 0.0),
        "LTC": Asset(70.0, 0.750, 0.08, 0.30, 0.0), "XRP": Asset(0.60, 0.800, 0.05, 0.25, 0.0),
        "SOL": Asset(95.0, 0.900, 0.08, 0.35, 0.0),
    }
)  # fmt: skip


def asset(code: str) -> Asset:
    """Return the numbers of a currency or base; middling ones for a code that is not in the table."""
    return ASSETS.get(code, _DEFAULT)


@dataclass(frozen=True, slots=True)
class Pattern:
    """What is planted in a variant, in every currency alike.

    A shock moves the value by `permanent + transitory` times its size; the transitory part decays with the half-life.
    `drift` adds a trend of constant size whose sign flips at random.
    """

    permanent: float = 1.0
    transitory: float = 0.0
    half_life_minutes: float = 1.0
    drift: float = 0.0
    """Trend per minute as a fraction of a minute's standard deviation."""
    run_minutes: float = 2_880.0
    """Mean length of a trend."""


PATTERNS: Final[MappingProxyType[Variant, Pattern]] = MappingProxyType(
    {
        "plain": Pattern(),
        "random_walk": Pattern(),
        "trend": Pattern(drift=0.04),
        "mean_revert": Pattern(permanent=0.6, transitory=0.4, half_life_minutes=480.0),
        "teaching": Pattern(permanent=0.2, transitory=0.8, half_life_minutes=720.0),
    }
)
"""`plain` and `random_walk` hold nothing to find. `trend` drifts up or down for two days on average. `mean_revert`
gives back 40 % of every move with a half-life of 8 hours, `teaching` 80 % with one of 12 hours: far more than any
market, so that a learner that works must find it."""


def checked_variant(variant: str) -> Variant:
    """Return `variant`, or refuse it with the nearest name.

    Raises:
        ConfigError: Not one of the variants.
    """
    for known in get_args(Variant):
        if variant == known:
            return known  # type: ignore[no-any-return]
    raise ConfigError(f"Synthetic variant {variant!r} does not exist. {nearest(variant, get_args(Variant))}")


def is_asian(code: str) -> bool:
    """Say whether a currency or index is at home in the Tokyo and Sydney sessions."""
    return code in _ASIAN


def start_level(item: Instrument) -> float:
    """Return the price at which a symbol starts."""
    if item.kind == "fx":
        return asset(item.base).value / asset(item.quote).value
    return asset(item.base).value


def activity(open_ns: IntArray, *, asian: bool) -> FloatArray:
    """Return how active each minute is: high when a session opens and when it closes, low between sessions.

    Args:
        open_ns: Opens of the minutes, ns UTC, shape (n,).
        asian: Weights for currencies at home in Asia.

    Returns:
        Multiples of the average volatility; the mean square over a whole week is about 1.
    """
    weights = (("tokyo", 0.60 if asian else 0.25), ("london", 0.65), ("new_york", 0.70))
    days = np.arange(int(open_ns[0]) // DAY_NS - 1, int(open_ns[-1]) // DAY_NS + 2, dtype=np.int64)
    days = days[weekday_of(days) < 5]
    level = np.full(len(open_ns), _REST)
    for session, weight in weights:
        start_ns, end_ns = session_bounds_ns(days, session)
        row = np.searchsorted(end_ns, open_ns, side="right")
        row = np.minimum(row, len(days) - 1)
        place = (open_ns - start_ns[row]) / (end_ns[row] - start_ns[row])
        is_inside = (place >= 0) & (place < 1)
        from_middle = (2 * place - 1) ** 2
        level += np.where(is_inside, weight * (0.55 + 0.95 * from_middle * from_middle), 0.0)
    return level / (1.02 if asian else 0.96)
