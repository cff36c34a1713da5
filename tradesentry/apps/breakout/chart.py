"""What breakout shows on the price chart: its ranges, breaks and retests, from the public events of the component."""

from typing import TYPE_CHECKING, Any

from tradesentry.apps.breakout.layout import BANDS_SLOT, active_slots, range_params
from tradesentry.core.strategy.indicators import run

if TYPE_CHECKING:
    import polars as pl

SHOWN = ("OR_SET", "OR_REJECT", "OR_EXPIRED", "OR_AMBIGUOUS", "BREAKOUT", "ENTRY")
IDS_PER_SLOT = 1_000_000
"""Ids count from 1 in every slot; on the chart they are told apart."""


def chart_events(config: Any, bars: Any, *, calendar: Any, tick: float) -> "pl.DataFrame | None":
    """Return the events of all opening and night ranges on `bars`, in the order they were known.

    Args:
        config: `BreakoutConfig`.
        bars: BAR array of one market.
        calendar: CALENDAR record of `config.calendar()`.
        tick: Price step.
    """
    import polars as pl

    slots = [slot for slot in active_slots(config) if slot != BANDS_SLOT]
    found = [
        run("opening_range", range_params(config, slot), bars, calendar=calendar, tick=tick).with_columns(
            pl.col("id") + slot * IDS_PER_SLOT
        )
        for slot in slots
    ]
    if not found:
        return None
    events = pl.concat(found).filter(pl.col("event").cast(pl.String).is_in(SHOWN))
    return events.sort("known_at_ns", maintain_order=True)
