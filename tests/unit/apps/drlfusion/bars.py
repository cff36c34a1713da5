"""Bars to observe and a view to observe them with: a walk of H1 bars in FX hours, without an engine."""

from typing import Any

import numpy as np

from tests.support.markets import utc
from tradesentry.apps.drlfusion.configs.drlfusion_config import DrlFusionConfig
from tradesentry.apps.drlfusion.layout import STATE, blank_params
from tradesentry.apps.drlfusion.observation import observe_market
from tradesentry.core.domain.records import BAR, VIEW
from tradesentry.core.utils.kernel import new_records

HOUR = 3_600_000_000_000
START = utc("2024-01-09T22:00")
"""A Tuesday 17:00 New York: the start of an FX day."""
TICK = 2.0**-17
"""Sums of prices on it are exact."""


def walk(n: int = 300, seed: int = 0, *, spread: float = 8 * TICK) -> Any:
    """Return consecutive H1 bars of a random walk on a binary tick, every bar opening where the last one closed."""
    rng = np.random.default_rng(seed)
    closes = 2**17 + np.cumsum(np.rint(rng.normal(0, 60, n)))
    bars = np.zeros(n, BAR).view(np.recarray)
    bars.open_ns = START + HOUR * np.arange(n)
    bars.close_ns = bars.open_ns + HOUR
    opens = np.concatenate([closes[:1], closes[:-1]])
    bars.open, bars.close = opens * TICK, closes * TICK
    bars.high = (np.maximum(opens, closes) + rng.integers(0, 40, n)) * TICK
    bars.low = (np.minimum(opens, closes) - rng.integers(0, 40, n)) * TICK
    bars.volume, bars.spread = 100.0, spread
    return bars


def new_view(*, tick: float = TICK) -> Any:
    """Return a view without positions on a market worth 1 account unit per price unit, in the middle of a week."""
    view = new_records(1, VIEW)[0]
    view.tick, view.pip, view.unit_step, view.unit_min = tick, 1e-4, 1_000.0, 1_000.0
    view.price_unit_value, view.equity = 1.0, 100_000.0
    view.clock.fx_day_start_ns, view.clock.week_end_ns = START, START + 60 * 24 * HOUR
    return view


def observed(bars: Any, view: Any = None, *, config: DrlFusionConfig | None = None) -> Any:
    """Return (features, turbulence, observer) after all bars: one row of 24 raw features per bar."""
    params = blank_params(config or DrlFusionConfig())
    state = new_records(1, STATE)
    view = new_view() if view is None else view
    observer = state[0].observer
    rows, distances = [], []
    for bar in bars:
        view.last_spread = bar.spread
        observe_market(params[0], observer, bar, view)
        rows.append(np.array(observer.features))
        distances.append(float(observer.turbulence))
    return np.array(rows), np.array(distances), observer
