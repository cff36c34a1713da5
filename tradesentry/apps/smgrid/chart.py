"""What smgrid shows on the price chart: its zones from birth to end, or the midpoint and its resets.

The same components as in `step`, run over the same completed hours. Their rows are moved from hours to execution bars:
`known_at_ns` is the close of the bar that released the hour, as in the strategy.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from tradesentry.apps.smgrid.layout import context_params
from tradesentry.core.strategy.indicators import run

if TYPE_CHECKING:
    import polars as pl

SHOWN = (
    "SD_NEW", "SD_TOUCH", "SD_BREAK", "SD_EXPIRED", "OB_NEW", "OB_TOUCH", "OB_BREAK", "OB_EXPIRED", "RESET", "BOS",
    "CHOCH",
)  # fmt: skip


def chart_events(config: Any, bars: Any, *, calendar: Any, tick: float) -> "pl.DataFrame | None":
    """Return the events of the zone timeframe on `bars`, in the order they were known.

    Args:
        config: `SMGridConfig`.
        bars: BAR array of one market.
        calendar: CALENDAR record of `config.calendar()`.
        tick: Price step.
    """
    import polars as pl

    if len(bars) == 0:
        return None
    model = context_params(config)
    hours, released = _hours(bars)
    components: list[tuple[str, Any]] = [("structure", model.midpoint.dealing_range.structure)]
    if model.uses_bases:
        components.append(("supply_demand", model.bases))
    if model.uses_blocks:
        components.append(("order_blocks", model.blocks))
    if config.anchor == "atr_band":
        components.append(("midpoint", model.midpoint))
    found = [run(name, params, hours, calendar=calendar, tick=tick) for name, params in components]
    events = pl.concat(found).filter(pl.col("event").cast(pl.String).is_in(SHOWN))
    rows = released[events["known_index"].to_numpy()]
    return events.with_columns(
        known_index=pl.Series(rows), known_at_ns=pl.Series(bars["close_ns"][rows].astype(np.int64))
    ).sort("known_at_ns", maintain_order=True)


def _hours(bars: Any) -> tuple[Any, Any]:
    """Return the completed hours of bars as BAR rows, and the row of the bar that released each."""
    hour_ns = 3_600_000_000_000
    keys, first = np.unique(bars["open_ns"] // hour_ns, return_index=True)
    last = np.append(first[1:], len(bars)) - 1
    hours = np.zeros(len(keys), bars.dtype)
    hours["open_ns"], hours["close_ns"] = keys * hour_ns, (keys + 1) * hour_ns
    hours["open"], hours["close"] = bars["open"][first], bars["close"][last]
    hours["high"], hours["low"] = np.maximum.reduceat(bars["high"], first), np.minimum.reduceat(bars["low"], first)
    hours["volume"] = np.add.reduceat(bars["volume"], first)
    hours["spread"] = bars["spread"][first]
    # An hour whose last bar is missing is released by the next bar.
    is_whole = bars["close_ns"][last] >= hours["close_ns"]
    released = np.where(is_whole, last, last + 1)
    is_known = released < len(bars)
    return hours[is_known], released[is_known]
