"""Where breakout keeps what it knows: slots, phases, tags, the state record, and parameters computed from the model.

A slot is one (session, mode): four sessions of mode orb, then mode london, then mode bb. Separate from the kernels
because scanner, tests and reports read the same numbers.
"""

from enum import IntEnum
from typing import Any, Final

import numpy as np

from tradesentry.apps.breakout.config import RANGE_WINDOWS, BreakoutConfig
from tradesentry.core.strategy.config import fill_record
from tradesentry.core.strategy.indicators import bands, hygiene, opening_range, regime, resample, volatility
from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.strategy.indicators.averages import TRUST

SLOTS: Final = (
    ("orb", "london"), ("orb", "new_york"), ("orb", "tokyo"), ("orb", "custom"), ("london", "london"), ("bb", "london"),
)  # fmt: skip
"""(mode, session) of every slot."""
N_SLOTS: Final = len(SLOTS)
NEW_YORK_SLOT: Final = 1
LONDON_SLOT: Final = 4
BANDS_SLOT: Final = 5
LONDON_SESSION: Final = 5
"""Calendar slot of the London session; slots below it are those of SLOTS."""
MASK_SESSION: Final = 6

TAGS: Final = {k + 1: f"{mode}_{session}" if mode == "orb" else mode for k, (mode, session) in enumerate(SLOTS)}
"""`INTENT.tag` of a slot is its number + 1."""

N_SCORES: Final = 60
"""Earlier values of the same session that a value is compared with."""
N_DAYS: Final = 10
"""Completed FX days kept for the contraction filters."""


class Phase(IntEnum):
    """What a slot is doing."""

    IDLE = 0
    BUILDING = 1
    SET = 2
    """The range is known and outside its entry window."""
    REJECTED = 3
    ARMED = 4
    PENDING_RETEST = 5
    IN_TRADE = 6
    DONE = 7


RING = np.dtype([("n", "i8"), ("position", "i8"), ("values", "f8", (N_SCORES,))], align=True)
SLOT = np.dtype(
    [
        ("session_ns", "i8"),  # start of the session that the slot is in
        ("side", "i8"),  # of the first entry of the session, 0 none: no reversal on the same day
        ("is_measured", "b1"),  # the range of this session is in the rings
        ("is_costed", "b1"),  # spread / stop of this session is in its ring
        ("z_contraction", "f8"),
        ("z_rvol", "f8"),
        ("z_cost", "f8"),
        ("score", "f8"),
        ("range", opening_range.STATE),  # mode bb keeps its bands in `range.range`
        ("contraction", RING),  # - width / ATR_D
        ("volume", RING),  # relative volume
        ("cost", RING),  # spread / stop distance
    ],
    align=True,
)
ASK = np.dtype(
    [("slot", "i8"), ("price", "f8"), ("stop", "f8"), ("target", "f8"), ("distance", "f8")],  # slot + 1; 0 none
    align=True,
)
"""A stop order that rests, or should."""
DAYS = np.dtype(
    [("n", "i8"), ("highs", "f8", (N_DAYS,)), ("lows", "f8", (N_DAYS,)), ("stretches", "f8", (N_DAYS,))], align=True
)
"""Completed FX days, newest first."""
STATE = np.dtype(
    [
        ("hygiene", hygiene.STATE),
        ("events", ev.EVENTS),
        ("atr", volatility.STATE),
        ("day", resample.STATE),
        ("day_atr", volatility.STATE),
        ("atr_d", "f8"),  # ATR of completed FX days, NaN while unknown
        ("days", DAYS),
        ("higher", resample.STATE),
        ("trend", regime.STATE),
        ("bands", bands.STATE),
        ("fx_day_end_ns", "i8"),
        ("squeeze_bar", "i8"),  # count of good bars at the last one with a squeeze, 0 none
        ("is_spent", "b1"),  # a close lay outside the bands since
        ("n_signals", "i8"),  # slots with a signal on this bar
        ("filled", "i8", (2,)),  # buy, sell: slot + 1 whose order this bar filled
        ("first_side", "i8"),  # of the two orders, the one placed first
        ("asked", ASK, (2,)),  # buy, sell: what rests
        ("wanted", ASK, (2,)),
        ("slots", SLOT, (N_SLOTS,)),
    ],
    align=True,
)

EXTRA_PARAMS: Final[list[tuple[str, Any]]] = [
    ("hygiene", hygiene.PARAMS),
    ("atr", volatility.PARAMS),
    ("day", resample.PARAMS),
    ("higher", resample.PARAMS),
    ("regime", regime.PARAMS),
    ("bands", bands.PARAMS),
    ("ranges", np.dtype((opening_range.PARAMS, (N_SLOTS,)))),
    ("n_active", "i8"),
    ("active", np.dtype(("i8", (N_SLOTS,)))),  # slots in use, ascending
    ("hold_bars", "i8"),  # time_exit in bars, 0 none
    ("warmup_bars", "i8"),
]
"""What the kernels read besides the fields of the model."""

_ATR: Final = volatility.AtrParams(weekend_tr="hl")


def active_slots(config: BreakoutConfig) -> list[int]:
    """Return the slots that a configuration uses, ascending."""
    return [
        k
        for k, (mode, session) in enumerate(SLOTS)
        if mode in config.modes and (mode != "orb" or session in config.sessions)
    ]


def range_params(config: BreakoutConfig, slot: int) -> opening_range.OpeningRangeParams:
    """Return the parameters of the opening range of one slot; mode bb uses those of its triggers alone."""
    is_orb = SLOTS[slot][0] == "orb"
    return opening_range.OpeningRangeParams(
        slot=slot,
        or_minutes=config.or_minutes if is_orb else RANGE_WINDOWS[config.range_window][1],
        # Mode london counts from the London open, whose distance from a Tokyo range varies: the kernel sets the cutoff.
        entry_minutes=config.entry_window if is_orb else 1_440,
        entry_mode=config.entry_mode,
        buf_atr=config.buf_atr,
        width_unit=config.width_unit,
        w_lo=config.w_lo,
        w_hi=config.w_hi,
        rvol_min=config.rvol_min if is_orb else None,
        retest_bars=config.retest_bars,
        tol_atr=config.tol_atr,
        max_trades=config.max_trades,
        atr=_ATR,
        day_atr=_ATR,
    )


def regime_params(config: BreakoutConfig) -> regime.RegimeParams:
    """Return the parameters of the trend filter."""
    if config.htf == "h4":
        higher = resample.ResampleParams(period="h4")
        return regime.RegimeParams(
            fast_bars=20, slow_bars=50, er_min=config.htf_er_min, er_max=None, adx_max=None, resample=higher
        )
    return regime.RegimeParams(fast_bars=50, slow_bars=200, er_min=config.htf_er_min, er_max=None, adx_max=None)


def bands_params(config: BreakoutConfig) -> bands.BandsParams:
    """Return the parameters of bands and squeeze."""
    return bands.BandsParams(
        n_bars=config.bb_n, k=config.bb_k, squeeze_bars=config.squeeze_m, squeeze_q=config.squeeze_q
    )


def bars_needed(config: BreakoutConfig) -> int:
    """Return the warm-up of a configuration: the longest of what its filters need, execution bars."""
    minutes = config.bar_minutes
    days, needed = 1, _ATR.n_bars + 1
    if (config.width_unit == "atr_d" and (config.w_lo or config.w_hi)) or config.stop == "day_atr":
        days = _ATR.n_bars + 2
    elif config.w_lo or config.w_hi:
        days = opening_range.MIN_WIDTHS + 1
    if config.rvol_min is not None:
        days = max(days, opening_range.N_VOLUMES + 1)
    days = max(days, {"none": 1, "nr4": 5, "nr7": 8, "inside_day": 3, "stretch": N_DAYS + 1}[config.contraction])
    if config.direction == "htf":
        trend = regime_params(config)
        buckets = TRUST * trend.slow_bars + trend.slope_bars
        needed = max(needed, buckets * (60 if config.htf == "h1" else 240) // minutes)
    if "bb" in config.modes:
        needed = max(needed, config.bb_n + config.squeeze_m)
    return max(needed, days * 1_440 // minutes)


def fill_params(config: BreakoutConfig, record: Any) -> None:
    """Write the fields of `EXTRA_PARAMS`."""
    fill_record(hygiene.HygieneParams(), record["hygiene"])
    fill_record(_ATR, record["atr"])
    fill_record(resample.ResampleParams(period="fx_day"), record["day"])
    trend = regime_params(config)
    fill_record(trend.resample, record["higher"])
    fill_record(trend, record["regime"])
    fill_record(bands_params(config), record["bands"])
    for slot in range(N_SLOTS):
        fill_record(range_params(config, slot), record["ranges"][slot])
    active = active_slots(config)
    record["n_active"] = len(active)
    record["active"][: len(active)] = active
    record["hold_bars"] = 0 if config.time_exit is None else config.time_exit // config.bar_minutes
    record["warmup_bars"] = bars_needed(config)
