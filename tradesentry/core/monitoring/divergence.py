"""Compare live trades with a replay of the same bars: what was decided otherwise, and what was only filled otherwise.

A decision is the same when symbol and side are and the entries lie within a bar of each other: a back-test knows in
which bar a resting order filled, a venue at which instant. Of several each goes with the first that is left. A trade
that only one of the two has is a difference of decision (or an entry that the venue did not fill) and must be
explained; a price is a difference of execution and has a size.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tradesentry.core.domain.orders import Side
from tradesentry.core.monitoring.trade_tracker import TrackedTrade


@dataclass(frozen=True, slots=True)
class ReplayedTrade:
    """A closed trade of a back-test over the run's own bars."""

    symbol: str
    side: Side
    entry_ns: int
    entry_price: float
    exit_price: float
    r_multiple: float
    exit_reason: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """One decision as it went live and as it went in the replay."""

    live: TrackedTrade
    replayed: ReplayedTrade
    entry_pips: float
    """Live entered worse, above 0."""
    exit_pips: float
    """Live left worse, above 0; nan while live is open."""
    r_difference: float
    """Live less replay; nan while live is open."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """How far live is from its replay."""

    pairs: tuple[Pair, ...]
    missed: tuple[ReplayedTrade, ...]
    """Only in the replay."""
    extra: tuple[TrackedTrade, ...]
    """Only live."""

    @property
    def is_same_decisions(self) -> bool:
        """Whether both decided alike."""
        return not self.missed and not self.extra

    @property
    def total_r(self) -> float:
        """Sum of live less replay over the pairs whose R is known, R."""
        return math.fsum(pair.r_difference for pair in self.pairs if not math.isnan(pair.r_difference))


def compare(
    live: Sequence[TrackedTrade],
    replayed: Sequence[ReplayedTrade],
    *,
    pip_sizes: Mapping[str, float],
    within_ns: int,
) -> Divergence:
    """Match live trades with those of a replay.

    Args:
        live: Trades of one run, open ones too.
        replayed: Of the same period.
        pip_sizes: Price of a pip by symbol.
        within_ns: Length of a bar.
    """
    left = sorted(replayed, key=lambda item: item.entry_ns)
    pairs, extra = [], []
    for mine in sorted(live, key=lambda item: (item.trade.entry_ts_ns, item.trade.seq or 0)):
        trade = mine.trade
        same = (
            item
            for item in left
            if (item.symbol, item.side) == (trade.symbol, trade.side)
            and abs(item.entry_ns - trade.entry_ts_ns) <= within_ns
        )
        theirs = next(same, None)
        if theirs is None:
            extra.append(mine)
        else:
            left.remove(theirs)
            pairs.append(_pair(mine, theirs, pip_sizes[trade.symbol]))
    return Divergence(tuple(pairs), tuple(left), tuple(extra))


def _pair(live: TrackedTrade, replayed: ReplayedTrade, pip: float) -> Pair:
    side = replayed.side
    left = (
        math.nan
        if live.exit_price is None or live.trade.is_open
        else side * (replayed.exit_price - live.exit_price) / pip
    )
    return Pair(
        live=live,
        replayed=replayed,
        entry_pips=side * (live.trade.entry_price - replayed.entry_price) / pip,
        exit_pips=left,
        r_difference=math.nan if live.trade.is_open else live.r_multiple - replayed.r_multiple,
    )
