"""Where smedge keeps what it knows: legs and their zones, tags, the state record, and parameters made from the model.

Separate from the kernels because tests, charts and reports read the same numbers.
"""

from enum import IntEnum
from typing import Any, Final

import numpy as np

from tradesentry.apps.smedge.config import H4_MINUTES, POOL_SESSIONS, SMEdgeConfig
from tradesentry.core.strategy.config import fill_record
from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.strategy.indicators import (
    gaps,
    hygiene,
    liquidity,
    order_blocks,
    regime,
    resample,
    sessions,
    structure,
    swings,
    volatility,
    zones,
)
from tradesentry.core.strategy.indicators.averages import TRUST
from tradesentry.core.strategy.indicators.structure_rigs import STRUCTURE_STATE

FAST_BARS: Final = 20
SLOW_BARS: Final = 50
"""Averages of the H4 trend."""
N_EVENTS: Final = 1_152
"""More than one bar can cause: every block touched, halved and broken, every gap filled, every pool ended."""
N_LEG_ZONES: Final = 2 * zones.N_ZONES + 2
"""All live gaps and breakers of one side, the leg's block, and the gap that is known one bar later."""


class Trigger(IntEnum):
    """What started a leg."""

    NONE = 0
    CHOCH = 1
    CHOCH_SWEEP = 2
    BOS = 3


class Kind(IntEnum):
    """What a zone of a leg is."""

    OB = 0
    FVG = 1
    OVERLAP = 2
    BREAKER = 3


class Stage(IntEnum):
    """Whether a zone may be entered."""

    WAITING = 0
    """Price was in it when it became known, and has not departed since."""
    READY = 1
    SPENT = 2
    """Price has been at its entry point, or has closed beyond it."""


TAGS: Final = {
    len(Kind) * (trigger - 1) + kind + 1: f"{trigger.name}_{kind.name}".lower()
    for trigger in Trigger
    if trigger != Trigger.NONE
    for kind in Kind
}
"""`INTENT.tag` by trigger and zone."""

SWEEP = np.dtype([("id", "i8"), ("index", "i8"), ("extreme", "f8")], align=True)
"""The last sweep that lets expect one direction; id 0 none."""
TRACK = np.dtype(
    [
        ("id", "i8"),  # of the swing, 0 none
        ("position", "i8"),
        ("start", "f8"),  # lowest low after a swing high, highest high after a swing low; the last one of equals
        ("start_index", "i8"),
        ("reach", "f8"),  # the other extreme of the bars from there on, that one included
    ],
    align=True,
)
"""The leg that a break of a level would have, kept up to date bar by bar."""
LEG_ZONE = np.dtype(
    [
        ("kind", "i8"),
        ("id", "i8"),  # of the block or gap
        ("stage", "i8"),
        ("known_index", "i8"),  # bar at whose close the leg took it in
        ("near", "f8"),
        ("far", "f8"),
        ("entry", "f8"),
    ],
    align=True,
)
LEG = np.dtype(
    [
        ("side", "i8"),  # 0 none
        ("trigger", "i8"),
        ("break_id", "i8"),
        ("break_index", "i8"),
        ("sweep_id", "i8"),
        ("start", "f8"),
        ("start_index", "i8"),
        ("reach", "f8"),  # runs on until the order is filled
        ("atr", "f8"),  # of the breaking bar
        ("stop", "f8"),  # bid
        ("ends_index", "i8"),  # bar at whose close its life is over
        ("has_rested", "b1"),
        ("block_id", "i8"),
        ("block_near", "f8"),
        ("block_far", "f8"),
        ("n_zones", "i8"),
        ("zones", LEG_ZONE, (N_LEG_ZONES,)),
    ],
    align=True,
)
"""A break, the move that made it, and where its retracement is entered. All prices are bids."""
PLAN = np.dtype(
    [
        ("is_resting", "b1"),
        ("zone", "i8"),  # position in the leg
        ("entry", "f8"),  # bid
        ("price", "f8"),  # of the order
        ("stop", "f8"),
        ("target", "f8"),
        ("pool", "f8"),  # level whose touch without us ends the idea, NaN none
        ("spread", "f8"),  # when it was placed
        ("expiry_ns", "i8"),
    ],
    align=True,
)
"""The order of the first leg."""
STATE = np.dtype(
    [
        ("hygiene", hygiene.STATE),
        ("events", ev.events_dtype(N_EVENTS)),
        ("higher", resample.STATE),
        ("higher_events", ev.EVENTS),
        ("higher_structure", STRUCTURE_STATE),
        ("trend", regime.STATE),
        ("is_stale", "b1"),  # the last H4 bar missed bars and was not used
        ("n_stale", "i8"),
        ("atr", volatility.STATE),
        ("sessions", sessions.STATE),
        ("blocks", order_blocks.STATE),
        ("gaps", gaps.STATE),
        ("liquidity", liquidity.STATE),
        ("structure", structure.STATE),
        ("pivots", swings.PIVOT_STATE),
        ("swings", swings.STATE),
        ("sweeps", SWEEP, (2,)),  # by direction of the reversal: up, down
        ("tracks", TRACK, (2,)),  # of an up break, of a down break
        ("week_index", "i8"),  # first bar after the last weekend or long gap
        ("plan", PLAN),
        ("legs", LEG, (2,)),  # the leg in hand, and a newer one that waits for a better order
    ],
    align=True,
)

EXTRA_PARAMS: Final[list[tuple[str, Any]]] = [
    ("hygiene", hygiene.PARAMS),
    ("regime", regime.PARAMS),  # with the buckets and the structure of H4
    ("blocks", order_blocks.PARAMS),  # with structure, swings, gaps and ATR of execution bars
    ("liquidity", liquidity.PARAMS),  # with the sessions
    ("target_r", "f8"),  # fixed multiple, NaN for pools
    ("warmup_bars", "i8"),
]
"""What the kernels read besides the fields of the model."""

_ATR: Final = volatility.AtrParams(weekend_tr="hl")


def structure_params(config: SMEdgeConfig) -> structure.StructureParams:
    """Return the parameters of swings and structure on execution bars."""
    return structure.StructureParams(
        label_mode=config.label_mode,
        break_mode=config.break_mode,
        swings=swings.SwingsParams(left_bars=config.left_bars, right_bars=config.n_right),
        atr=_ATR,
    )


def gaps_params(config: SMEdgeConfig) -> gaps.GapsParams:
    """Return the parameters of the gaps."""
    return gaps.GapsParams(g_atr=config.g_atr, atr=_ATR)


def blocks_params(config: SMEdgeConfig) -> order_blocks.OrderBlocksParams:
    """Return the parameters of the order blocks."""
    return order_blocks.OrderBlocksParams(
        breakers=config.use_breakers, structure=structure_params(config), gaps=gaps_params(config)
    )


def liquidity_params(config: SMEdgeConfig) -> liquidity.LiquidityParams:
    """Return the parameters of pools and sweeps."""
    return liquidity.LiquidityParams(
        reclaim=config.reclaim,
        pivots=swings.PivotsParams(left_bars=config.left_bars, right_bars=config.n_right),
        sessions=sessions.SessionsParams(n_slots=len(POOL_SESSIONS)),
        atr=_ATR,
    )


def regime_params(config: SMEdgeConfig) -> regime.RegimeParams:
    """Return the parameters of the H4 trend."""
    return regime.RegimeParams(
        trend_mode=config.trend_mode,
        fast_bars=FAST_BARS,
        slow_bars=SLOW_BARS,
        er_max=None,
        adx_max=None,
        resample=resample.ResampleParams(period="h4", h4_anchor=config.h4_anchor),
    )


def bars_needed(config: SMEdgeConfig) -> int:
    """Return the warm-up of a configuration: the longest of what trend and structure need, execution bars."""
    needed = max(config.left_bars + config.n_right + 2, _ATR.n_bars + 2)
    higher = regime_params(config)
    buckets = {
        "ema": TRUST * SLOW_BARS + higher.slope_bars,
        "structure": higher.structure.swings.left_bars + higher.structure.swings.right_bars + 2,
        "off": 0,
    }
    buckets["both"] = max(buckets.values())
    return max(needed, buckets[config.trend_mode] * H4_MINUTES // config.bar_minutes)


def fill_params(config: SMEdgeConfig, record: Any) -> None:
    """Write the fields of `EXTRA_PARAMS`."""
    fill_record(hygiene.HygieneParams(), record["hygiene"])
    fill_record(regime_params(config), record["regime"])
    fill_record(blocks_params(config), record["blocks"])
    fill_record(liquidity_params(config), record["liquidity"])
    record["target_r"] = np.nan if config.target == "pool" else float(config.target.removesuffix("R"))
    record["warmup_bars"] = bars_needed(config)
