"""Say what breakout sees right now: one row per symbol, mode and session, with state, width, score and why not.

There is no second set of rules here. `scan` plays the bars through the same `step` on a paper account without limits
and reads the slots it left behind; ranges, bands, filters and score are the kernels of `slots`, `filters` and `score`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import polars as pl

from tradesentry.apps.breakout.config import BreakoutConfig
from tradesentry.apps.breakout.filters import open_sides
from tradesentry.apps.breakout.layout import BANDS_SLOT, SLOTS, Phase, active_slots
from tradesentry.apps.breakout.score import standing
from tradesentry.apps.breakout.slots import phase_of
from tradesentry.apps.breakout.strategy import BreakoutStrategy
from tradesentry.backtest.arena import Arena, Lane
from tradesentry.backtest.resolve import ResolvedRun
from tradesentry.core.domain.errors import DataError
from tradesentry.core.domain.records import N_CURRENCIES
from tradesentry.core.execution.setup import LIMIT_PROFILES, new_account
from tradesentry.core.market.bars import BarSeries
from tradesentry.core.market.instruments import canonical_symbol
from tradesentry.core.strategy.indicators import opening_range
from tradesentry.core.strategy.run_rules import rules_of

CAPITAL: Final = 100_000.0
"""Of the paper account that is scanned with; sizes do not change what is seen."""
REASONS: Final = {
    opening_range.INVALID_SESSION: "holiday of one of the two currencies",
    opening_range.LOW_COVERAGE: "too few bars in the range",
    opening_range.BAD_WIDTH: "width outside w_lo, w_hi, or ATR_D not known yet",
    opening_range.LOW_VOLUME: "relative volume below rvol_min, or not known yet",
}
CANDIDATES: Final = ("ARMED", "PENDING_RETEST", "IN_TRADE")
"""States that compete for the `top_k` places of a session."""
SCHEMA: Final[dict[str, Any]] = {
    "symbol": pl.String, "mode": pl.String, "session": pl.String, "session_start": pl.Datetime("ns", "UTC"),
    "state": pl.String, "low": pl.Float64, "high": pl.Float64, "width": pl.Float64, "width_atr_d": pl.Float64,
    "rvol": pl.Float64, "trend": pl.Int64, "sides": pl.String, "score": pl.Float64, "reason": pl.String,
    "as_of": pl.Datetime("ns", "UTC"),
}  # fmt: skip
_SIDES: Final = {0: "none", 1: "buy", 2: "sell", 3: "both"}


def _cut(series: BarSeries, at_ns: int | None) -> BarSeries:
    """Return the bars known at an instant."""
    if at_ns is None:
        return series
    known = int(np.searchsorted(series.bars["close_ns"], at_ns, side="right"))
    return replace(series, bars=series.bars[:known].view(np.recarray))


def _watch(markets: Any, series: Sequence[BarSeries], traded: Sequence[int], config: BreakoutConfig) -> Arena:
    """Play the bars through the strategy and leave its positions open."""
    strategy = BreakoutStrategy
    arena = Arena(
        strategy.pointer(),
        markets=markets,
        bars=[s.bars for s in series],
        lanes=[
            Lane(
                m, strategy.new_params(config), strategy.new_state(config), rules_of(config, pip=float(markets[m].pip))
            )
            for m in traded
        ],
        account=new_account(CAPITAL, LIMIT_PROFILES["off"], n_currencies=N_CURRENCIES, equity_step_ns=1 << 60),
    )
    while arena.play():
        pass
    return arena


def _reason(found: Any, slot: int, phase: Phase, sides: int) -> str:
    if phase is Phase.REJECTED:
        return REASONS.get(int(found.reason), "no bars in the range" if slot != BANDS_SLOT else REASONS[1])
    return "a filter closes both sides" if phase is Phase.ARMED and sides == 0 else ""


def _row(arena: Arena, lane: int, slot: int, bar: Any) -> dict[str, Any]:
    """Return what one slot of one symbol sees after its last bar."""
    params, state, view = arena.lanes[lane].params[0], arena.lanes[lane].state[0], arena.books[lane].seen
    own = state.slots[slot]
    found = own.range
    phase = Phase(phase_of(state, slot, bar, view))
    sides = int(open_sides(params, state, slot, bar, view))
    has_range = phase not in (Phase.IDLE, Phase.BUILDING) and np.isfinite(found.range.high)
    return {
        "mode": SLOTS[slot][0],
        "session": SLOTS[slot][1],
        "session_start": int(found.session_start_ns),
        "state": phase.name,
        "low": float(found.range.low),
        "high": float(found.range.high),
        "width": float(found.range.high - found.range.low),
        "width_atr_d": float((found.range.high - found.range.low) / state.atr_d) if has_range else float("nan"),
        "rvol": float(found.rvol) if has_range else float("nan"),
        "trend": int(state.trend.trend),
        "sides": _SIDES[sides],
        "score": float(own.score if own.is_costed else standing(params, state, slot)),
        "reason": _reason(found, slot, phase, sides),
        "as_of": int(bar.close_ns),
    }


def scan(
    markets: Any, bars: Sequence[BarSeries], *, config: BreakoutConfig | None = None, at_ns: int | None = None
) -> pl.DataFrame:
    """Return today's candidates, best first.

    Args:
        markets: MARKET array with the calendar of `config.calendar()`, one row per series.
        bars: Series in the order of `markets`; those that are not in `config.symbols` only convert currencies.
        config: What to look for; the defaults when None.
        at_ns: Scan as of this instant, ns UTC; the last bar when None.

    Returns:
        One row per symbol, mode and session: state, bounds and width of the range, width / ATR_D, relative volume,
        trend, sides that may be entered, score, why it was rejected, `rank` among the candidates of the same session
        (0: none) and `is_picked`, the best `top_k` of them; ties by symbol.

    Raises:
        DataError: A symbol has no bars at that instant.
    """
    config = config or BreakoutConfig()
    series = [_cut(s, at_ns) for s in bars]
    wanted = {canonical_symbol(symbol) for symbol in config.symbols}
    traded = [m for m, s in enumerate(series) if canonical_symbol(s.symbol) in wanted]
    for m in traded:
        if len(series[m].bars) == 0:
            raise DataError(f"{series[m].symbol} has no bars to scan. Choose a later time with --at.", code="no_bars")
    arena = _watch(markets, series, traded, config)
    rows = []
    for lane, m in enumerate(traded):
        last = series[m].bars.view(np.recarray)[-1]
        for slot in active_slots(config):
            rows.append({"symbol": series[m].symbol} | _row(arena, lane, slot, last))
    return _ranked(pl.DataFrame(rows, schema=SCHEMA), config.top_k)


def _ranked(rows: pl.DataFrame, top_k: int) -> pl.DataFrame:
    """Rank the candidates of each session: what is in a trade stands, then the higher score, then the symbol."""
    is_candidate = pl.col("state").is_in(CANDIDATES)
    ordered = rows.sort(
        [~is_candidate, pl.col("state") != "IN_TRADE", -pl.col("score"), "symbol", "mode", "session"], nulls_last=True
    )
    place = pl.when(is_candidate).then(is_candidate.cum_sum().over("mode", "session", "session_start")).otherwise(0)
    return ordered.with_columns(place.alias("rank")).with_columns(
        ((pl.col("rank") > 0) & (pl.col("rank") <= top_k)).alias("is_picked")
    )


def scan_run(run: ResolvedRun, at_ns: int | None = None) -> pl.DataFrame:
    """Scan the markets of a resolved run of breakout. Arguments and result as `scan`."""
    config: Any = run.config
    return scan(run.markets, run.data.series, config=config, at_ns=at_ns)
