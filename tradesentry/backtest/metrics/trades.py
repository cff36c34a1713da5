"""Metrics of closed trades: hit rate, expectancy with its uncertainty, excursions, costs, refusals, baskets.

Pure functions over columns; nan where a figure is undefined. A win is a trade with net > 0. R is the net result in
units of the loss that the stop at entry stood for; trades without a stop have no R and are left out of R figures.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tradesentry.backtest.metrics.fx_time import fx_week, open_time

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Columns = Mapping[str, npt.NDArray[Any]]

BOOTSTRAP_DRAWS = 2_000
BOOTSTRAP_SEED = 20_240_101
MIN_WEEKS = 8
"""Fewer blocks than that do not carry a bootstrap."""
SQN_MAX_TRADES = 100


class Interval(NamedTuple):
    """A two-sided 95 % confidence interval."""

    low: float
    high: float


class Costs(NamedTuple):
    """What trading cost, account currency, positive = paid."""

    spread: float
    slippage: float
    commission: float
    swap: float
    total: float
    before_costs: float
    """Profit and loss without any of them."""


def win_rate(net: FloatArray) -> float:
    """Return the share of trades with net > 0, fraction in [0, 1]."""
    return float(np.mean(net > 0)) if len(net) else math.nan


def payoff_ratio(values: FloatArray) -> float:
    """Return the mean win over the mean loss (both positive), dimensionless.

    Args:
        values: Net per trade, in money or in R; zeros count in neither mean.

    Source: Vince (1990), "Portfolio Management Formulas".
    """
    wins, losses = values[values > 0], values[values < 0]
    return float(np.mean(wins) / -np.mean(losses)) if len(wins) and len(losses) else math.nan


def profit_factor(net: FloatArray) -> float:
    """Return the sum of wins over the sum of losses; nan without a losing trade.

    Source: Schwager (1984), "A Complete Guide to the Futures Markets".
    """
    loss = -float(np.sum(net[net < 0]))
    return float(np.sum(net[net > 0])) / loss if loss > 0 else math.nan


def zero_edge_win_rate(payoff: float) -> float:
    """Return the hit rate at which a payoff ratio breaks even, 1 / (1 + payoff)."""
    return 1.0 / (1.0 + payoff) if payoff >= 0 else math.nan


def expectancy(r_multiples: FloatArray) -> float:
    """Return the mean R-multiple per trade.

    Source: Tharp (1998), "Trade Your Way to Financial Freedom", ch. 7.
    """
    return float(np.mean(r_multiples)) if len(r_multiples) else math.nan


def normal_interval(r_multiples: FloatArray) -> Interval:
    """Return mean ± 1.96 standard errors of independent trades; nan for fewer than two."""
    if len(r_multiples) < 2:
        return Interval(math.nan, math.nan)
    half = 1.959964 * float(np.std(r_multiples, ddof=1)) / math.sqrt(len(r_multiples))
    middle = float(np.mean(r_multiples))
    return Interval(middle - half, middle + half)


def bootstrap_interval(
    r_multiples: FloatArray, weeks: IntArray, *, draws: int = BOOTSTRAP_DRAWS, seed: int = BOOTSTRAP_SEED
) -> Interval:
    """Return the percentile interval of the mean R when whole FX weeks are drawn with replacement.

    Trades of one week share news and trend, so weeks, not trades, are taken as independent.

    Args:
        r_multiples: Per trade, shape (n,).
        weeks: Block of each trade, shape (n,).
        draws: Resamples.
        seed: Of the generator: the same trades give the same interval.

    Returns:
        nan for fewer than `MIN_WEEKS` weeks with a trade.

    Source: Künsch (1989), Annals of Statistics 17(3), with calendar weeks as blocks; percentiles 2.5 and 97.5.
    """
    _, block = np.unique(weeks, return_inverse=True)
    n_blocks = int(block.max()) + 1 if len(block) else 0
    if n_blocks < MIN_WEEKS:
        return Interval(math.nan, math.nan)
    sums = np.bincount(block, weights=r_multiples)
    counts = np.bincount(block).astype(np.float64)
    picks = np.random.default_rng(seed).integers(0, n_blocks, size=(draws, n_blocks))
    means = sums[picks].sum(axis=1) / counts[picks].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(low), float(high))


def system_quality_number(r_multiples: FloatArray) -> float:
    """Return sqrt(min(n, 100)) times the mean over the sample deviation of R.

    Source: Tharp (2008), "The Definitive Guide to Position Sizing": n is capped so that long tests do not inflate it.
    """
    if len(r_multiples) < 2:
        return math.nan
    deviation = float(np.std(r_multiples, ddof=1))
    scale = math.sqrt(min(len(r_multiples), SQN_MAX_TRADES))
    return scale * float(np.mean(r_multiples)) / deviation if deviation > 1e-15 else math.nan


def longest_streak(flags: npt.NDArray[np.bool_]) -> int:
    """Return the length of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    return int(np.max(edges[1::2] - edges[::2])) if len(edges) else 0


def exposure_fraction(entry_ns: IntArray, exit_ns: IntArray, period: tuple[int, int]) -> float:
    """Return the share of FX-open time with at least one position, fraction in [0, 1].

    Args:
        entry_ns: Of each trade.
        exit_ns: Of each trade.
        period: First and last instant of the test.
    """
    begin, end = open_time(np.array(period, dtype=np.int64))
    if end <= begin:
        return math.nan
    if not len(entry_ns):
        return 0.0
    order = np.argsort(entry_ns, kind="stable")
    starts = np.clip(open_time(entry_ns[order]), begin, end)
    reached = np.maximum.accumulate(np.clip(open_time(exit_ns[order]), begin, end))
    covered = np.maximum(reached - np.maximum(starts, np.concatenate(([begin], reached[:-1]))), 0)
    return float(np.sum(covered) / (end - begin))


def trade_costs(columns: Columns) -> Costs:
    """Return what the trades cost, by kind.

    Spread and slippage are inside the fills and so inside `gross`; commission and swap lie between `gross` and `net`.
    Swap that was earned counts as a negative cost.

    Args:
        columns: `gross`, `net`, `commission`, `spread_cost`, `slippage` per trade, account currency.
    """
    gross, net = _sum(columns["gross"]), _sum(columns["net"])
    spread, slippage = _sum(np.abs(columns["spread_cost"])), _sum(columns["slippage"])
    commission = _sum(np.abs(columns["commission"]))
    swap = gross - net - commission
    total = spread + slippage + commission + swap
    return Costs(spread, slippage, commission, swap, total, net + total)


def risk_money(columns: Columns) -> FloatArray:
    """Return the loss at the stop that each trade was sized for, account currency; nan without a stop or result.

    Args:
        columns: `net` and `r_multiple` per trade: their quotient.
    """
    net, r_multiple = columns["net"].astype(np.float64), columns["r_multiple"].astype(np.float64)
    known = np.isfinite(r_multiple) & (np.abs(r_multiple) > 1e-9)
    return np.where(known, net / np.where(known, r_multiple, 1.0), np.nan)


def group_rows(labels: npt.NDArray[Any], net: FloatArray, r_multiples: FloatArray) -> list[dict[str, object]]:
    """Return one row of figures per label, in order of the labels: what worked when, where and why it ended.

    Args:
        labels: Group of each trade.
        net: Account currency.
        r_multiples: nan where a trade has no R.
    """
    rows: list[dict[str, object]] = []
    for label in np.unique(labels):
        chosen = labels == label
        r_known = r_multiples[chosen & np.isfinite(r_multiples)]
        low, high = normal_interval(r_known)
        rows.append(
            {
                "group": label.item(),
                "n_trades": int(np.sum(chosen)),
                "win_rate": win_rate(net[chosen]),
                "mean_r": expectancy(r_known),
                "mean_r_low": low,
                "mean_r_high": high,
                "profit_factor": profit_factor(net[chosen]),
                "net": float(np.sum(net[chosen])),
            }
        )
    return rows


def baskets(columns: Columns) -> dict[str, FloatArray]:
    """Return the results of baskets: trades opened as one idea, such as the levels of a grid.

    Args:
        columns: `symbol`, `variant`, `basket`, `net`, `r_multiple`, `mae_r`, `exit_ns`, `exit_reason` per trade;
            basket 0 is none.

    Returns:
        `net` (account currency), `risk` (sum of the money at the stops), `r` (net over risk), `mae_r` (adverse
        excursions weighted by risk), `n_trades`, `is_stopped` (1 when any part ended by its stop loss), per basket.
    """
    grouped = columns["basket"].astype(np.int64) > 0
    keys = [columns[name][grouped] for name in ("symbol", "variant", "basket")]
    codes = np.zeros(int(np.sum(grouped)), dtype=np.int64)
    for key in keys:
        _, part = np.unique(key, return_inverse=True)
        codes = codes * (int(part.max()) + 1 if len(part) else 1) + part
    _, codes = np.unique(codes, return_inverse=True)
    risk = risk_money(columns)[grouped]
    excursion = columns["mae_r"][grouped].astype(np.float64)
    stopped = (columns["exit_reason"][grouped] == "stop_loss").astype(np.float64)
    total: dict[str, FloatArray] = {
        "net": np.bincount(codes, weights=columns["net"][grouped]).astype(np.float64),
        "risk": np.bincount(codes, weights=np.nan_to_num(risk)).astype(np.float64),
        "n_trades": np.bincount(codes).astype(np.float64),
        "is_stopped": (np.bincount(codes, weights=stopped) > 0).astype(np.float64),
    }
    base = np.where(total["risk"] > 0, total["risk"], np.nan)
    weighted = np.bincount(codes, weights=np.nan_to_num(excursion * risk))
    return total | {"r": total["net"] / base, "mae_r": weighted / base}


def full_loss_break_even(r_baskets: FloatArray, is_stopped: FloatArray) -> float:
    """Return the share of full losses at which baskets break even: w / (1 + w), w = mean win over mean full loss.

    A hit rate has to be read against it: many small wins and a rare full loss are geometry, not skill.
    """
    wins = r_baskets[r_baskets > 0]
    full = r_baskets[(is_stopped > 0) & (r_baskets < 0)]
    if not len(wins) or not len(full):
        return math.nan
    weight = float(np.mean(wins) / -np.mean(full))
    return weight / (1.0 + weight)


def trade_weeks(entry_ns: IntArray) -> IntArray:
    """Return the FX week of each entry, the block of the bootstrap."""
    return fx_week(entry_ns)


def _sum(values: npt.NDArray[Any]) -> float:
    return float(np.sum(values.astype(np.float64)))
