"""What smedge shows on the price chart: breaks, blocks, gaps and sweeps, from the public events of the components."""

from typing import TYPE_CHECKING, Any

from tradesentry.apps.smedge.layout import blocks_params, gaps_params, liquidity_params, structure_params
from tradesentry.core.strategy.indicators import run

if TYPE_CHECKING:
    import polars as pl

SHOWN = ("BOS", "CHOCH", "OB_NEW", "OB_TOUCH", "OB_BREAK", "FVG_NEW", "FVG_TOUCH", "FVG_INVERT", "SWEEP")


def chart_events(config: Any, bars: Any, *, calendar: Any, tick: float) -> "pl.DataFrame":
    """Return the events of structure, blocks, gaps and pools on `bars`, in the order they were known.

    Args:
        config: `SMEdgeConfig`.
        bars: BAR array of one market.
        calendar: CALENDAR record of `config.calendar()`.
        tick: Price step.
    """
    import polars as pl

    components = {
        "structure": structure_params(config),
        "order_blocks": blocks_params(config),
        "gaps": gaps_params(config),
        "liquidity": liquidity_params(config),
    }
    found = [run(name, params, bars, calendar=calendar, tick=tick) for name, params in components.items()]
    events = pl.concat(found).filter(pl.col("event").cast(pl.String).is_in(SHOWN))
    return events.sort("known_at_ns", maintain_order=True)
