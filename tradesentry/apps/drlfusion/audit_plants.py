"""Plant leaks into a clean pipeline, one each, to show that the detectors of `audit` bite.

Each is a mistake that published work on learned strategies has made. Apart from the detectors, so that those can be
read without them.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from tradesentry.apps.drlfusion.audit import Floats, Observed, Pipeline, net_of
from tradesentry.apps.drlfusion.envs.market_data import ModelConstants

BEYOND: Final = 200
"""Bars by which planted episodes reach past the training slice."""


def _with_column(observed: Observed, column: int, values: Floats) -> Observed:
    market = observed.market.copy()
    market[:, column] = values
    return replace(observed, market=market)


def _changed_trades(pipeline: Pipeline, change: Callable[[Any], None]) -> Callable[[], Any]:
    def trades() -> Any:
        rows = pipeline.trades().copy()
        change(rows)
        return rows

    return trades


def _at_close(rows: Any, bars: Any) -> None:
    at = np.searchsorted(bars["open_ns"], rows["entry_ns"]) - 1
    rows["entry_ns"], rows["entry_price"] = bars["close_ns"][at] - 1, bars["close"][at]


def _free_spread(rows: Any, bars: Any) -> None:
    at = np.minimum(np.searchsorted(bars["open_ns"], rows["entry_ns"]), len(bars) - 1)
    rows["entry_price"] = np.where(rows["side"] > 0, rows["entry_price"] - bars["spread"][at], rows["entry_price"])


def _early_hours(values: Floats) -> Floats:
    """Show the last value of each block of four bars at all four: a higher timeframe before its close."""
    n = len(values) // 4 * 4
    return np.concatenate([np.repeat(values[3:n:4], 4), values[n:]])


def plants(pipeline: Pipeline) -> Mapping[str, Pipeline]:
    """Return the pipeline with one leak each, by name; every one must be caught.

    Args:
        pipeline: A clean one.
    """
    return _seen_early(pipeline) | _fitted_early(pipeline) | _paid_wrongly(pipeline)


def _seen_early(pipeline: Pipeline) -> dict[str, Pipeline]:
    """Return leaks of what is observed."""

    def seen_as(change: Callable[[Floats], Floats], column: int = 10) -> Pipeline:
        def observe(bars: Any) -> Observed:
            found = pipeline.observe(bars)
            return _with_column(found, column, change(found.market[:, column]))

        return replace(pipeline, observe=observe)

    return {
        "feature centered on all bars": seen_as(lambda v: v - v.mean()),
        "feature filled from behind": seen_as(lambda v: np.concatenate([v[3:], v[-3:]])),
        "higher timeframe before its close": seen_as(_early_hours),
        "odd feature made even": seen_as(np.abs),
    }


def _fitted_early(pipeline: Pipeline) -> dict[str, Pipeline]:
    """Return leaks of what is fitted, and of where training goes."""
    last = len(pipeline.bars) - 1

    def gates(observed: Observed, first: int, end: int) -> ModelConstants:
        whole = pipeline.fit(observed, 0, last)
        return replace(
            pipeline.fit(observed, first, end), turbulence_q90=whole.turbulence_q90, turbulence_q99=whole.turbulence_q99
        )

    return {
        "normalizer fitted on all bars": replace(pipeline, fit=lambda o, _first, _last: pipeline.fit(o, 0, last)),
        "turbulence quantile of all bars": replace(pipeline, fit=gates),
        "normalizer updated in evaluation": replace(pipeline, evaluate=lambda _c, o: pipeline.fit(o, 0, last)),
        "episode across the boundary": replace(
            pipeline, episodes=lambda first, end: pipeline.episodes(first, end + BEYOND)
        ),
    }


def _paid_wrongly(pipeline: Pipeline) -> dict[str, Pipeline]:
    """Return leaks of what is paid and earned."""

    def same_bar(levels: Floats, bars: Any, atr: Floats) -> Floats:
        return net_of(np.roll(levels, -1), bars, atr)

    def with_trades(change: Callable[[Any], None]) -> Pipeline:
        return replace(pipeline, trades=_changed_trades(pipeline, change))

    return {
        "result credited on the bar of the decision": replace(pipeline, score=same_bar),
        "fill at the observed close": with_trades(lambda rows: _at_close(rows, pipeline.bars)),
        "spread of zero": with_trades(lambda rows: _free_spread(rows, pipeline.bars)),
        "gap at the roll-over carried as profit": with_trades(
            lambda rows: rows.__setitem__("gross", rows["gross"] + 1.0)
        ),
    }
