"""Compare our trades of W1 with a peer's, one by one, and name the documented cause of every difference.

Every cross closes and enters anew, so a trade is identified by the bar whose close decided it and one difference never
breeds another. A cause counts only when the bars prove it; what no cause explains is `unexplained`, and one such trade
fails the comparison.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from workloads import MINUTE_NS, PIP, STOP_PIPS, TARGET_PIPS, TICK, Bars

HALF_TICK: Final = 0.5 * TICK
LAST_BIT: Final = 1e-9
"""Prices on the tick grid closer than this are the same price."""
EXAMPLES: Final = 5

CAUSES: Final = {
    "entry refused after a gap": "we cancel an entry before a data gap or over half the stop distance away; they fill",
    "stop and signal on one bar": "they do one order per bar, the stop wins and the signal is lost",
    "entry-bar stop ignored": "they look at stops from the bar after the entry; we stop out on it",
    "entry-bar target": "they fill a target on the entry bar; we do not, the path is unknown",
    "last bit of a price": "the bar touches the level exactly; rounding decides whether it is reached",
    "open at the end": "we close at the last price, they list it open or not at all",
    "unexplained": "no documented rule explains it",
}
"""Cause to what it means; the order of the table."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a comparison found.

    Args:
        n_ours: Our trades.
        n_theirs: Their trades.
        n_equal: Same entry and exit bar, prices within half a tick.
        causes: Trades that differ, by cause.
        examples: A few unexplained trades, in words.
    """

    n_ours: int
    n_theirs: int
    n_equal: int
    causes: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    @property
    def is_explained(self) -> bool:
        """Whether every difference has a documented cause."""
        return self.causes["unexplained"] == 0


def compare(ours: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any], bars: Bars) -> Agreement:
    """Match two trade lists of one symbol by their deciding bar and explain what differs.

    Args:
        ours: TRADE_FIELDS.
        theirs: TRADE_FIELDS.
        bars: The bars both ran on.
    """
    by_signal_ours = {int(trade["signal_bar"]): trade for trade in ours}
    by_signal_theirs = {int(trade["signal_bar"]): trade for trade in theirs}
    result = Agreement(len(ours), len(theirs), 0)
    n_equal = 0
    for signal in sorted(by_signal_ours.keys() | by_signal_theirs.keys()):
        mine, other = by_signal_ours.get(signal), by_signal_theirs.get(signal)
        if mine is not None and other is not None and _is_equal(mine, other):
            n_equal += 1
            continue
        cause = next((name for name, applies in _TESTS.items() if applies(mine, other, by_signal_theirs, bars)), None)
        result.causes[cause or "unexplained"] += 1
        if cause is None and len(result.examples) < EXAMPLES:
            result.examples.append(f"decided on bar {signal}: ours {_words(mine)}, theirs {_words(other)}")
    return Agreement(result.n_ours, result.n_theirs, n_equal, result.causes, result.examples)


def _is_equal(mine: Any, other: Any) -> bool:
    return bool(
        mine["side"] == other["side"]
        and mine["exit_bar"] == other["exit_bar"]
        and mine["is_open"] == other["is_open"]
        and abs(mine["entry_price"] - other["entry_price"]) < HALF_TICK
        and abs(mine["exit_price"] - other["exit_price"]) < HALF_TICK
    )


def _words(trade: Any) -> str:
    if trade is None:
        return "none"
    side = "long" if trade["side"] > 0 else "short"
    state = "open" if trade["is_open"] else f"bar {trade['exit_bar']} at {trade['exit_price']:.5f}"
    return f"{side} at {trade['entry_price']:.5f} to {state}"


def _levels(trade: Any, bars: Bars) -> tuple[float, float]:
    """Return stop and target of a trade, from its deciding close."""
    close = float(bars["close"][trade["signal_bar"]])
    side = int(trade["side"])
    return close - side * STOP_PIPS * PIP, close + side * TARGET_PIPS * PIP


def _same_entry(mine: Any, other: Any) -> bool:
    return bool(
        mine is not None
        and other is not None
        and mine["side"] == other["side"]
        and abs(mine["entry_price"] - other["entry_price"]) < HALF_TICK
    )


def _refused_after_gap(mine: Any, other: Any, _all: Any, bars: Bars) -> bool:
    if mine is not None or other is None:
        return False
    signal = int(other["signal_bar"])
    is_data_gap = bars["open_ns"][signal + 1] - bars["open_ns"][signal] > MINUTE_NS
    drift = abs(bars["open"][signal + 1] - bars["close"][signal])
    return bool(is_data_gap or drift > 0.5 * STOP_PIPS * PIP)


def _stop_and_signal(mine: Any, other: Any, theirs: dict[int, Any], bars: Bars) -> bool:
    """Say whether their earlier trade left by stop or target on the bar on which ours was reversed at the open."""
    if mine is not None and other is None:
        entry_bar = int(mine["signal_bar"]) + 1
        return any(_left_at_level(trade, entry_bar, bars) for trade in _near(theirs, entry_bar))
    if not _same_entry(mine, other) or mine["exit_bar"] != other["exit_bar"]:
        return False
    is_at_open = abs(mine["exit_price"] - bars["open"][mine["exit_bar"]]) < HALF_TICK
    return is_at_open and _left_at_level(other, int(other["exit_bar"]), bars)


def _near(theirs: dict[int, Any], entry_bar: int) -> list[Any]:
    """Return their trades that ended on `entry_bar`."""
    signals = [signal for signal in theirs if signal < entry_bar - 1]
    last = max(signals, default=None)
    return [] if last is None or theirs[last]["exit_bar"] != entry_bar else [theirs[last]]


def _left_at_level(trade: Any, bar: int, bars: Bars) -> bool:
    stop, target = _levels(trade, bars)
    off = min(abs(trade["exit_price"] - stop), abs(trade["exit_price"] - target))
    return bool(trade["exit_bar"] == bar and off < HALF_TICK)


def _entry_bar_stop(mine: Any, other: Any, _all: Any, bars: Bars) -> bool:
    if not _same_entry(mine, other):
        return False
    stop, _target = _levels(mine, bars)
    is_stopped = mine["exit_bar"] == mine["signal_bar"] + 1 and abs(mine["exit_price"] - stop) < HALF_TICK
    return bool(is_stopped and other["exit_bar"] > mine["exit_bar"])


def _entry_bar_target(mine: Any, other: Any, _all: Any, bars: Bars) -> bool:
    if not _same_entry(mine, other):
        return False
    _stop, target = _levels(other, bars)
    return bool(other["exit_bar"] == other["signal_bar"] + 1 and abs(other["exit_price"] - target) < HALF_TICK)


def _last_bit(mine: Any, other: Any, _all: Any, bars: Bars) -> bool:
    """Say whether the earlier exit was at a level that its bar touches exactly."""
    if not _same_entry(mine, other) or mine["exit_bar"] == other["exit_bar"]:
        return False
    early = mine if mine["exit_bar"] < other["exit_bar"] else other
    bar = bars[early["exit_bar"]]
    extremes = (float(bar["low"]), float(bar["high"]))
    return any(abs(level - price) < LAST_BIT for level in _levels(early, bars) for price in extremes)


def _open_at_end(mine: Any, other: Any, _all: Any, _bars: Bars) -> bool:
    return bool((mine is None or mine["is_open"]) and (other is None or other["is_open"]))


Test = Callable[[Any, Any, dict[int, Any], Bars], bool]
_TESTS: Final[dict[str, Test]] = {
    "open at the end": _open_at_end,
    "entry refused after a gap": _refused_after_gap,
    "stop and signal on one bar": _stop_and_signal,
    "entry-bar stop ignored": _entry_bar_stop,
    "entry-bar target": _entry_bar_target,
    "last bit of a price": _last_bit,
}
