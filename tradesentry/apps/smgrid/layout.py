"""Where smgrid keeps what it knows: one basket a side, marks of its levels, the state record, computed parameters.

Separate from the kernels because tests, chart and report read the same numbers.
"""

from enum import IntEnum
from typing import Any, Final

import numpy as np

from tradesentry.apps.smgrid.configs.smgrid_config import SMGridConfig
from tradesentry.core.strategy.indicators import hygiene, zone_context
from tradesentry.core.strategy.indicators.dealing_range import DealingRangeParams
from tradesentry.core.strategy.indicators.midpoint import MidpointParams
from tradesentry.core.strategy.indicators.order_blocks import OrderBlocksParams
from tradesentry.core.strategy.indicators.regime import RegimeParams
from tradesentry.core.strategy.indicators.structure import StructureParams
from tradesentry.core.strategy.indicators.supply_demand import SupplyDemandParams
from tradesentry.core.strategy.indicators.swings import SwingsParams
from tradesentry.core.strategy.indicators.volatility import AdxParams, AtrParams

N_LEVELS: Final = 8
"""Most levels of one grid."""
TAGS: Final = {level: f"level_{level}" for level in range(1, N_LEVELS + 1)}
"""`INTENT.tag` is the level, 1 the shallowest."""


class Phase(IntEnum):
    """What a basket is doing."""

    FLAT = 0
    RESTING = 1
    """Its levels rest and none has filled yet."""
    HELD = 2
    CLOSING = 3
    """It was told to leave at the next open."""


class Mark(IntEnum):
    """What a level is doing."""

    WAITING = 0
    """It does not rest now and may."""
    RESTING = 1
    FILLED = 2
    SPENT = 3
    """It was filled and left, or refused; it never rests again in this basket."""


class ZoneKind(IntEnum):
    """What a grid is anchored to; bit k - 1 of a mask."""

    NONE = 0
    BASE = 1
    ORDER_BLOCK = 2


CANDIDATE = np.dtype(
    [
        ("kind", "i8"),  # ZoneKind, NONE without one
        ("id", "i8"),
        ("near", "f8"),  # proximal, chart price
        ("far", "f8"),  # distal
    ],
    align=True,
)
"""A zone that a grid may be laid into."""

BASKET = np.dtype(
    [
        ("phase", "i8"),
        ("id", "i8"),  # INTENT.basket
        ("zone", CANDIDATE),  # what it is anchored to; for a band kind NONE and the number of the reset
        ("anchor", "f8"),  # midpoint of a band
        ("n", "i8"),  # levels used
        ("n_waiting", "i8"),  # levels that may rest and do not, as of the last bar
        ("n_filled", "i8"),  # deepest level filled so far
        ("prices", "f8", (N_LEVELS,)),  # of the orders
        ("units", "f8", (N_LEVELS,)),
        ("weights", "f8", (N_LEVELS,)),
        ("marks", "i8", (N_LEVELS,)),
        ("stop", "f8"),  # of the orders
        ("spread", "f8"),  # when planned
        ("atr", "f8"),  # when planned
        ("step", "f8"),  # distance of levels
        ("tp", "f8"),  # distance of the target
        ("fixed_target", "f8"),  # NaN where the target hangs on the average
        ("target", "f8"),  # that the open positions carry
        ("allowed", "f8"),  # risk x equity when planned, account money
        ("worst", "f8"),  # loss with all levels filled and stopped
        ("fee", "f8"),  # commission both ways per unit, account money
        ("first_bar", "i8"),  # VIEW.bar_index of the first fill
        ("fx_day", "i8"),  # row of the calendar when the target was set
        ("held_levels", "i8"),  # bits of the levels held then
        ("is_halved", "b1"),
        ("is_free", "b1"),  # past its time stop: the target is net break-even
        ("is_over", "b1"),  # part of it has left at its target: the rest follows at the next open
        ("lock_until_ns", "i8"),  # after a stop; 0: not locked
        ("lock_base", "i8"),  # last ids, and resets of the midpoint, at that stop
        ("lock_block", "i8"),
        ("lock_resets", "i8"),
        ("retry_bar", "i8"),  # bar_index before which no grid is planned, after a refusal
        ("used", CANDIDATE),  # zone of the last basket that filled
        ("is_lost", "b1"),  # and whether it ended by the stop
        ("candidate", CANDIDATE),  # nearest zone that may be used, as of the last completed hour
    ],
    align=True,
)
HELD = np.dtype(
    [
        ("n", "i8"),
        ("units", "f8"),
        ("initial_units", "f8"),
        ("cost", "f8"),  # sum of units x entry price
        ("commission", "f8"),
        ("swap", "f8"),
        ("levels", "i8"),  # bit i: level i + 1 is held
        ("orders", "i8"),  # bit i: level i + 1 rests
    ],
    align=True,
)
"""What the view shows of one basket; filled anew on each bar."""

STATE = np.dtype(
    [
        ("hygiene", hygiene.STATE),
        ("events", zone_context.EVENTS),
        ("context", zone_context.STATE),
        ("n_baskets", "i8"),  # the last id
        ("n_resting", "i8"),  # levels of both baskets that rest after this bar's decisions
        ("n_open", "i8"),  # and those held
        ("held", HELD),
        ("baskets", BASKET, (2,)),  # buy, sell
    ],
    align=True,
)

EXTRA_PARAMS: Final[list[tuple[str, Any]]] = [
    ("hygiene", hygiene.PARAMS),
    ("context", zone_context.PARAMS),
    ("target_mode", "i8"),
    ("tp_atr", "f8"),
    ("warmup_bars", "i8"),
]
"""What the kernels read besides the fields of the model."""

DEFAULT_TP: Final = 0.4
"""Distance beyond the zone of tp zone_exit, ATR."""
_ATR: Final = AtrParams(weekend_tr="hl")


def context_params(config: SMGridConfig) -> zone_context.ZoneContextParams:
    """Return what the zone timeframe computes for a configuration."""
    structure = StructureParams(
        swings=SwingsParams(left_bars=config.swing_left, right_bars=config.swing_right), atr=_ATR
    )
    spans = DealingRangeParams(range_source=config.range_source, structure=structure)
    is_band = config.anchor == "atr_band"
    return zone_context.ZoneContextParams(
        uses_bases=not is_band and config.zone_kind != "order_block",
        uses_blocks=not is_band and config.zone_kind != "base",
        bases=SupplyDemandParams(
            base_body=config.base_body,
            base_atr=config.base_atr,
            max_base=config.max_base,
            dep_atr=config.dep_atr,
            contiguous_only=True,
            max_age=config.max_age,
            atr=_ATR,
        ),
        blocks=OrderBlocksParams(max_age=config.max_age, structure=structure),
        midpoint=MidpointParams(
            anchor="eq",
            reset_k=config.reset_k,
            reset_n=config.reset_n,
            cooldown=config.cooldown,
            dealing_range=spans,
        ),
        regime=RegimeParams(
            trend_mode="off" if config.regime_er is None else config.trend_mode,
            er_max=None,
            adx_max=None,
            adx=AdxParams(weekend_tr="hl"),
            structure=structure,
        ),
    )


def bars_needed(config: SMGridConfig) -> int:
    """Return the warm-up of a configuration, execution bars."""
    return zone_context.bars_needed(context_params(config), config.bar_minutes)


def fill_params(config: SMGridConfig, record: Any) -> None:
    """Write the fields of `EXTRA_PARAMS`."""
    from tradesentry.core.strategy.config import fill_record

    fill_record(hygiene.HygieneParams(), record["hygiene"])
    zone_context.fill_params(context_params(config), record["context"])
    record["target_mode"] = config.target_mode
    record["tp_atr"] = config.tp if isinstance(config.tp, float) else DEFAULT_TP
    record["warmup_bars"] = bars_needed(config)
