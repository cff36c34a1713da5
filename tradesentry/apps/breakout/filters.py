"""May this slot be entered now, and with which stop and target? All on data known at the signal (strategies 2.15).

Prices of a chart are bids. A buy stop and the stop of a short are filled at the ask, so the spread is added to both:
the chart price that triggers them is then the one that the rule names, and long and short mirror each other exactly.
"""

import math
from typing import Any, Final

from tradesentry.apps.breakout.context import is_contracted, stretch
from tradesentry.apps.breakout.layout import BANDS_SLOT, LONDON_SESSION, LONDON_SLOT, MASK_SESSION, NEW_YORK_SLOT
from tradesentry.core.strategy.indicators.breaks import BOTH, LONG, SHORT, trigger_price
from tradesentry.core.utils.kernel import kernel

_MINUTE_NS: Final = 60_000_000_000
_NO_NEW_YORK_MINUTES: Final = 120
"""Session new_york is not entered in the last two hours of the FX week, whatever the settings."""
_DIRECTION_CANDLE: Final = 1
_DIRECTION_HTF: Final = 2
_STOP_MID: Final = 1
_STOP_ATR: Final = 2
_STOP_DAY_ATR: Final = 3
DAY_ATR_STOP: Final = 0.05
"""Stop day_atr, fraction of ATR_D."""
_CONTRACTION_STRETCH: Final = 4
_MAX_BAR_ATR: Final = 2.5


@kernel
def bit(side: int) -> int:
    """Return the mask bit of a side."""
    return LONG if side > 0 else SHORT


@kernel
def exit_ns(slot: int, clock: Any) -> int:
    """Return when trades of a slot end: its session's end; for mode bb 17:00 London, after that its mask's end."""
    london = clock.sessions[LONDON_SESSION]
    if slot <= LONDON_SLOT:
        return int(clock.sessions[slot].end_ns)
    if london.start_ns < clock.sessions[MASK_SESSION].end_ns:
        return int(london.end_ns)
    return int(clock.sessions[MASK_SESSION].end_ns)


@kernel
def last_entry_ns(params: Any, slot: int, clock: Any) -> int:
    """Return from when on the coming week end forbids entries."""
    minutes = params.weekend_no_entry
    if slot == NEW_YORK_SLOT:
        minutes = max(minutes, _NO_NEW_YORK_MINUTES)
    return int(clock.week_end_ns - minutes * _MINUTE_NS)


@kernel
def is_in_window(slot: int, clock: Any, ts_ns: int, close_ns: int) -> bool:
    """Return whether a slot may be entered by what happens at or after `ts_ns`, where its range alone does not say.

    Args:
        slot: Slot.
        clock: CLOCK of the bar.
        ts_ns: Open of the bar that is judged; its close for orders that rest from then on.
        close_ns: Close of the bar.
    """
    if close_ns >= exit_ns(slot, clock):
        return False
    if slot == LONDON_SLOT:
        return bool(ts_ns >= clock.sessions[LONDON_SESSION].start_ns)
    if slot == BANDS_SLOT:
        mask = clock.sessions[MASK_SESSION]
        return bool(mask.is_valid and ts_ns >= mask.start_ns and close_ns < mask.end_ns)
    return True


@kernel
def open_sides(params: Any, state: Any, slot: int, bar: Any, view: Any) -> int:
    """Return the sides of a slot that may be entered at this close, before its prices are looked at.

    Position, news, week end and account blocks, warm-up, weekday, spread limit, no reversal within a session,
    direction and contraction.
    """
    clock = view.clock
    own = state.slots[slot]
    if view.is_blocked or view.n_positions > 0 or state.hygiene.n_good <= params.warmup_bars:
        return 0
    if (params.weekdays >> clock.weekday) & 1 == 0 or bar.close_ns >= last_entry_ns(params, slot, clock):
        return 0
    if not math.isnan(params.max_spread) and view.last_spread > params.max_spread * view.pip:
        return 0
    if not is_contracted(params, state.days):
        return 0
    sides = BOTH
    if own.side != 0:
        sides = bit(own.side)
    if params.direction == _DIRECTION_HTF:
        trend = state.trend.trend
        sides &= bit(trend) if trend != 0 else 0
    elif params.direction == _DIRECTION_CANDLE and slot != BANDS_SLOT:
        candle = own.range.range.close - own.range.range.open
        if candle == 0.0:
            return 0
        sides &= bit(1 if candle > 0.0 else -1)
    return int(sides)


@kernel
def is_breakout_bar(bar: Any, side: int, atr_before: float) -> bool:
    """Return whether a bar breaks convincingly: half body, close in the outer third, no more than 2.5 ATR."""
    height = bar.high - bar.low
    reach = bar.close - bar.low if side > 0 else bar.high - bar.close
    return bool(
        height > 0.0
        and abs(bar.close - bar.open) >= 0.5 * height
        and 3.0 * reach >= 2.0 * height
        and height <= _MAX_BAR_ATR * atr_before
    )


@kernel
def trigger(params: Any, state: Any, slot: int, side: int, atr: float) -> float:
    """Return the bid beyond which a side of a slot is broken: range and buffer, and open +- stretch where it is on."""
    own = state.slots[slot].range
    price = trigger_price(params.ranges[slot], own, side, atr)
    if params.contraction == _CONTRACTION_STRETCH and slot != BANDS_SLOT:
        further = own.range.open + side * stretch(state.days)
        if not side * (price - further) >= 0.0:
            price = further
    return float(price)


@kernel
def stop_price(params: Any, state: Any, slot: int, side: int, entry: float, spread: float, atr: float) -> float:
    """Return the stop of an entry.

    Args:
        params: Parameters of breakout.
        state: STATE.
        slot: Slot that is entered.
        side: +1 or -1.
        entry: Expected fill, at the ask for a buy.
        spread: Present spread.
        atr: ATR one bar before the entry's.
    """
    if params.stop == _STOP_ATR:
        return float(entry - side * params.stop_atr * atr)
    if params.stop == _STOP_DAY_ATR:
        return float(entry - side * DAY_ATR_STOP * state.atr_d)
    cost = 0.0 if side > 0 else spread
    if slot == BANDS_SLOT:
        middle = state.bands.middle + cost
        return float(min(middle, entry - atr) if side > 0 else max(middle, entry + atr))
    found = state.slots[slot].range.range
    if params.stop == _STOP_MID:
        return float(0.5 * (found.high + found.low) + cost)
    return float((found.low if side > 0 else found.high) + cost)


@kernel
def target_price(params: Any, entry: float, stop: float) -> float:
    """Return the take profit, NaN for none."""
    return float(entry + params.target * (entry - stop))


@kernel
def pays(params: Any, distance: float, spread: float) -> bool:
    """Return whether a stop distance exists and is worth the spread."""
    if not distance > 0.0:
        return False
    return bool(math.isnan(params.spread_frac) or spread <= params.spread_frac * distance)
