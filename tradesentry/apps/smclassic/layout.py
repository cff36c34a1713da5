"""Where smclassic keeps what it knows: candidates, orders asked for, the open idea, and parameters from the model.

Separate from the kernels because tests and the chart read the same numbers.
"""

from typing import Any, Final

import numpy as np

from tradesentry.apps.smclassic.configs.smclassic_config import SMClassicConfig
from tradesentry.core.strategy.config import fill_record
from tradesentry.core.strategy.indicators import hygiene, zone_context
from tradesentry.core.strategy.indicators.dealing_range import DealingRangeParams
from tradesentry.core.strategy.indicators.midpoint import MidpointParams
from tradesentry.core.strategy.indicators.regime import RegimeParams
from tradesentry.core.strategy.indicators.sessions import SessionsParams
from tradesentry.core.strategy.indicators.structure import StructureParams
from tradesentry.core.strategy.indicators.supply_demand import SupplyDemandParams
from tradesentry.core.strategy.indicators.swings import SwingsParams
from tradesentry.core.strategy.indicators.volatility import AdxParams, AtrParams
from tradesentry.core.strategy.indicators.zone_context import ZoneContextParams
from tradesentry.core.strategy.indicators.zone_list import N_ZONES

RANGE_SLOT: Final = 0
"""Calendar slot of the session that makes the range."""
ENTRY_SLOT: Final = 1

LIMIT_TAG: Final = 1
"""`INTENT.tag` of entry limit, mid and rejection: 1 + the position of the mode in its Literal."""
SECOND_TAG: Final = 4
TAGS: Final = {LIMIT_TAG: "limit", 2: "mid", 3: "rejection", SECOND_TAG: "second_tranche"}

N_MARKS: Final = 2 * N_ZONES
"""Zones that were traded, or used up without a trade: at most all live ones."""
DEAD: Final = 1 << 30
"""Touches of a zone that is not traded again."""

MARK = np.dtype([("zone_id", "i8"), ("n_touches", "i8")], align=True)
CANDIDATE = np.dtype(
    [
        ("zone_id", "i8"),
        ("side", "i8"),
        ("n_touches", "i8"),  # completed returns that count
        ("near", "f8"),
        ("mid", "f8"),
        ("far", "f8"),
        ("level", "f8"),  # where a resting entry lies: near, or mid
        ("loss", "f8"),  # from level to the stop, without any spread
        ("gain", "f8"),  # from level to equilibrium
        ("max_spread", "f8"),  # at which the set-up still pays
    ],
    align=True,
)
"""A zone whose set-up holds as far as the zone timeframe says; price, spread, regime and time are judged per bar."""
PLAN = np.dtype(
    [
        ("zone_id", "i8"),  # 0 none
        ("side", "i8"),
        ("n_touches", "i8"),
        ("is_market", "b1"),  # enters at the next open instead of resting
        ("price", "f8"),  # where it enters, at the ask for a buy
        ("stop", "f8"),
        ("eq", "f8"),  # equilibrium as of entry, as an exit price
        ("target", "f8"),  # take profit: equilibrium, or where the rest leaves
        ("far", "f8"),  # bid beyond which an open lies outside the zone
        ("second", "f8"),  # price of the second tranche
        ("risk", "f8"),  # share of equity of the first tranche
        ("second_risk", "f8"),
        ("reward", "f8"),  # multiple of the stop distance to equilibrium
        ("spread", "f8"),  # that the prices were made with
        ("n_buckets", "i8"),
    ],
    align=True,
)
"""Prices of an entry, fixed when it is asked for."""
IDEA = np.dtype(
    [
        ("is_open", "b1"),
        ("entry_price", "f8"),
        ("units", "f8"),  # of the first tranche, at the last close
        ("taken", "f8"),  # units that left at equilibrium
        ("is_leaving", "b1"),  # a close at the next open was asked for
        ("has_second", "b1"),  # the second tranche was filled
        ("plan", PLAN),
    ],
    align=True,
)
STATE = np.dtype(
    [
        ("hygiene", hygiene.STATE),
        ("events", zone_context.EVENTS),
        ("context", zone_context.STATE),
        ("week_end_ns", "i8"),
        ("n_week", "i8"),  # bars of this FX week
        ("pause", "i8"),  # bars without entry that are left
        ("is_stale", "b1"),  # candidates have to be found anew
        ("n_candidates", "i8"),
        ("n_marks", "i8"),
        ("idea", IDEA),
        ("asked", PLAN, (2,)),  # buy, sell: what rests, or was asked to enter at the open
        ("wanted", PLAN, (2,)),
        ("first_side", "i8"),  # of two orders, the one placed first
        ("marks", MARK, (N_MARKS,)),
        ("candidates", CANDIDATE, (2 * N_ZONES,)),
    ],
    align=True,
)
EXTRA_PARAMS: Final[list[tuple[str, Any]]] = [
    ("hygiene", hygiene.PARAMS),
    ("context", zone_context.PARAMS),
    ("warmup_bars", "i8"),
    ("has_session", "b1"),  # entries only inside the session of ENTRY_SLOT
]
"""What the kernels read besides the fields of the model."""

_ATR: Final = AtrParams(weekend_tr="hl")


def context_params(config: SMClassicConfig) -> ZoneContextParams:
    """Return what the zone timeframe computes for a configuration."""
    right = config.swing_left if config.swing_right is None else config.swing_right
    structure = StructureParams(swings=SwingsParams(left_bars=config.swing_left, right_bars=right), atr=_ATR)
    dealing_range = DealingRangeParams(
        range_source=config.range_source,
        slot=RANGE_SLOT,
        structure=structure,
        sessions=SessionsParams(n_slots=1 if config.range_source == "session" else 0),
    )
    return ZoneContextParams(
        zone_timeframe=config.zone_timeframe,
        bases=SupplyDemandParams(
            base_body=config.base_body,
            base_atr=config.base_atr,
            max_base=config.max_base,
            dep_atr=config.dep_atr,
            contiguous_only=True,
            max_age=config.max_age,
            atr=_ATR,
        ),
        midpoint=MidpointParams(
            anchor="eq",
            reset_move=config.reset_move,
            reset_k=config.reset_k,
            reset_n=config.reset_n,
            cooldown=config.cooldown,
            dealing_range=dealing_range,
        ),
        regime=RegimeParams(
            trend_mode="off",
            er_max=None if config.regime == "off" else config.er_max,
            adx_max=config.adx_max if config.regime == "er_adx" else None,
            adx=AdxParams(weekend_tr="hl"),
        ),
    )


def bars_needed(config: SMClassicConfig) -> int:
    """Return the warm-up of a configuration, execution bars."""
    return zone_context.bars_needed(context_params(config), config.bar_minutes)


def fill_params(config: SMClassicConfig, record: Any) -> None:
    """Write the fields of `EXTRA_PARAMS`."""
    fill_record(hygiene.HygieneParams(), record["hygiene"])
    zone_context.fill_params(context_params(config), record["context"])
    record["warmup_bars"] = bars_needed(config)
    record["has_session"] = config.entry_session is not None
