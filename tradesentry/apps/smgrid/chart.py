"""What smgrid shows on the price chart: zones from birth to end, breaks of structure, resets of a band's midpoint."""

from typing import TYPE_CHECKING, Any

from tradesentry.apps.smgrid.layout import context_params

if TYPE_CHECKING:
    import polars as pl

ZONES = (
    "SD_NEW", "SD_TOUCH", "SD_BREAK", "SD_EXPIRED", "OB_NEW", "OB_TOUCH", "OB_BREAK", "OB_EXPIRED", "BOS", "CHOCH",
)  # fmt: skip
BAND = ("RESET", "BOS", "CHOCH")


def chart_events(config: Any, bars: Any, *, calendar: Any, tick: float) -> "pl.DataFrame | None":
    """Return the events of the zone timeframe on `bars`, in the order they were known.

    Args:
        config: `SMGridConfig`.
        bars: BAR array of one market.
        calendar: CALENDAR record of `config.calendar()`.
        tick: Price step.
    """
    from tradesentry.core.strategy.indicators.zone_events import zone_events

    shown = BAND if config.anchor == "atr_band" else ZONES
    return zone_events(context_params(config), bars, calendar=calendar, tick=tick, shown=shown)
