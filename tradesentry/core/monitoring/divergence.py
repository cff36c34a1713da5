"""Compare live trades with a replay of the same bars: what was decided otherwise, and what was only filled otherwise.

A decision is the same when bar, symbol and side are; the n-th of several on one bar goes with the n-th. A trade that
only one of the two has is a difference of decision (or an entry that the venue did not fill) and must be explained; a
price is a difference of execution and has a size.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tradesentry.core.domain.orders import Side
from tradesentry.core.monitoring.trade_tracker import TrackedTrade


@dataclass(frozen=True, slots=True)
class ReplayedTrade:
    """A closed trade of a back-test over the run's own bars."""

    symbol: str
    side: Side
    bar_close_ns: int
    """Bar that decided it."""
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
    """Live less replay."""


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
    live: Sequence[TrackedTrade], replayed: Sequence[ReplayedTrade], *, pip_sizes: Mapping[str, float]
) -> Divergence:
    """Match live trades with those of a replay.

    Args:
        live: Closed trades of one run.
        replayed: Of the same period.
        pip_sizes: Price of a pip by symbol.
    """
    theirs: dict[tuple[str, Side, int], list[ReplayedTrade]] = defaultdict(list)
    for item in replayed:
        theirs[item.symbol, item.side, item.bar_close_ns].append(item)
    pairs, extra = [], []
    for mine in sorted(live, key=lambda item: (item.trade.entry_ts_ns, item.trade.seq or 0)):
        same = theirs.get((mine.trade.symbol, mine.trade.side, mine.bar_close_ns))
        if same:
            pairs.append(_pair(mine, same.pop(0), pip_sizes[mine.trade.symbol]))
        else:
            extra.append(mine)
    return Divergence(tuple(pairs), tuple(_flat(theirs.values())), tuple(extra))


def _flat(groups: Iterable[Sequence[ReplayedTrade]]) -> list[ReplayedTrade]:
    return [item for group in groups for item in group]


def _pair(live: TrackedTrade, replayed: ReplayedTrade, pip: float) -> Pair:
    side = replayed.side
    left = math.nan if live.exit_price is None else side * (replayed.exit_price - live.exit_price) / pip
    return Pair(
        live=live,
        replayed=replayed,
        entry_pips=side * (live.trade.entry_price - replayed.entry_price) / pip,
        exit_pips=left,
        r_difference=live.r_multiple - replayed.r_multiple,
    )
