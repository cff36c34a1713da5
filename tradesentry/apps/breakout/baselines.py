"""What breakout must beat besides the general baselines: its own trades with one thing left to chance.

- `random_side`: the same times with a random direction, so the direction of the break is worth nothing;
- `random_time`: the same direction at a random later time of the entry window, so its moment is worth nothing. Earlier
  times are left out: the direction is not known yet, and such a baseline would profit from knowing the break;
- `session_start`: a purchase at the start of the same session, so the day is worth nothing but its drift.

All keep the stop distance, the target and the session end of the trade they replace.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tradesentry.apps.breakout import layout
from tradesentry.apps.breakout.config import MINUTE_NS, RANGE_WINDOWS, BreakoutConfig
from tradesentry.backtest.baselines import Baseline, Exits, Situation, Suite, names
from tradesentry.core.market.clock import first_ending_after

IntArray = npt.NDArray[np.int64]


def _bounds(calendar: Any, session: int, ts_ns: int) -> tuple[int, int]:
    """Return start and end of the session of a calendar slot that holds an instant, or else the next one."""
    row = int(first_ending_after(calendar.session_bounds[session], int(calendar.n_bounds[session]), ts_ns))
    bounds = calendar.session_bounds[session][min(row, int(calendar.n_bounds[session]) - 1)]
    return int(bounds.start_ns), int(bounds.end_ns)


def entry_window(config: BreakoutConfig, calendar: Any, slot: int, ts_ns: int) -> tuple[int, int, int]:
    """Return when a slot could be entered around an instant, and when its trades end.

    Args:
        config: Configuration of the strategy.
        calendar: CALENDAR of the market.
        slot: Slot.
        ts_ns: An instant of the session.

    Returns:
        First and last instant of the entry window and the session's end, ns UTC.
    """
    window = config.entry_window * MINUTE_NS
    if slot == layout.BANDS_SLOT:
        start, end = _bounds(calendar, layout.MASK_SESSION, ts_ns)
        london_start, london_end = _bounds(calendar, layout.LONDON_SESSION, ts_ns)
        return start, end, london_end if london_start < end else end
    start, end = _bounds(calendar, slot, ts_ns)
    if slot == layout.LONDON_SLOT:
        opened = max(_bounds(calendar, layout.LONDON_SESSION, ts_ns)[0], start + RANGE_WINDOWS[config.range_window][1])
        return opened, min(opened + window, end), end
    opened = start + config.or_minutes * MINUTE_NS
    return opened, min(opened + window, end), end


def _windows(config: BreakoutConfig, calendar: Any, trades: Any) -> IntArray:
    """Return first and last instant of the entry window and the session's end of each trade, shape (3, n_trades)."""
    rows = [entry_window(config, calendar, int(t["tag"]) - 1, int(t["entry_ns"])) for t in trades]
    found: IntArray = np.array(rows, np.int64).reshape(-1, 3).T
    return found


def exits(config: BreakoutConfig, trades: Any, calendar: Any) -> Exits:
    """Return target and time limit of each trade: to the session's end, or `time_exit` if that is sooner.

    Args:
        config: Configuration of the strategy.
        trades: TRADE rows of one market.
        calendar: CALENDAR of the market.
    """
    bar_ns = config.bar_minutes * MINUTE_NS
    left = _windows(config, calendar, trades)[2] - trades["entry_ns"]
    if config.time_exit is not None:
        left = np.minimum(left, config.time_exit * MINUTE_NS)
    target = np.nan if config.target is None else config.target
    return Exits(np.full(len(trades), target), np.maximum(left // bar_ns, 1).astype(np.int64))


def _ends(at: Situation) -> IntArray:
    """Return when the session of each trade ends."""
    ends: IntArray = _windows(at.config, at.calendar, at.trades)[2]
    return ends


def _random_side(at: Situation, random: np.random.Generator, n: int) -> Any:
    # A market entry fills at the open of a bar, which is decided at the close before it: the same instant.
    side = random.choice((-1, 1), (n, len(at.trades)))
    return at.entries(n, decide_ns=at.trades["entry_ns"], exit_ns=_ends(at), side=side)


def _random_time(at: Situation, random: np.random.Generator, n: int) -> Any:
    _, last, end = _windows(at.config, at.calendar, at.trades)
    bar_ns = at.config.bar_minutes * MINUTE_NS
    decided = at.trades["entry_ns"]
    n_choices = np.maximum(1, (last - decided) // bar_ns)
    steps = random.integers(0, n_choices, (n, len(decided)))
    return at.entries(n, decide_ns=decided + steps * bar_ns, exit_ns=end, side=at.trades["side"])


def _session_start(at: Situation, _random: np.random.Generator, n: int) -> Any:
    first, _, end = _windows(at.config, at.calendar, at.trades)
    slots = at.trades["tag"] - 1
    starts = [_bounds(at.calendar, int(s), int(t))[0] for s, t in zip(slots, at.trades["entry_ns"], strict=True)]
    opened = np.where(slots >= layout.LONDON_SLOT, first, starts)
    return at.entries(n, decide_ns=opened, exit_ns=end, side=1)


SUITE: Final = Suite(
    exits,
    (
        Baseline(
            "random_side",
            "Same times, random side",
            "The entries of the strategy with a random direction, so the side of the break is worth nothing.",
            _random_side,
        ),
        Baseline(
            "random_time",
            "Same side, random later time",
            "The same direction at a random later time of the entry window, so the moment is worth nothing.",
            _random_time,
        ),
        Baseline(
            "session_start",
            "Purchase at session start",
            "A purchase at the start of the same sessions, so the days are worth nothing but their drift.",
            _session_start,
            is_random=False,
        ),
    ),
)
BASELINES: Final = names(SUITE.baselines)
