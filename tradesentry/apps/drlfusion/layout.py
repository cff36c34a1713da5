"""Where drlfusion keeps what it knows: the observer, the holding, the agents, what was decided last, and the weights.

Separate from the kernels because environment, trainers, packages and reports read the same records. `OBSERVER` is all
that depends on the market alone, `HOLDING` all that depends on the own position: the training environment keeps one
holding per environment and reads the observer's output from a file.
"""

from enum import IntEnum
from typing import Any, Final

import numpy as np

from tradesentry.apps.drlfusion.configs.drlfusion_config import DrlFusionConfig
from tradesentry.core.strategy.config import fill_record, params_dtype, params_record
from tradesentry.core.strategy.indicators import events, hygiene, volatility
from tradesentry.core.utils.kernel import plain_record

N_AGENTS: Final = 4
AGENTS: Final = ("ppo", "dqn", "sac", "a2c")
"""Names by agent number; the order of every array with an axis of agents."""
N_MARKET: Final = 24
"""Market features of an observation."""
N_OWN: Final = 4
"""Features of the own position."""
N_FEATURES: Final = N_MARKET + N_OWN
N_HIDDEN: Final = 64
N_OUT: Final = 5
LEVELS: Final = (-1.0, -0.5, 0.0, 0.5, 1.0)
"""Positions as parts of a full unit."""
N_LEVELS: Final = len(LEVELS)
BARS_NEEDED: Final = 400
"""Warm-up, execution bars."""
N_RING: Final = 128
"""Bars that the observer keeps; a power of two above the longest window."""
N_QUARTERS: Final = 96
"""Quarter hours of an FX day."""
N_MOMENTS: Final = 3
"""Components of the turbulence vector: move, range, spread."""


class Head(IntEnum):
    """What the outputs of a network mean."""

    LOGITS = 0
    """Five logits of the levels."""
    GAUSSIAN = 1
    """Outputs 0 and 1 are mean and log deviation of the level itself."""
    SQUASHED = 2
    """The same before a tanh, as SAC has it."""
    VALUES = 3
    """Five action values; a softmax with a temperature makes them shares."""


class Rule(IntEnum):
    """How proposals become one wish: the position of the name in `DrlFusionConfig.rule`."""

    QUORUM = 0
    MEAN = 1
    SOFTMAX = 2
    SELECT = 3
    HEDGE = 4
    GATE = 5


class Tag(IntEnum):
    """Why an intent was written: `INTENT.tag`."""

    NONE = 0
    ENTER = 1
    ADD = 2
    REVERSE = 3
    SIZE_BELOW_MINIMUM = 4
    """An entry that `decide` will refuse, so that the refusal is on record."""


TRAINING: Final = "training"
"""Field of the configuration that no decision reads."""
TAGS: Final = {int(tag): tag.name.lower() for tag in Tag if tag}

UNIT = np.dtype(
    [
        ("units", "f8"),  # of a position at level 1
        ("equity", "f8"),  # when it was fixed
        ("distance", "f8"),  # loss per unit at the stop then, price units
        ("budget", "f8"),  # most that everything open may lose at the stop, account money
    ],
    align=True,
)
"""What a full position is; fixed at the entry until flat or reversed."""

HOLDING = np.dtype(
    [
        ("side", "i8"),  # of the own position, 0 flat
        ("net_units", "f8"),  # signed
        ("held", "f8"),  # net_units / unit.units
        ("unit", UNIT),
        ("next_side", "i8"),  # of an entry asked for, whose unit is not in force yet; 0 none
        ("next_unit", UNIT),
        ("open_r", "f8"),  # open profit over unit.units x unit.distance
        ("best_r", "f8"),  # greatest open_r since the entry
        ("held_bars", "i8"),  # the bar of the entry counts
        ("closed_side", "i8"),  # held too long; no entry there until the wish leaves it
        ("reason", "i8"),  # ExitReason of a reduction, written by shape_target
        ("asked_level", "f8"),  # target whose entry was left out, and the holding it was left out at
        ("asked_units", "f8"),
    ],
    align=True,
)
"""Memory of the own position on one market: all that the own features and the sizes hang on."""

OBSERVER = np.dtype(
    [
        ("hygiene", hygiene.STATE),
        ("events", events.events_dtype(4)),
        ("atr", volatility.STATE),  # 14 bars
        ("slow_atr", volatility.STATE),  # 96 bars
        ("n", "i8"),  # bars observed
        ("at", "i8"),  # row of the present bar in the rings
        ("closes", "f8", (N_RING,)),
        ("highs", "f8", (N_RING,)),
        ("lows", "f8", (N_RING,)),
        ("slow_gaps", "f8", (N_RING,)),  # close - EMA(48)
        ("fast_gap", "f8"),  # close - EMA(12)
        ("up", "f8"),  # Wilder's means of the RSI
        ("down", "f8"),
        ("n_moments", "i8"),
        ("mean", "f8", (N_MOMENTS,)),  # of the turbulence vector, bars up to this one
        ("covariance", "f8", (N_MOMENTS, N_MOMENTS)),
        ("atr_before", "f8"),  # ATR(14) one bar earlier: what features are divided by
        ("spread", "f8"),  # price units
        ("turbulence", "f8"),  # squared distance of this bar from what was usual
        ("volatility", "f8"),  # annual, fraction; of the last 96 moves
        ("features", "f4", (N_MARKET,)),  # raw, clipped, not normalized
    ],
    align=True,
)
"""Memory of the market observed, and what `observe_market` makes of it."""

AGENT = np.dtype(
    [
        ("pi", "f8", (N_LEVELS,)),  # shares of the levels, after symmetrizing
        ("p", "f8"),  # proposal
        ("s", "f8"),  # its deviation
        ("shadow_level", "f8"),  # proposal of this bar, snapped; held over the next
        ("shadow_cost", "f8"),  # price of having taken it, price units
        ("result", "f8"),  # of the proposal one bar earlier on this bar, ATRs
        ("shadow_sum", "f8"),
        ("shadow_sq", "f8"),
        ("last_sharpe", "f8"),  # of the last complete block, annual
        ("score", "f8"),
        ("weight", "f8"),
    ],
    align=True,
)
"""One agent: what it proposes and how its shadow account has done."""

LAST = np.dtype(
    [
        ("p", "f8", (N_AGENTS,)),
        ("s", "f8", (N_AGENTS,)),
        ("w", "f8", (N_AGENTS,)),
        ("x", "f8"),  # wished exposure
        ("a", "f8"),  # target level
        ("g", "f8"),  # turbulence multiplier
        ("turbulence", "f8"),
        ("held", "f8"),
        ("votes", "i8"),  # sum of the votes
        ("n_decisions", "i8"),  # bars decided so far
    ],
    align=True,
)
"""What the last bar decided, for decision logs and reports."""

ENSEMBLE = np.dtype(
    [
        ("agents", AGENT, (N_AGENTS,)),
        ("n_decisions", "i8"),
        ("fx_day", "i8"),  # row of the calendar as of the last bar
        ("n_days", "i8"),  # FX days begun since the block began
        ("block_bars", "i8"),
        ("n_blocks", "i8"),
        ("last_close", "f8"),
    ],
    align=True,
)

STATE = np.dtype(
    [
        ("observer", OBSERVER),
        ("holding", HOLDING),
        ("ensemble", ENSEMBLE),
        ("raw", "f4", (N_FEATURES,)),
        ("obs", "f4", (N_FEATURES,)),
        ("mirrored", "f4", (N_FEATURES,)),
        ("h1", "f4", (N_HIDDEN,)),
        ("h2", "f4", (N_HIDDEN,)),
        ("out", "f4", (N_OUT,)),
        ("mirrored_pi", "f8", (N_LEVELS,)),
        ("last", LAST),
    ],
    align=True,
)

EXTRA_PARAMS: Final[list[tuple[str, Any]]] = [
    ("hygiene", hygiene.PARAMS),
    ("atr", volatility.PARAMS),
    ("slow_atr", volatility.PARAMS),
    ("bars_per_year", "f8"),
    ("unit_units", "f8"),  # fixes the full unit, for known answers; 0: from risk and stop
    ("w1", ("f4", (N_AGENTS, N_FEATURES, N_HIDDEN))),
    ("b1", ("f4", (N_AGENTS, N_HIDDEN))),
    ("w2", ("f4", (N_AGENTS, N_HIDDEN, N_HIDDEN))),
    ("b2", ("f4", (N_AGENTS, N_HIDDEN))),
    ("w3", ("f4", (N_AGENTS, N_HIDDEN, N_OUT))),
    ("b3", ("f4", (N_AGENTS, N_OUT))),
    ("head", ("i8", (N_AGENTS,))),
    ("temperature", ("f8", (N_AGENTS,))),  # of head VALUES
    ("obs_mean", ("f8", (N_FEATURES,))),
    ("obs_scale", ("f8", (N_FEATURES,))),
    ("day_table", ("f8", (N_QUARTERS, 2))),  # sine and cosine of the quarter hour
    ("turbulence_q90", "f8"),
    ("turbulence_q99", "f8"),
]
"""What the kernels read besides the fields of the model; from `w1` on it is the model set."""


def _params() -> np.dtype[Any]:
    """Return the fields that kernels read: those of the configuration without what trains, and the computed ones."""
    whole = params_dtype(DrlFusionConfig)
    fields: Any = whole.fields
    named = [(name, fields[name][0]) for name in whole.names or () if name != TRAINING]
    return np.dtype(named + EXTRA_PARAMS, align=True)


PARAMS: Final = _params()
"""Layout of the parameter record."""


def day_table() -> np.ndarray[Any, Any]:
    """Return sine and cosine of the place in the FX day, shape (96, 2); models keep it, so no platform computes it."""
    angle = 2.0 * np.pi * np.arange(N_QUARTERS) / N_QUARTERS
    return np.stack([np.sin(angle), np.cos(angle)], axis=1)


def fill_constants(config: DrlFusionConfig, record: Any) -> None:
    """Write the fields of `EXTRA_PARAMS` that come from no model set; networks, normalizer and gate stay as they are.

    Args:
        config: The configuration.
        record: A plain record of `PARAMS`.
    """
    fill_record(hygiene.HygieneParams(), record["hygiene"])
    fill_record(volatility.AtrParams(n_bars=14, weekend_tr="hl"), record["atr"])
    fill_record(volatility.AtrParams(n_bars=96, weekend_tr="hl"), record["slow_atr"])
    record["bars_per_year"] = config.bars_per_year


def blank_params(config: DrlFusionConfig) -> np.recarray[Any, Any]:
    """Return parameters without a model set, shape (1,): no normalizing, no turbulence gate, weights of zero.

    Args:
        config: The configuration; `models` is not read.
    """
    records = params_record(config, PARAMS)
    row = plain_record(records)
    fill_constants(config, row)
    row["obs_scale"] = 1.0
    row["temperature"] = 1.0
    row["day_table"] = day_table()
    return records
