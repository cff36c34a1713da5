"""What `zone_context` saw on a series, as events for charts: the components of the zone timeframe over whole tables.

The same kernels over the same completed buckets as in a strategy's `step`. Rows are moved from buckets to execution
bars: `known_index` and `known_at_ns` are those of the bar that released the bucket. Apart from the context because it
needs table libraries, which a back-test does without.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from tradesentry.core.market.resample import resample_bars
from tradesentry.core.strategy.indicators.runner import run
from tradesentry.core.strategy.indicators.zone_context import ZoneContextParams

SHOWN = (
    "SD_NEW", "SD_TOUCH", "SD_BREAK", "SD_EXPIRED", "SD_DROPPED", "OB_NEW", "OB_TOUCH", "OB_BREAK", "OB_EXPIRED",
    "OB_DROPPED", "BOS", "CHOCH", "RESET", "RESET_DEFERRED",
)  # fmt: skip


def zone_events(
    model: ZoneContextParams, bars: Any, *, calendar: Any, tick: float, shown: Sequence[str] = SHOWN
) -> pl.DataFrame | None:
    """Return the events of the zone timeframe on `bars` in the order they were known, None before the first bucket.

    Args:
        model: What the strategy computes.
        bars: BAR array of one market.
        calendar: CALENDAR record of the market.
        tick: Price step.
        shown: Names of the events that are kept.
    """
    if len(bars) == 0:
        return None
    records = np.ascontiguousarray(bars).view(np.recarray)
    name = "H1" if model.zone_timeframe == "h1" else "H4"
    buckets = resample_bars(records, name, anchor=model.h4_anchor)
    if len(buckets) == 0:
        return None
    released = np.searchsorted(records.close_ns, buckets.close_ns)
    components: list[tuple[str, Any]] = [
        ("structure", model.midpoint.dealing_range.structure),
        ("midpoint", model.midpoint),
    ]
    if model.uses_bases:
        components.append(("supply_demand", model.bases))
    if model.uses_blocks:
        components.append(("order_blocks", model.blocks))
    found = [run(component, params, buckets, calendar=calendar, tick=tick) for component, params in components]
    events = pl.concat(found).filter(pl.col("event").cast(pl.String).is_in(shown))
    rows = released[events["known_index"].to_numpy()]
    return events.with_columns(
        known_index=pl.Series(rows, dtype=pl.Int64), known_at_ns=pl.Series(records.close_ns[rows], dtype=pl.Int64)
    ).sort("known_at_ns", maintain_order=True)
