"""Judge what a strategy's result hangs on: its costs, and each of its numbers.

Two checks that need many plays of one run. Playing belongs to the back-test; here is decided which plays are worth
making (`neighbors`) and what their outcomes say (`check_costs`, `check_sensitivity`). Both return a table beside the
verdict, because a reader wants to see by how much.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, get_args, get_origin

import numpy as np
from pydantic import BaseModel, ValidationError

from tradesentry.core.strategy.checks import MIN_TRADES, CheckResult, Records

CHANGE = 0.1
"""Share by which a parameter is moved up and down."""
HELP_R = 1e-2
"""Gain by more cost, R, below which rounding to ticks and of conversion rates explains it."""
JUDGED = 0.25
"""Steps above this share are shown and not judged: the next choice or whole number is another strategy."""
HALVED = 0.5
"""An edge that a small change takes more than this share of is a spike, not a plateau."""
COST_COLUMNS = ("spread_cost", "slippage", "commission")
PLACE = ("market", "variant", "side", "tag", "entry_ns", "exit_ns", "bars_held", "exit_reason")
"""What makes two trades of different runs the same one. A stop that a wider spread hits a bar earlier is another one:
it may spare the trade a gap."""


@dataclass(frozen=True, slots=True)
class Neighbor:
    """A configuration that differs from the base in one number."""

    parameter: str
    """Dotted name."""
    was: float
    value: float
    config: Any

    @property
    def share(self) -> float:
        """Return by how much the number moved, relative to what it was."""
        return abs(self.value / self.was - 1.0) if self.was else math.inf

    @property
    def words(self) -> str:
        """Return the step in words: a percentage, or the step itself from zero."""
        return f"{100 * (self.value / self.was - 1.0):+.0f} %" if self.was else f"{self.value:+g}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one configuration earned."""

    n_trades: int
    mean_r: float
    low: float
    """95 % interval of the mean R."""
    high: float
    is_same: bool = False
    """Trade by trade the same as the base."""


def _number_choices(annotation: Any) -> list[float]:
    """Return the numbers of a Literal, empty for everything else."""
    for part in (annotation, *get_args(annotation)):
        if get_origin(part) is Literal and all(type(v) in (int, float) for v in get_args(part)):
            return sorted(get_args(part))
    return []


def _moved(value: float, annotation: Any, rules: Sequence[Any], *, is_up: bool, change: float) -> float | None:
    """Return a number a little above or below `value` that its field allows, None when there is none."""
    if choices := _number_choices(annotation):
        others = [c for c in choices if c > value] if is_up else [c for c in reversed(choices) if c < value]
        return others[0] if others else None
    step = abs(value) * change
    if isinstance(value, int):
        step = max(1, round(step))
    moved = value + step if is_up else value - step
    for rule in rules:
        low, high = getattr(rule, "ge", None), getattr(rule, "le", None)
        moved = moved if low is None else max(moved, type(value)(low))
        moved = moved if high is None else min(moved, type(value)(high))
    return None if moved == value else moved


def _with_value(config: Any, path: Sequence[str], value: float) -> Any:
    """Return the configuration with one number replaced and everything checked again."""
    values = config.model_dump()
    inner = values
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return type(config).model_validate(values)


def _numbers(model: BaseModel, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], float, Any]]:
    """Return (path, value, field) of every number of a configuration, nested ones included; no switches."""
    found = []
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            found += _numbers(value, (*path, name))
        elif type(value) in (int, float):
            found.append(((*path, name), value, field))
    return found


def neighbors(config: Any, *, change: float = CHANGE) -> tuple[list[Neighbor], dict[str, str]]:
    """Return the configurations that differ from `config` in one number by a tenth up or down, and what was left out.

    Whole numbers move by at least 1, choices to the next one; bounds are kept. Settings that are off stay off.

    Args:
        config: Configuration of a strategy.
        change: Share by which a number is moved.

    Returns:
        The neighbors in the order of the fields, and by `parameter direction` why a neighbor does not exist.
    """
    found, refused = [], {}
    for path, value, field in _numbers(config):
        label = ".".join(path)
        for is_up in (False, True):
            moved = _moved(value, field.annotation, field.metadata, is_up=is_up, change=change)
            side = f"{label} {'up' if is_up else 'down'}"
            if moved is None:
                refused[side] = "at its bound"
                continue
            try:
                found.append(Neighbor(label, value, moved, _with_value(config, path, moved)))
            except ValidationError as error:
                refused[side] = str(error.errors()[0]["msg"])
    return found, refused


def _outcome_row(label: str, change: str, value: str, outcome: Outcome, base: Outcome) -> dict[str, Any]:
    return {
        "parameter": label,
        "change": change,
        "value": value,
        "trades": outcome.n_trades,
        "mean R": _rounded(outcome.mean_r),
        "95 % low (R)": _rounded(outcome.low),
        "95 % high (R)": _rounded(outcome.high),
        "difference (R)": _rounded(outcome.mean_r - base.mean_r),
    }


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None


def _verdict(base: Outcome, tried: Sequence[tuple[Neighbor, Outcome]]) -> tuple[bool, str]:
    """Return whether the result stands, and the words."""
    text = f"mean R {base.mean_r:+.3f} (95 % {base.low:+.3f} to {base.high:+.3f}) over {base.n_trades:,} trades"
    judged = [(n, o) for n, o in tried if n.share <= JUDGED]
    for n, o in judged:
        if not math.isfinite(o.mean_r):
            return False, f"{text}; with {n.parameter} = {n.value:g} it does not trade at all."
    if not judged:
        return True, f"{text}; no number can be moved by a tenth."
    neighbor, far = max(judged, key=lambda pair: abs(pair[1].mean_r - base.mean_r))
    most = f"{neighbor.parameter} {neighbor.words} gives {far.mean_r:+.3f}"
    if base.low > 0 and min(o.mean_r for _, o in judged) < HALVED * base.mean_r:
        return False, f"A spike, not a plateau: {text}, but {most}. Such a result rarely survives; widen the search."
    if not base.low <= far.mean_r <= base.high:
        return False, f"{text}, but {most}, outside that interval: more than chance between trades explains."
    spread = f"{min(o.mean_r for _, o in judged):+.3f} to {max(o.mean_r for _, o in judged):+.3f}"
    return True, f"{text}; neighbors earn {spread}, and none changes what to conclude. Most: {most}."


def check_sensitivity(base: Outcome, tried: Sequence[tuple[Neighbor, Outcome]]) -> CheckResult:
    """Check that no number of a strategy, moved by a tenth, changes what its result says.

    It fails when the mean R of a neighbor leaves the 95 % interval of the base, when an edge (a lower bound above zero)
    loses half or more, or when a neighbor does not trade.

    Args:
        base: The configuration as it is.
        tried: Its neighbors with what they earned.

    Returns:
        The verdict, with a table of the base and of every change that moved a trade.
    """
    moving = [(n, o) for n, o in tried if not o.is_same]
    rows = [_outcome_row("(as configured)", "", "", base, base)]
    rows += [_outcome_row(n.parameter, n.words, f"{n.value:g} (was {n.was:g})", o, base) for n, o in moving]
    if base.n_trades < MIN_TRADES:
        text = f"Only {base.n_trades} trades; {MIN_TRADES} are needed to judge. Use more bars."
        return CheckResult("sensitivity", False, text, tuple(rows))
    is_passed, text = _verdict(base, tried)
    named = {n.parameter for n, _ in moving}
    idle = list(dict.fromkeys(n.parameter for n, _ in tried if n.parameter not in named))
    text += f" Without effect here: {', '.join(idle)}." if idle else ""
    return CheckResult("sensitivity", is_passed, text, tuple(rows))


def _paid(trades: Records) -> Any:
    """Return what each trade cost, account currency: spread, slippage, commission and the swap that was paid."""
    return sum(np.abs(trades[name]) for name in COST_COLUMNS) + np.maximum(-trades["swap"], 0.0)


def _same_trades(cheap: Records, dear: Records) -> list[tuple[int, int]]:
    """Return the rows of trades that both runs made, as `PLACE` tells them apart.

    A part of a basket is the same only when all of the basket is: its target follows from every fill.
    """

    def places(trades: Records) -> dict[tuple[Any, ...], int]:
        owners = list(zip(*(trades[name].tolist() for name in ("market", "variant", "basket")), strict=True))
        # A strategy that meant another stop had another plan; decisions themselves do not see the scale of costs.
        stops = np.nan_to_num(np.round(trades["stop_at_entry"], 9), nan=-1.0).tolist()
        places_only = list(zip(*(trades[name].tolist() for name in PLACE), stops, strict=True))
        parts: dict[tuple[int, ...], list[tuple[Any, ...]]] = {}
        for owner, place in zip(owners, places_only, strict=True):
            parts.setdefault(owner, []).append(place)
        whole = {owner: tuple(sorted(own)) if owner[2] else () for owner, own in parts.items()}
        keys = [(*place, whole[owner]) for owner, place in zip(owners, places_only, strict=True)]
        counts = Counter(keys)
        return {key: i for i, key in enumerate(keys) if counts[key] == 1}

    a, b = places(cheap), places(dear)
    return [(a[key], b[key]) for key in a if key in b]


def _without_earned_swap(trade: Any) -> tuple[float, float]:
    """Return net per unit and R of a trade as if no swap had been earned: a cost scale multiplies that gain as well."""
    earned = max(float(trade["swap"]), 0.0)
    net, r = float(trade["net"]), float(trade["r_multiple"])
    per_r = r / net if net else 0.0
    return (net - earned) / float(trade["units"]), r - earned * per_r


def _is_helped(cheap: Any, dear: Any) -> bool:
    """Say whether the dearer of two runs of a trade earned more, by both measures: per unit and in R.

    By one of them alone it may: with a wider spread a stop lies further away, so a target of 2 R pays more pips, and a
    loss beyond the stop counts fewer R.
    """
    (cheap_unit, cheap_r), (dear_unit, dear_r) = _without_earned_swap(cheap), _without_earned_swap(dear)
    room = 1e-3 * (abs(cheap_unit) + abs(dear_unit))
    has_r = math.isfinite(cheap_r) and math.isfinite(dear_r)
    return dear_unit - cheap_unit > room and (not has_r or dear_r - cheap_r > HELP_R)


def _level_row(scale: float, trades: Records, currency: str) -> dict[str, Any]:
    paid, r = _paid(trades), trades["r_multiple"][np.isfinite(trades["r_multiple"])]
    n = len(trades)
    risk = np.abs(trades["net"] / np.where(trades["r_multiple"] == 0, np.nan, trades["r_multiple"]))
    shares = (paid / risk)[np.isfinite(paid / risk)]
    return {
        "costs": f"{scale:g}x",
        "trades": n,
        "mean R": _rounded(np.mean(r)) if len(r) else None,
        f"net ({currency})": round(float(np.sum(trades["net"])), 2),
        f"costs ({currency})": round(float(np.sum(paid)), 2),
        f"costs per trade ({currency})": round(float(np.mean(paid)), 2) if n else None,
        "costs per trade (R)": _rounded(np.mean(shares)) if len(shares) else None,
    }


def check_costs(levels: Mapping[float, Records], *, symbols: Sequence[str], currency: str) -> CheckResult:
    """Check that more cost never helps the same trades.

    Trades that two neighboring levels have in common are compared one by one.

    Args:
        levels: TRADE rows by multiple of the costs, such as 0, 1 and 2.
        symbols: Names of the markets.
        currency: Account currency.

    Returns:
        Passed with a table of the levels; failed with the first trade that more cost helped, when costs do not reach
        the trades, or when too few trades are comparable.
    """
    rows = tuple(_level_row(scale, levels[scale], currency) for scale in sorted(levels))
    n_pairs = 0
    for low, high in pairwise(sorted(levels)):
        pairs = _same_trades(levels[low], levels[high])
        cheap, dear = levels[low][[i for i, _ in pairs]], levels[high][[j for _, j in pairs]]
        for a, b in zip(cheap, dear, strict=True):
            if _is_helped(a, b):
                return CheckResult("costs", False, _help_text(a, b, low, high, symbols), rows)
        if len(pairs) >= MIN_TRADES and not np.sum(_paid(dear)) > np.sum(_paid(cheap)):
            text = f"{len(pairs):,} trades cost as much at {high:g}x as at {low:g}x: no cost reaches them. "
            return CheckResult("costs", False, f"{text}Check the spreads of the data and the cost profile.", rows)
        n_pairs += len(pairs)
    if n_pairs < MIN_TRADES:
        text = f"Only {n_pairs} trades are the same at two cost levels; {MIN_TRADES} are needed. Use more bars."
        return CheckResult("costs", False, text, rows)
    names = ", ".join(f"{scale:g}x" for scale in sorted(levels))
    return CheckResult("costs", True, f"{n_pairs:,} pairs of the same trade at {names}: more cost never helped.", rows)


def _help_text(cheap: Any, dear: Any, low: float, high: float, symbols: Sequence[str]) -> str:
    side = "buy" if cheap["side"] > 0 else "sell"
    when = np.datetime64(int(cheap["entry_ns"]), "ns").astype("datetime64[m]")
    return (
        f"The {side} of {symbols[int(cheap['market'])]} at {when} UTC earned {float(cheap['r_multiple']):+.3f} R at "
        f"{low:g}x costs and {float(dear['r_multiple']):+.3f} R at {high:g}x. Something turns the spread into a gain: "
        "look for limit prices or targets that move with it, and for fills at prices that nobody quoted."
    )
