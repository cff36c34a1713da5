"""Second versions of gaps, supply-demand bases and order blocks: plain Python over the whole history.

The life of a zone is not simulated but looked up: the first bar on which each condition of its definition holds. Slow
and obvious on purpose.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.unit.core.strategy.indicators.oracles import Columns, true_ranges, wilder

DAY_NS = 86_400_000_000_000
COLUMNS = (
    "known_index", "event", "direction", "id", "parent_id", "origin_index", "price_low", "price_high", "price",
    "other_price", "other_index", "value",
)  # fmt: skip


@dataclass(frozen=True)
class Words:
    """How a component calls the steps of a life; empty for those it does not know."""

    new: str
    touch: str
    mid: str
    fill: str
    broken: str
    dead: str
    expired: str
    dropped: str
    merged: str = ""


GAP_WORDS = Words(
    "FVG_NEW", "FVG_TOUCH", "FVG_MID", "FVG_FILL", "FVG_INVERT", "FVG_DEAD", "FVG_EXPIRED", "FVG_DROPPED", "FVG_MERGED"
)
BASE_WORDS = Words("SD_NEW", "SD_TOUCH", "", "", "SD_BREAK", "", "SD_EXPIRED", "SD_DROPPED")
BLOCK_WORDS = Words("OB_NEW", "OB_TOUCH", "OB_MID", "", "OB_BREAK", "OB_DEAD", "OB_EXPIRED", "OB_DROPPED")


@dataclass
class Zone:
    """One zone and everything that ever happens to it: (bar, step on it, event, price, direction)."""

    born: int
    direction: int
    near: float
    far: float
    origin: int
    other_index: int = -1
    parent_id: int = -1
    pattern: int = 0
    id: int = 0
    end: int = 1 << 30
    says: list[tuple[int, int, str, float, int]] = field(default_factory=list)


def first(bars: Iterable[int], condition: Callable[[int], bool]) -> int:
    """Return the first bar on which the condition holds, far in the future when there is none."""
    return next((u for u in bars if condition(u)), 1 << 30)


def live(
    bars: Any, zone: Zone, words: Words, *, max_age: int = 0, flips: bool = False, by_wick: bool = False,
    repeats: bool = False,
) -> None:  # fmt: skip
    """Look up the whole life of a zone, as if it were alone."""
    d, near, far, after = zone.direction, zone.near, zone.far, range(zone.born + 1, len(bars))
    reach, back = (bars.low, bars.high) if d > 0 else (bars.high, bars.low)
    judged, judged_back = (reach, back) if by_wick else (bars.close, bars.close)

    def at_or_beyond(level: float) -> Callable[[int], bool]:
        return lambda u: bool(d * reach[u] <= d * level)

    broken = first(after, lambda u: d * judged[u] < d * far)
    dead = first(range(broken + 1, len(bars)), lambda u: d * judged_back[u] > d * near) if flips else 1 << 30
    expired = zone.born + max_age + 1 if max_age else 1 << 30
    zone.end = min(dead if flips else broken, expired)
    levels = [(words.touch, near), (words.mid, 0.5 * (near + far)), (words.fill, far)]
    for step, (word, level) in enumerate(levels):
        if word and not repeats:
            zone.says.append((first(after, at_or_beyond(level)), step, word, level, d))
    if repeats:
        inside = at_or_beyond(near)
        zone.says += [(u, 0, words.touch, near, d) for u in after if inside(u) and not inside(u - 1)]
    zone.says += [(broken, 3, words.broken, far, d), (dead, 4, words.dead, near, -d)]
    # An old zone is not asked any more, and a broken one is touched no more.
    zone.says = [
        said for said in zone.says if said[0] < min(expired, len(bars)) and (said[0] <= broken or said[1] == 4)
    ]
    if expired < len(bars) and expired <= zone.end:
        zone.says.append((expired, 5, words.expired, np.nan, -d if flips and broken < expired else d))


def in_order(bars: Any, found: list[Zone], words: Words, *, capacity: int = 64, **rules: Any) -> list[Zone]:
    """Give ids, live, and drop the oldest zone of a full side; zones come in the order in which they are known."""
    for i, zone in enumerate(found):
        zone.id = i + 1
        live(bars, zone, words, **rules)
        side = [other for other in found[:i] if other.direction == zone.direction and other.end > zone.born]
        if len(side) >= capacity:
            end_now(side[0], zone.born, words.dropped)
        zone.says.append((zone.born, 8, words.new, zone.near, zone.direction))
    return found


def end_now(zone: Zone, t: int, word: str) -> None:
    """End a zone on bar t, after its life on that bar."""
    is_flipped = any(said[1] == 3 and said[0] <= t for said in zone.says)
    zone.says = [said for said in zone.says if said[0] <= t]
    zone.says.append((t, 7, word, np.nan, -zone.direction if is_flipped else zone.direction))
    zone.end = t


def rows(found: list[Zone], value: Callable[[Zone, int, str], float], *, is_base: bool = False) -> list[Any]:
    """Return all events in the order of work: lives by id, then what ends to make room, then the new zone."""
    said = [
        (t, step >= 7, 0 if step < 7 else step, zone.id, step, zone, word, price, direction)
        for zone in found
        for t, step, word, price, direction in zone.says
    ]
    table = []
    for t, _, _, _, _, zone, word, price, direction in sorted(said, key=lambda row: row[:5]):
        low, high = sorted((zone.near, zone.far))
        shown, other = (zone.near, zone.far) if is_base else (price, np.nan)
        seats = (zone.id, zone.parent_id, zone.origin)
        table.append((t, word, direction, *seats, low, high, shown, other, zone.other_index, value(zone, t, word)))
    return table


def same_rows(frame: Any, expected: list[Any]) -> bool:
    """Return whether the events of a run are the expected ones, column by column; NaN equals NaN."""
    found = frame.filter(frame["component"].cast(str) != "events").select(COLUMNS).rows()
    return len(found) == len(expected) and all(
        _is_same(a, b) for left, right in zip(found, expected, strict=True) for a, b in zip(left, right, strict=True)
    )


def _is_same(a: Any, b: Any) -> bool:
    return bool(np.isclose(a, b, rtol=1e-12, atol=0.0, equal_nan=True)) if isinstance(a, float) else a == b


def atrs(bars: Any, n: int) -> list[float]:
    """Return the ATR of every bar; NaN while it does not exist."""
    return [np.nan] * n + wilder(true_ranges(bars), n) if len(bars) > n else [np.nan] * len(bars)


def atrs_before(bars: Any, n: int) -> list[float]:
    """Return the ATR of the bar before, for every bar."""
    return [np.nan, *atrs(bars, n)[:-1]]


def gaps(bars: Any, params: Any, *, tick: float = 0.0, capacity: int = 64) -> list[Any]:
    """Return the events of fair value gaps."""
    bars = Columns(bars)
    atr = atrs_before(bars, params.atr.n_bars)
    found: list[Zone] = []
    for t in range(2, len(bars)):
        zone = _gap_at(bars, t, params, atr[t], tick)
        if zone is None:
            continue
        zone.id = len(found) + 1
        older = found[-1] if found else None
        if (
            params.join_consecutive and older is not None and (older.born, older.direction) == (t - 1, zone.direction)
            and not any(step == 3 and u <= t for u, step, *_ in older.says)
            and older.end > t
        ):  # fmt: skip
            lows, highs = (
                min(older.near, older.far, zone.near, zone.far),
                max(older.near, older.far, zone.near, zone.far),
            )
            zone.near, zone.far = (highs, lows) if zone.direction > 0 else (lows, highs)
            end_now(older, t, GAP_WORDS.merged)
        found.append(zone)
        live(bars, zone, GAP_WORDS, max_age=params.max_age, flips=params.inversions)
        side = [other for other in found[:-1] if other.direction == zone.direction and other.end > t]
        if len(side) >= capacity:
            end_now(side[0], t, GAP_WORDS.dropped)
        zone.says.append((t, 8, GAP_WORDS.new, zone.near, zone.direction))

    def fill(zone: Zone, t: int, word: str) -> float:
        reach = bars.low if zone.direction > 0 else bars.high
        shares = [(zone.near - reach[u]) / (zone.near - zone.far) for u in range(zone.born + 1, t + 1)]
        if word == GAP_WORDS.expired:
            shares = shares[:-1]
        return float(min(1.0, max([0.0, *shares])))

    return rows(found, fill)


def _gap_at(bars: Any, t: int, params: Any, atr: float, tick: float) -> Zone | None:
    a, m = t - 2, t - 1
    has_hole = bars.close_ns[a] != bars.open_ns[m] or bars.close_ns[m] != bars.open_ns[t]
    if params.contiguous_only and has_hole:
        return None
    if bars.low[t] > bars.high[a]:
        zone = Zone(t, 1, bars.low[t], bars.high[a], m)
    elif bars.high[t] < bars.low[a]:
        zone = Zone(t, -1, bars.high[t], bars.low[a], m)
    else:
        return None
    d, height = zone.direction, abs(zone.near - zone.far)
    touching = all(bars.low[x] <= bars.high[y] and bars.low[y] <= bars.high[x] for x, y in ((a, m), (m, t)))
    is_refused = (
        (params.body_filter and d * bars.close[m] <= d * bars.open[m])
        or (params.g_atr > 0 and not height >= params.g_atr * atr)
        or (tick > 0 and round(height / tick) < params.g_ticks)
        or (params.fvg_shape == "strict_overlap" and not touching)
    )
    return None if is_refused else zone


def supply_demand(bars: Any, params: Any, *, capacity: int = 64) -> list[Any]:
    """Return the events of supply and demand zones."""
    bars = Columns(bars)
    atr = atrs_before(bars, params.atr.n_bars)
    is_base: list[bool] = []
    found: list[Zone] = []
    for t in range(len(bars)):
        body, height = abs(bars.close[t] - bars.open[t]), bars.high[t] - bars.low[t]
        run = _run_before(bars, is_base, t, params)
        zone = None
        if 1 <= len(run) <= params.max_base and body >= params.dep_atr * atr[t] and body >= 0.5 * height:
            zone = _departure(bars, run, t)
        if zone is not None:
            legs = [u for u in range(run[0]) if not is_base[u]]
            zone.pattern = int(np.sign(bars.close[legs[-1]] - bars.open[legs[-1]]))
            found.append(zone)
        quiet = body <= params.base_body * height or height <= params.base_atr * atr[t]
        is_base.append(bool(quiet and atr[t] == atr[t] and zone is None))
    in_order(bars, found, BASE_WORDS, capacity=capacity, max_age=params.max_age, repeats=True)

    def value(zone: Zone, t: int, word: str) -> float:
        touches = sum(said[2] == BASE_WORDS.touch and said[0] <= t for said in zone.says)
        return float({"SD_NEW": zone.pattern, "SD_TOUCH": touches}.get(word, np.nan))

    return rows(found, value, is_base=True)


def _run_before(bars: Any, is_base: list[bool], t: int, params: Any) -> list[int]:
    """Return the base bars directly before bar t, without a hole that clears them."""
    run: list[int] = []
    longest = 0 if params.contiguous_only else 3 * DAY_NS
    u = t
    while u > 0 and is_base[u - 1] and bars.open_ns[u] - bars.close_ns[u - 1] <= longest:
        u -= 1
        run.insert(0, u)
    return run


def _departure(bars: Any, run: list[int], t: int) -> Zone | None:
    tops = [max(bars.open[u], bars.close[u]) for u in run]
    bottoms = [min(bars.open[u], bars.close[u]) for u in run]
    high, low = max(bars.high[u] for u in run), min(bars.low[u] for u in run)
    if bars.close[t] > high:
        return Zone(t, 1, max(tops), min(low, bars.low[t]), run[0])
    if bars.close[t] < low:
        return Zone(t, -1, min(bottoms), max(high, bars.high[t]), run[0])
    return None


def order_blocks(bars: Any, breaks: list[dict[str, Any]], params: Any, *, tick: float = 0.0, capacity: int = 64) -> Any:
    """Return the events of order blocks, given the BOS and CHOCH rows of the same bars."""
    bars = Columns(bars)
    found: list[Zone] = []
    for t, _, _, zone, parent in sorted(_blocks_of(bars, breaks, params, tick), key=lambda row: row[:3]):
        twins = [other for other in found if (other.origin, other.direction) == (zone.origin, zone.direction)]
        if any(other.end > t and not any(said[1] == 3 and said[0] <= t for said in other.says) for other in twins):
            continue
        zone.id, zone.born, zone.parent_id = len(found) + 1, t, parent
        live(
            bars, zone, BLOCK_WORDS, max_age=params.max_age, flips=params.breakers, by_wick=params.zone_break == "wick"
        )
        side = [other for other in found if other.direction == zone.direction and other.end > t]
        if len(side) >= capacity:
            end_now(side[0], t, BLOCK_WORDS.dropped)
        zone.says.append((t, 8, BLOCK_WORDS.new, zone.near, zone.direction))
        found.append(zone)
    return rows(found, lambda *_: np.nan)


def _blocks_of(bars: Any, breaks: list[dict[str, Any]], params: Any, tick: float) -> list[Any]:
    """Return (known bar, waited for a gap, break id, zone, break id) of every break that passes the filters."""
    atr = atrs(bars, params.structure.atr.n_bars)
    gap_atr = atrs_before(bars, params.gaps.atr.n_bars)
    made = [(t, _gap_at(bars, t, params.gaps, gap_atr[t], tick)) for t in range(2, len(bars))]
    blocks = []
    for row in breaks:
        t, p, d = row["known_index"], row["origin_index"], row["direction"]
        k = _candle(bars, p, t, d, params.select)
        if params.max_range_atr is not None and not bars.high[k] - bars.low[k] <= params.max_range_atr * atr[t]:
            continue
        if params.disp_atr > 0 and not abs(bars.close[t] - bars.open[t]) >= params.disp_atr * atr[t - 1]:
            continue
        top, bottom = bars.high[k], bars.low[k]
        if params.zone == "body":
            top, bottom = max(bars.open[k], bars.close[k]), min(bars.open[k], bars.close[k])
        zone = Zone(t, d, top if d > 0 else bottom, bottom if d > 0 else top, k, other_index=p)
        known, waited = t, 0
        if params.needs_gap:
            ups = [u for u, gap in made if gap is not None and gap.direction == d and p <= u <= t + 1]
            if not ups:
                continue
            known, waited = (t, 0) if ups[0] < t else (ups[0], 1)
        blocks.append((known, waited, row["id"], zone, row["id"]))
    return blocks


def _candle(bars: Any, p: int, t: int, d: int, select: str) -> int:
    opposite = [k for k in range(p, t) if (bars.close[k] - bars.open[k]) * d < 0]
    if select == "last_opposite" and opposite:
        return opposite[-1]
    worst = [(d * (bars.low[k] if d > 0 else bars.high[k]), -k) for k in range(p + 1, t)]
    return -min(worst)[1] if worst else t - 1
