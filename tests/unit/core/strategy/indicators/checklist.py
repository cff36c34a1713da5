"""The laws that every component obeys, and the list of components that they are asked of.

A new component is one entry of `CASES`. Laws take the thing under test as an argument, so that `test_checklist` can
hand them a planted fault and see them fail.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl

from tests.unit.core.strategy.indicators.series import (
    MIRROR_AT,
    TICK,
    calendar_of,
    changed_after,
    dirty_bars,
    mirrored,
    scaled,
)
from tradesentry.core.strategy.indicators import Stream, run, stream

Runner = Callable[..., pl.DataFrame]

PRICES = ("price_low", "price_high", "price", "other_price")
SESSIONS = ("london", "new_york", "asia_for_london")


@dataclass(frozen=True)
class Case:
    """One component with one set of parameters.

    Args:
        label: Name in test reports.
        component: Name for `run`.
        params: Parameters that make it speak on a few hundred bars.
        output: "default" or "events".
        calendar: Session names, None for no calendar.
        price_columns: Values that are prices: scaled and mirrored with them.
        distance_columns: Values that are distances: scaled with prices, unchanged by the mirror.
        odd_columns: Values that the mirror negates.
        complement_columns: Values that the mirror subtracts from 1.
        unmirrored: Columns that the mirror may change: relative band widths.
        has_mirror: False where the whole output depends on such a column.
        capacity: Live objects a side.
        ups_come_first: Of two objects made by one bar the upper one comes first: the mirror swaps them and their ids.
    """

    label: str
    component: str
    params: Mapping[str, Any] = field(default_factory=dict)
    output: Any = "default"
    calendar: tuple[str, ...] | None = None
    price_columns: tuple[str, ...] = PRICES
    distance_columns: tuple[str, ...] = ()
    odd_columns: tuple[str, ...] = ("direction",)
    complement_columns: tuple[str, ...] = ()
    unmirrored: tuple[str, ...] = ()
    has_mirror: bool = True
    ups_come_first: bool = False
    capacity: int = 64

    def options(self) -> dict[str, Any]:
        """Return the keyword arguments of `run` and `stream`."""
        calendar = None if self.calendar is None else calendar_of(*self.calendar)
        return {"calendar": calendar, "tick": TICK, "output": self.output, "capacity": self.capacity}

    def run(self, bars: Any, **changes: Any) -> pl.DataFrame:
        """Run the component over bars."""
        return run(self.component, self.params, bars, **{**self.options(), **changes})

    def stream(self) -> Stream:
        """Return the component ready for bars."""
        return stream(self.component, self.params, **self.options())


def _opening_range(label: str, **params: Any) -> Case:
    shared = {"atr": {"n_bars": 5}, "day_atr": {"n_bars": 2}, "retest_bars": 4}
    return Case(
        f"opening_range {label}",
        "opening_range",
        {**shared, **params},
        calendar=SESSIONS,
        distance_columns=("value",),
    )


SMALL_PIVOTS = {"left_bars": 2, "right_bars": 2}


def _structure(label: str, **params: Any) -> Case:
    shared = {"swings": SMALL_PIVOTS, "atr": {"n_bars": 5}}
    return Case(f"structure {label}", "structure", {**shared, **params}, odd_columns=("direction", "value"))


def _liquidity(label: str, **params: Any) -> Case:
    shared = {"pivots": SMALL_PIVOTS, "atr": {"n_bars": 5}}
    return Case(f"liquidity {label}", "liquidity", {**shared, **params}, calendar=SESSIONS, ups_come_first=True)


def _dealing_range(source: str) -> Case:
    return Case(
        f"dealing range of {source}", "dealing_range",
        {"range_source": source, "structure": {"swings": SMALL_PIVOTS, "atr": {"n_bars": 5}}}, calendar=SESSIONS,
        price_columns=("range_low", "range_high", "equilibrium"), complement_columns=("position",),
    )  # fmt: skip


def _midpoint(label: str, **params: Any) -> Case:
    within = {"structure": {"swings": SMALL_PIVOTS, "atr": {"n_bars": 5}}}
    shared = {"reset_k": 1.0, "reset_n": 2, "cooldown": 3, "dealing_range": within}
    return Case(f"midpoint {label}", "midpoint", {**shared, **params}, calendar=SESSIONS)


class GridCase(Case):
    """A grid a few ticks around the start of the random bars; it scales with the tick."""

    def run(self, bars: Any, **changes: Any) -> pl.DataFrame:
        """Run it with levels on the grid of the tick; profits are given as if the tick were TICK."""
        tick = changes.get("tick", TICK)
        frame = run(self.component, self.params_at(tick), bars, **{**self.options(), **changes})
        is_profit = pl.col("event").cast(pl.String).str.starts_with("BASKET")
        return frame.with_columns(
            value=pl.when(is_profit).then(pl.col("value") * (TICK / tick)).otherwise(pl.col("value"))
        )

    def stream(self) -> Stream:
        """Return the component ready for bars."""
        return stream(self.component, self.params_at(TICK), **self.options())

    def params_at(self, tick: float) -> dict[str, Any]:
        """Return the parameters with prices, which `params` gives in ticks from the start, as prices."""
        at = {"levels": lambda steps: tuple((144_180 + step) * tick for step in steps)}
        at |= {"stop": lambda step: (144_180 + step) * tick, "tp": lambda step: step * tick}
        return {name: at.get(name, lambda given: given)(value) for name, value in self.params.items()}


def _order_blocks(label: str, **params: Any) -> Case:
    within = {"swings": SMALL_PIVOTS, "atr": {"n_bars": 5}}
    return Case(f"order blocks {label}", "order_blocks", {"structure": within, "max_age": 24, **params})


BAND_PRICES = ("lower", "middle", "upper")
SMALL_REGIME = {
    "fast_bars": 3, "slow_bars": 6, "slope_bars": 2, "er_bars": 8, "adx": {"n_bars": 4}, "resample": {"minutes": 30}
}  # fmt: skip

CASES = [
    Case("atr", "atr", {"n_bars": 5}, price_columns=(), distance_columns=("atr",)),
    Case(
        "atr without weekends", "atr", {"n_bars": 5, "weekend_tr": "hl"}, calendar=(), price_columns=(),
        distance_columns=("atr",),
    ),
    Case("adx", "adx", {"n_bars": 5}, price_columns=()),
    Case("averages", "averages", {"sma_bars": 7, "ema_bars": 5}, price_columns=("sma", "ema")),
    Case(
        "bands", "bands", {"n_bars": 8, "squeeze_bars": 20}, price_columns=BAND_PRICES,
        unmirrored=("width", "is_squeeze", "percent_b"),
    ),
    Case("squeeze by quantile", "bands", {"n_bars": 8, "squeeze_bars": 20}, output="events", has_mirror=False),
    Case(
        "squeeze by minimum", "bands", {"n_bars": 8, "squeeze_bars": 20, "squeeze_mode": "minimum", "squeeze_e": 0.3},
        output="events", has_mirror=False,
    ),
    Case("buckets of an hour", "resample"),
    Case("buckets of four hours", "resample", {"period": "h4"}, calendar=()),
    Case("buckets of four hours UTC", "resample", {"period": "h4", "h4_anchor": "utc"}, calendar=()),
    Case("buckets of an FX day", "resample", {"period": "fx_day"}, calendar=()),
    Case("buckets of an FX week", "resample", {"period": "fx_week"}, calendar=()),
    Case("sessions", "sessions", {"min_coverage": 0.9}, calendar=SESSIONS),
    _opening_range("by close"),
    _opening_range("by stop", entry_mode="stop", max_trades=3),
    _opening_range("by retest", entry_mode="retest", tol_atr=0.2, max_trades=2),
    _opening_range("of a whole session", slot=2, or_minutes=None, entry_minutes=120, entry_mode="stop", buf_atr=0.0),
    _opening_range("with width limits", w_lo=0.2, w_hi=0.6),
    Case("regime", "regime", SMALL_REGIME, price_columns=(), odd_columns=("trend",)),
    Case("pivots", "pivots", {"left_bars": 3, "right_bars": 2}, ups_come_first=True),
    Case("swings", "swings", SMALL_PIVOTS),
    _structure("by close"),
    _structure("by wick with a buffer", break_mode="wick", buffer_atr=0.2),
    _structure("by pattern", label_mode="pattern"),
    _structure("with protected swings", choch_level="protected", break_mode="wick"),
    _liquidity("of all sources"),
    _liquidity("with depth and patience", reclaim=3, depth_atr=0.2, eq_atr=0.0),
    _liquidity("without equal levels", eq_atr=0.0, sources=("pivots",), reclaim=0),
    replace(_liquidity("with full sides"), capacity=3),
    *(_dealing_range(source) for source in ("swings", "leg", "day", "session")),
    _midpoint("at the close"),
    _midpoint("at the equilibrium", anchor="eq", reset_calendar="fx_day"),
    Case("trend and range events", "regime", SMALL_REGIME, output="events", unmirrored=("value",)),
    Case("gaps", "gaps", {"max_age": 24}),
    Case(
        "gaps that invert and join", "gaps",
        {"inversions": True, "join_consecutive": True, "contiguous_only": False, "body_filter": False, "max_age": 40},
        capacity=3,
    ),
    Case(
        "large gaps of overlapping bars", "gaps",
        {"g_atr": 0.3, "g_ticks": 2, "fvg_shape": "strict_overlap", "max_age": 0, "atr": {"n_bars": 5}},
    ),
    Case(
        "supply and demand", "supply_demand", {"max_age": 24, "dep_atr": 0.6, "max_base": 3, "atr": {"n_bars": 5}},
        unmirrored=("value",),
    ),
    _order_blocks("of extremes"),
    _order_blocks("of bodies that turn around", select="last_opposite", zone="body", zone_break="wick", breakers=True),
    _order_blocks("with a gap and displacement", needs_gap=True, disp_atr=0.3, max_range_atr=2.0, breakers=True),
    GridCase(
        "buying grid", "grid", {"side": 1, "levels": (-3, -6, -9), "units": (1, 2, 3), "stop": -60, "tp": 9},
        has_mirror=False,
    ),
    GridCase(
        "selling grid", "grid", {"side": -1, "levels": (2, 4), "units": (2, 1), "stop": 7, "tp": 20}, has_mirror=False
    ),
]  # fmt: skip


def same(left: pl.DataFrame, right: pl.DataFrame, *, tolerance: float = 0.0) -> bool:
    """Return whether two frames hold the same rows; NaN equals NaN."""
    if left.columns != right.columns or left.height != right.height:
        return False
    for name in left.columns:
        a, b = left[name], right[name]
        if a.dtype == pl.Float64:
            if not np.allclose(a.to_numpy(), b.to_numpy(), rtol=tolerance, atol=tolerance, equal_nan=True):
                return False
        elif not (a == b).all():
            return False
    return True


def known_before(rows: pl.DataFrame, n: int) -> pl.DataFrame:
    """Return the rows that are known on bars before n."""
    return rows.filter(pl.col("known_index" if "known_index" in rows.columns else "index") < n)


def prefix_invariance(runner: Runner, bars: Any) -> None:
    """What `bars[:n]` says is what all bars say up to n."""
    whole = runner(bars)
    for n in range(len(bars) + 1):
        assert same(runner(bars[:n]), known_before(whole, n)), f"differs with {n} bars"


def changed_future_invariance(runner: Runner, bars: Any) -> None:
    """Other bars after n change nothing that was known up to n."""
    whole = runner(bars)
    for n in range(7, len(bars), 29):
        assert same(known_before(runner(changed_after(bars, n)), n), known_before(whole, n)), f"differs before bar {n}"


def _is_ours(rows: pl.DataFrame) -> pl.Expr:
    """Return which rows are the component's: the bar check is none, its value is a length of time."""
    return pl.col("component") != "events" if "component" in rows.columns else pl.lit(value=True)


def mirror_symmetry(runner: Runner, bars: Any, case: Case) -> None:
    """On negated prices everything is the same with directions and bounds mirrored."""
    plain, other = runner(bars), runner(mirrored(bars))
    columns = {name: name for name in plain.columns}
    columns |= {"price_low": "price_high", "price_high": "price_low", "lower": "upper", "upper": "lower"}
    columns |= {"range_low": "range_high", "range_high": "range_low"}
    is_ours = _is_ours(plain)
    expected = plain.select(
        pl.when(is_ours).then(_mirror(pl.col(columns[name]), columns[name], case)).otherwise(pl.col(name)).alias(name)
        for name in plain.columns
    )
    kept = [name for name in plain.columns if name not in case.unmirrored]
    other, expected = other.select(kept), expected.select(kept)
    if case.ups_come_first:
        other, expected = _in_one_order(other), _in_one_order(expected)
    assert same(other, expected, tolerance=1e-9)


def _in_one_order(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of each bar in an order that does not depend on ids, and number the objects as they appear."""
    rows = rows.sort("known_index", "event", "direction", "origin_index", "price", "value", maintain_order=True)
    numbers: dict[int, int] = {-1: -1}
    ids = [numbers.setdefault(number, len(numbers)) for number in rows["id"]]
    return rows.with_columns(pl.Series("id", ids))


def _mirror(column: pl.Expr, name: str, case: Case) -> pl.Expr:
    if name in case.price_columns:
        return MIRROR_AT - column
    if name in case.complement_columns:
        return 1.0 - column
    return -column if name in case.odd_columns else column


def scale_invariance(runner: Runner, bars: Any, case: Case) -> None:
    """Prices and tick times a power of two change nothing but the prices."""
    for factor in (0.25, 8.0):
        plain = runner(bars)
        is_ours = _is_ours(plain)
        expected = plain.with_columns(
            pl.when(is_ours).then(pl.col(name) * factor).otherwise(pl.col(name)).alias(name)
            for name in case.price_columns + case.distance_columns
            if name in plain.columns
        )
        assert same(runner(scaled(bars, factor), tick=TICK * factor), expected), f"differs at {factor}"


def restart_equivalence(make: Callable[[], Stream], bars: Any) -> None:
    """A state saved and restored after any bar gives the identical next rows and the identical bytes."""
    running = make()
    for i, bar in enumerate(bars):
        restored = make()
        restored.restore(running.save())
        # As text, because NaN does not equal itself.
        assert str(running.push(bar)) == str(restored.push(bar)), f"rows differ on bar {i}"
        assert running.state_bytes() == restored.state_bytes(), f"memory differs after bar {i}"


def batch_equals_stream(case: Case, bars: Any) -> None:
    """Pushing bar by bar gives the rows of one run."""
    running = case.stream()
    rows = [row for bar in bars for row in running.push(bar)]
    whole = case.run(bars)
    assert same(pl.DataFrame(rows, schema=whole.schema), whole)
    assert whole.height > 0, "the component said nothing, so nothing was proven"


def short_bars() -> Any:
    """Return a day of dirty bars around the London session, for laws that are asked after every bar."""
    return dirty_bars(96, seed=3, start="2024-01-08T04:00")


def medium_bars() -> Any:
    """Return four days of dirty bars."""
    return dirty_bars(300, seed=4)


def long_bars() -> Any:
    """Return dirty bars of more than a week."""
    return dirty_bars(900, seed=4)
