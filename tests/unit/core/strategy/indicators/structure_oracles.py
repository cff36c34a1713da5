"""Second versions of swings, structure, liquidity and ranges: plain Python over the whole history, cut at bar t.

Where the kernels carry a state forward, these look back over everything (or, for the fate of a pool, forward over
everything), so that a mistake would have to be made twice in two different ways.
"""

from dataclasses import dataclass
from math import isnan
from typing import Any

import polars as pl

from tests.unit.core.strategy.indicators.oracles import Columns, true_ranges, wilder

NAN = float("nan")
Swing = tuple[int, int, float]
"""Direction, bar, price."""


def plain(rows: Any) -> list[tuple[Any, ...]]:
    """Return rows of a frame, or tuples, with None for NaN, which does not equal itself."""
    tuples = rows.rows() if isinstance(rows, pl.DataFrame) else rows
    return [tuple(None if isinstance(x, float) and isnan(x) else x for x in row) for row in tuples]


def columns(bars: Any) -> Any:
    """Return bars as plain lists."""
    return bars if isinstance(bars, Columns) else Columns(bars)


def atrs(bars: Any, n: int) -> list[float]:
    """Return the ATR after each bar, NaN while it does not exist."""
    return ([NAN] * n + wilder(true_ranges(bars), n))[: len(bars)]


def pivots(bars: Any, left: int, right: int) -> list[tuple[int, int, int, float]]:
    """Return (known bar, direction, bar, price) of every pivot, the high of a bar before its low."""
    bars = columns(bars)
    found = []
    for p in range(left, len(bars) - right):
        around = range(p - left, p + right + 1)
        if all(bars.high[p] >= bars.high[i] for i in around):
            found.append((p + right, 1, p, bars.high[p]))
        if all(bars.low[p] <= bars.low[i] for i in around):
            found.append((p + right, -1, p, bars.low[p]))
    return found


def final_swings(
    bars: Any, t: int, left: int, right: int, *, dual: str = "opposite_first", first_pivot: int = 0
) -> list[Swing]:
    """Return the alternating swings as they are known at the close of bar t.

    Pivots in their order fall into runs of one direction; each run is the swing of its most extreme pivot, the earliest
    of equals.
    """
    bars = columns(bars)
    runs: list[list[Swing]] = []
    by_bar: dict[int, list[Swing]] = {}
    for known, direction, p, price in pivots(bars, left, right):
        if known <= t and p >= first_pivot:
            by_bar.setdefault(p, []).append((direction, p, price))
    for both in by_bar.values():
        if len(both) == 2 and dual == "high_only":
            both.pop()
        if len(both) == 2 and runs and runs[-1][-1][0] > 0:
            both.reverse()
        for swing in both:
            if runs and runs[-1][-1][0] == swing[0]:
                runs[-1].append(swing)
            else:
                runs.append([swing])
    return [max(run, key=lambda swing: (swing[0] * swing[2], -swing[1])) for run in runs]


def swing_lists(bars: Any, left: int, right: int, **options: Any) -> list[list[Swing]]:
    """Return `final_swings` at every bar."""
    bars = columns(bars)
    return [final_swings(bars, t, left, right, **options) for t in range(len(bars))]


def swing_events(lists: list[list[Swing]]) -> list[tuple[Any, ...]]:
    """Return (event, direction, id, origin, known, price, old price, old bar) from the swings known at every bar."""
    said: list[tuple[Any, ...]] = []
    before: list[Swing] = []
    for t, now in enumerate(lists):
        for i, (direction, p, price) in enumerate(now):
            if i >= len(before):
                said.append(("SWING_NEW", direction, i + 1, p, t, price, NAN, -1))
            elif before[i] != now[i]:
                said.append(("SWING_REPLACE", direction, i + 1, p, t, price, before[i][2], before[i][1]))
        before = now
    return said


@dataclass
class Break:
    """What broke on which bar."""

    t: int
    event: str
    side: int
    swing_id: int
    origin: int
    level: float
    trend_before: int
    leg_bar: int | None
    """Bar of the swing where the leg started."""


def breaks(
    bars: Any, lists: list[list[Swing]], *, label: str = "state", mode: str = "close", buffer: float = 0.0,
    protected: bool = False, atr: list[float] | None = None,
) -> list[Break]:  # fmt: skip
    """Return every break of structure, given the swings known at every bar."""
    bars = columns(bars)
    found: list[Break] = []
    passed: set[tuple[int, int]] = set()  # (direction, bar) of levels that are broken
    for t in range(1, len(bars)):
        swings = lists[t - 1]
        trend = found[-1].side if found else 0
        margin = buffer * atr[t - 1] if buffer and atr is not None else 0.0
        beyond: dict[int, list[Any]] = {}
        for side in (1, -1):
            mine = [i for i in range(len(swings)) if swings[i][0] == side]
            last = (swings[mine[-1]], mine[-1] + 1, swings[mine[-1] - 1] if mine[-1] else None) if mine else None
            judged = last
            leg_bar = found[-1].leg_bar if found else None
            if protected and trend == -side and leg_bar is not None and (side, leg_bar) not in passed:
                judged = _leg_swing(lists[found[-1].t - 1], side, leg_bar)
            price = bars.close[t] if mode == "close" else bars.high[t] if side > 0 else bars.low[t]
            if judged is None or not side * price > side * judged[0][2] + margin:
                continue
            if (side, judged[0][1]) in passed:
                continue
            beyond[side] = [judged, last is not None and side * price > side * last[0][2] + margin, last]
        if len(beyond) == 2:
            body = bars.close[t] - bars.open[t]
            keep = (1 if body > 0 else -1) if body else (trend or 1)
            beyond = {keep: beyond[keep]}
        for side, (judged, is_last_passed, last) in beyond.items():
            (_, p, level), swing_id, opposite = judged
            if label == "state":
                is_choch = trend == -side
            elif side > 0:
                is_choch = opposite is not None and min(bars.low[p + 1 : t + 1]) < opposite[2]
            else:
                is_choch = opposite is not None and max(bars.high[p + 1 : t + 1]) > opposite[2]
            legs = [swing for swing in swings if swing[0] == -side]
            leg_bar = legs[-1][1] if legs else None
            found.append(Break(t, "CHOCH" if is_choch else "BOS", side, swing_id, p, level, trend, leg_bar))
            passed.add((side, p))
            if is_last_passed:
                passed.add((side, last[0][1]))
    return found


def _leg_swing(swings: list[Swing], direction: int, bar: int) -> Any:
    """Return (swing, id, swing before it) of the swing of `direction` on `bar`."""
    i = next(i for i, swing in enumerate(swings) if swing[0] == direction and swing[1] == bar)
    return swings[i], i + 1, swings[i - 1] if i else None


@dataclass
class Pool:
    """One level and its members, until its fate is sealed."""

    id: int
    side: int
    level: float
    origin: int
    made: int
    count: int = 1


def pool_fate(
    bars: Any, pool: Pool, reclaim: int, depth: float, atr: list[float]
) -> tuple[int | None, int | None, str, float]:
    """Return (bar a, last bar, event, extreme) of a pool, looking ahead from its last change on."""
    reach = bars.high if pool.side > 0 else bars.low
    for a in range(pool.made + 1, len(bars)):
        past = pool.side * (reach[a] - pool.level)
        if not (past > 0 and past >= (depth * atr[a - 1] if depth else 0.0)):
            continue
        for s in range(a, min(a + reclaim, len(bars) - 1) + 1):
            extreme = max(reach[a : s + 1], key=lambda price: pool.side * price)
            if pool.side * (bars.close[s] - pool.level) < 0:
                return a, s, "SWEEP", extreme
            if s == a + reclaim:
                return a, s, "POOL_BREAK", extreme
        return a, None, "", NAN
    return None, None, "", NAN


def liquidity(
    bars: Any, candidates: list[tuple[int, int, float, int, bool]], *, eq_atr: float, reclaim: int, depth: float,
    atr: list[float], capacity: int = 64,
) -> list[tuple[Any, ...]]:  # fmt: skip
    """Return (event, direction, id, origin, known, price, extreme, bar a, value) of all pools.

    Args:
        bars: All bars.
        candidates: (known, side, level, origin, may it join a pool), in the order in which they are taken.
        eq_atr: As the parameter.
        reclaim: As the parameter.
        depth: As the parameter.
        atr: ATR after each bar.
        capacity: Live pools a side.
    """
    bars = columns(bars)
    said: list[tuple[Any, ...]] = []
    live: dict[int, list[Pool]] = {1: [], -1: []}
    n_pools = 0
    for t in range(len(bars)):
        for side in (1, -1):
            for pool in list(live[side]):
                a, s, event, extreme = pool_fate(bars, pool, reclaim, depth, atr)
                if s == t:
                    direction = -side if event == "SWEEP" else side
                    said.append((event, direction, pool.id, pool.origin, t, pool.level, extreme, a, NAN))
                    live[side].remove(pool)
        for _, side, level, origin, may_join in [c for c in candidates if c[0] == t]:
            near = []
            for pool in live[side]:
                a = pool_fate(bars, pool, reclaim, depth, atr)[0]
                if (
                    eq_atr
                    and may_join
                    and abs(level - pool.level) <= eq_atr * atr[t]
                    and not (a is not None and a <= t)
                ):
                    near.append(pool)
            if near:
                pool = min(near, key=lambda pool: (abs(level - pool.level), pool.id))
                pool.count += 1
                if side * (level - pool.level) > 0:
                    pool.level, pool.made = level, t
                said.append(("POOL_JOIN", side, pool.id, origin, t, pool.level, NAN, -1, float(pool.count)))
                continue
            if len(live[side]) == capacity:
                lost = live[side].pop(0)
                said.append(("POOL_DROPPED", side, lost.id, lost.origin, t, lost.level, NAN, -1, float(lost.count)))
            n_pools += 1
            live[side].append(Pool(n_pools, side, level, origin, t))
            said.append(("POOL_NEW", side, n_pools, origin, t, level, NAN, -1, 1.0))
    return said


def span(bars: Any, first: int, t: int) -> tuple[float, float]:
    """Return the lowest low and highest high of bars first..t."""
    return min(bars.low[first : t + 1]), max(bars.high[first : t + 1])


def swing_range(bars: Any, lists: list[list[Swing]], t: int) -> tuple[float, float] | None:
    """Return the range from the older of the last two swings through t."""
    return span(bars, lists[t][-2][1], t) if len(lists[t]) > 1 else None


def leg_range(bars: Any, found: list[Break], t: int) -> tuple[float, float] | None:
    """Return the range from the swing where the leg of the last break started through t."""
    past = [one for one in found if one.t <= t]
    return span(bars, past[-1].leg_bar, t) if past and past[-1].leg_bar is not None else None


def midpoints(
    bars: Any, ranges: list[tuple[float, float] | None], found: list[Break], atr: list[float], params: Any,
    exposure: list[float],
) -> list[tuple[Any, ...]]:  # fmt: skip
    """Return (event, id, known, new anchor, old anchor, rule) without resets by the calendar."""
    bars = columns(bars)
    said: list[tuple[Any, ...]] = []
    middle = [sum(found_range) / 2 if found_range else NAN for found_range in ranges]
    anchors = middle if params.anchor == "eq" else bars.close
    broken = {one.t: one for one in found}
    anchor, last, waiting, resets = NAN, None, 0, 0
    since = 0
    for t in range(len(bars)):
        if isnan(anchor):
            anchor, since = anchors[t], t
            continue
        far = [abs(bars.close[i] - anchor) > params.reset_k * atr[i] for i in range(since + 1, t + 1)]
        rule = 0
        if len(far) >= params.reset_n and all(far[-params.reset_n :]):
            rule = 2
        if t in broken:
            has_moved = abs(middle[t] - middle[t - 1]) > params.reset_move * atr[t]
            rule = 1 if broken[t].event == "CHOCH" or has_moved else rule
        is_ready = (last is None or t - last > params.cooldown) and not isnan(anchors[t])
        if not is_ready or not (rule or waiting):
            continue
        if exposure[t] > params.reset_max_exposure:
            if not waiting:
                waiting = rule
                said.append(("RESET_DEFERRED", resets + 1, t, anchors[t], anchor, rule))
            continue
        resets += 1
        said.append(("RESET", resets, t, anchors[t], anchor, waiting or rule))
        anchor, last, since, waiting = anchors[t], t, t, 0
    return said
