"""Hold positions that somebody else wishes for, with the app's own shaping, sizes, stops and gates.

What the agents must beat are other wishes, not other fills: momentum, carry, a regression on the same observation,
chance. Each is a number per bar; from there on the code is that of the app (`shape_target`, `emit_target`), so a
difference in the result is a difference in the wishes. Features are written once per series and read by every play.
"""

import math
from collections.abc import Callable
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from tradesentry.apps.drlfusion.configs.drlfusion_config import DrlFusionConfig
from tradesentry.apps.drlfusion.envs.features import feature_at, feature_rows
from tradesentry.apps.drlfusion.holding import follow_position
from tradesentry.apps.drlfusion.layout import BARS_NEEDED, HOLDING, PARAMS, TAGS
from tradesentry.apps.drlfusion.strategy import DrlFusionStrategy
from tradesentry.apps.drlfusion.targets import emit_target, shape_target
from tradesentry.backtest.resolve import ResolvedRun
from tradesentry.backtest.targets import OwnRule, TargetHolding
from tradesentry.core.strategy.base_strategy import BaseStrategy
from tradesentry.core.utils.kernel import kernel, new_records, record_at

__all__ = ["TARGETS", "WISH", "HeldTargets", "step"]

WISH: Final = np.dtype([("x", "f8"), ("is_given", "b1")], align=True)
HELD_PARAMS: Final = np.dtype([("model", PARAMS), ("rows", "i8"), ("wishes", "i8")], align=True)
HELD_STATE: Final = np.dtype([("holding", HOLDING)], align=True)
wish_at = record_at(WISH)


@kernel
def step(params: Any, state: Any, _bar: Any, view: Any, intents: Any) -> int:
    """Bring the position to what is wished for at this close; where nothing is given, leave it as it is.

    Args:
        params: HELD_PARAMS; `rows` is the address of a FEATURE array, `wishes` of a WISH array, a row per bar.
        state: HELD_STATE.
        _bar: BAR, closed; its feature row has it on the tick grid.
        view: VIEW of this market.
        intents: INTENT array.

    Returns:
        The number of intents, 0 to 3.
    """
    row = feature_at(params.rows, view.bar_index - 1)
    if not row.is_good:
        return 0
    follow_position(params.model, state.holding, row.bar, view)
    wish = wish_at(params.wishes, view.bar_index - 1)
    if not wish.is_given:
        return 0
    level = shape_target(params.model, state.holding, row.bar, view, wish.x, row.turbulence, row.volatility)
    return int(emit_target(params.model, state.holding, row.bar, view, row.atr, level, intents))


class HeldTargets(BaseStrategy):
    """Wishes from a table as a strategy; parameters are those of the app with the address of the table."""

    name = "held_targets"
    summary = "Positions wished for beforehand."
    Config = DrlFusionConfig
    STATE = HELD_STATE
    step = step
    TAGS: ClassVar[dict[int, str]] = TAGS

    @classmethod
    def params_dtype(cls) -> np.dtype[Any]:
        """Return the layout of the parameter record."""
        return HELD_PARAMS

    @classmethod
    def new_params(cls, config: Any) -> np.recarray[Any, Any]:
        """Return the parameters of the app, shape (1,); the addresses are set by whoever plays."""
        params = new_records(1, HELD_PARAMS)
        params["model"] = DrlFusionStrategy.new_params(config)
        return params

    @classmethod
    def bars_needed(cls, _config: Any) -> int:
        """Return the warm-up, execution bars."""
        return BARS_NEEDED


def _rows(run: ResolvedRun, market: int) -> npt.NDArray[Any]:
    config: Any = run.config
    return feature_rows(run.data.series[market].bars, run.markets[market : market + 1], config)


def _table(wishes: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    table = np.zeros(len(wishes), WISH)
    table["x"], table["is_given"] = np.nan_to_num(wishes), np.isfinite(wishes)
    return table


def _observe(rows: Any) -> npt.NDArray[np.float64]:
    seen: npt.NDArray[np.float64] = np.asarray(rows["market"], np.float64)
    return seen


def _last(name: str) -> Callable[[Any], float]:
    def read(state: Any) -> float:
        last = state["last"][0]
        return float(last[name]) if last["n_decisions"] > 0 else math.nan

    return read


TARGETS: Final = TargetHolding(
    strategy=HeldTargets,
    rows=_rows,
    table=_table,
    observe=_observe,
    wished=_last("x"),
    level=_last("a"),
    ungated={"turbulence_gate": False, "volatility_target": 0.0},
    steady={"max_hold_bars": 0},
    rules=(
        OwnRule(
            "equal_weights",
            "Equal weights",
            "The mean of the four proposals, each with the same weight: what is the vote worth?",
            {"rule": "mean"},
        ),
    ),
)
"""What the back-test needs to play other wishes the way this app plays its own."""
