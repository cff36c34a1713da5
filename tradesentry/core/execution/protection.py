"""Guard an open position at the close of a bar: break-even, trailing, time. Stops only ever tighten.

The same rules for back-test, paper and live: `protect` is called by `settle` and by the live trade watcher. It reads
closed bars only, so a stop it moves works from the next bar on.
"""

from typing import Any

from tradesentry.core.domain.orders import ExitReason, TrailMode
from tradesentry.core.domain.records import N_RECENT
from tradesentry.core.execution.costs import plain_ask
from tradesentry.core.utils.kernel import kernel

BREAK_EVEN = int(ExitReason.BREAK_EVEN)
TRAILING = int(ExitReason.TRAILING)
TIME = int(ExitReason.TIME)
WEEKEND = int(ExitReason.WEEKEND)
NEWS = int(ExitReason.NEWS)
NONE = int(ExitReason.NONE)
ROUNDING = 1e-9
"""An excursion of exactly 1 R may come out smaller by rounding."""
TRAIL_DISTANCE = int(TrailMode.DISTANCE)
TRAIL_CHANDELIER = int(TrailMode.CHANDELIER)


@kernel
def tighten(position: Any, stop: float, reason: int) -> bool:
    """Move the stop of `position` to `stop` if that is tighter; say whether it moved."""
    if not (stop - position.stop_loss) * position.side > 0.0:
        return False
    position.stop_loss = stop
    position.stop_reason = reason
    return True


@kernel
def _recent_extreme(quote: Any, side: int, n_bars: int) -> float:
    """Return the highest bid (side 1) or the lowest ask (side -1) of the last `n_bars` closed bars."""
    count = min(n_bars, quote.n_bars, N_RECENT)
    row = quote.recent_at
    best = quote.highs[row] if side > 0 else quote.lows[row]
    for _ in range(count - 1):
        row = row - 1 if row > 0 else N_RECENT - 1
        best = max(best, quote.highs[row]) if side > 0 else min(best, quote.lows[row])
    return best


@kernel
def protect(position: Any, quote: Any, bars_held: int, break_even_cost: float) -> None:
    """Apply break-even and trailing rules to one position at the close of a bar.

    Break-even pays for the costs there were, with the cost scale; where a stop trails is decided before it.

    Args:
        position: POSITION, its `mfe` already covering the bar.
        quote: QUOTE of the market: bid, spread, ATR(14) and recent extremes.
        bars_held: Bars since that of the entry; the chandelier's window begins with the bar of the entry.
        break_even_cost: Price distance that pays for commissions and swap so far.
    """
    exits = position.exits
    side = position.side
    distance = abs(position.entry_price - position.initial_stop)
    reached = position.mfe * (1.0 + ROUNDING)
    if exits.be_trigger_r > 0.0 and reached >= exits.be_trigger_r * distance:
        tighten(position, position.entry_price + side * (break_even_cost + exits.be_offset), BREAK_EVEN)
    mode = exits.trail_mode
    if mode == 0 or reached < exits.trail_start_r * distance:
        return
    close = quote.bid if side > 0 else plain_ask(quote)
    if mode == TRAIL_DISTANCE:
        tighten(position, close - side * exits.trail_distance, TRAILING)
    elif quote.atr > 0.0:
        if mode == TRAIL_CHANDELIER:
            close = _recent_extreme(quote, side, min(exits.trail_bars, bars_held + 1))
        tighten(position, close - side * exits.trail_distance * quote.atr, TRAILING)


@kernel
def due_exit(position: Any, rules: Any, clock: Any, close_ns: int, bars_held: int) -> int:
    """Return the ExitReason of a scheduled exit that is due at `close_ns`, NONE otherwise.

    The schedule is known in advance, so the exit is filled at this close. The weekend exit takes the last bar that
    ends before Friday 17:00 New York less the lead.
    """
    exits = position.exits
    if exits.exit_ns > 0 and close_ns >= exits.exit_ns:
        return TIME
    if exits.max_bars > 0 and bars_held + 1 >= exits.max_bars:
        return TIME
    if rules.weekend_flatten and close_ns + rules.bar_ns > position.week_end_ns - rules.weekend_lead_ns:
        return WEEKEND
    if rules.news_flatten and close_ns + rules.bar_ns > clock.blackout_start_ns and close_ns < clock.blackout_end_ns:
        return NEWS
    return NONE
