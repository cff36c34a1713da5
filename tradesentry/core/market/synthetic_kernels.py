"""The inner loops of the synthetic market: paths of values, prices on the tick grid, bars.

All random numbers come in as arrays, so these kernels are pure and the same numbers give the same bits.
"""

from typing import Any

import numpy as np

from tradesentry.core.utils.kernel import kernel

PATH = np.dtype(
    [
        ("sigma", "f8"),  # standard deviation of an average minute, log value
        ("dollar", "f8"),
        ("risk", "f8"),
        ("europe", "f8"),
        ("own", "f8"),
        ("own_volatility", "f8"),
        ("permanent", "f8"),
        ("transitory", "f8"),
        ("keep", "f8"),  # what is left of the transitory part after one step
        ("drift", "f8"),
        ("flip", "f8"),  # chance per minute that the trend turns
        ("jump", "f8"),  # chance of a jump in an average minute
        ("value", "f8"),  # state: permanent part, log
        ("deviation", "f8"),  # state: transitory part, log
        ("trend", "f8"),  # state: 1 or -1
    ],
    align=True,
)
"""Numbers and state of one currency's path."""


@kernel
def log_volatility(state: Any, shocks: Any, keep: Any, deviation: Any, out: Any) -> int:
    """Write the market's volatility per minute: two mean-reverting parts of its logarithm.

    Args:
        state: Present values of both parts, shape (2,); updated.
        shocks: Standard normal, shape (n, 2).
        keep: What is left of each part after a minute, shape (2,).
        deviation: Standard deviation of each part, shape (2,).
        out: Multiples of the average volatility, mean square 1, shape (n,).

    Returns:
        0.
    """
    correction = deviation[0] ** 2 + deviation[1] ** 2
    for i in range(out.shape[0]):
        for part in range(2):
            push = deviation[part] * np.sqrt(1.0 - keep[part] ** 2)
            state[part] = keep[part] * state[part] + push * shocks[i, part]
        out[i] = np.exp(state[0] + state[1] - correction)
    return 0


@kernel
def _jump_size(uniform: float, chance: float) -> float:
    """Return the size of a jump in minute deviations, 4 to 12 either way, 0 when there is none."""
    if uniform >= chance:
        return 0.0
    place = uniform / chance
    return 4.0 + 16.0 * place if place < 0.5 else -(4.0 + 16.0 * (place - 0.5))


@kernel
def value_path(path: Any, scale: Any, closed: Any, shared: Any, own: Any, fine: Any, uniform: Any, out: Any) -> int:
    """Write the log value of one currency at every step.

    Args:
        path: PATH record; its state is updated.
        scale: Activity times market volatility of each minute, shape (n,).
        closed: Standard deviation of the gap before each minute in minute deviations, 0 without gap, shape (n,).
        shared: Shocks of the dollar, risk and Europe factors, standard normal, shape (n, 3).
        own: Shock of the minute's own volatility and of the gap before it, standard normal, shape (n, 2).
        fine: Standard normal, shape (n, steps).
        uniform: Uniform in [0, 1) for trend turns and jumps, shape (n, 2).
        out: Log values, shape (n, steps).

    Returns:
        0.
    """
    steps = out.shape[1]
    root = 1.0 / np.sqrt(float(steps))
    for i in range(out.shape[0]):
        deviation = path.sigma * scale[i] * np.exp(path.own_volatility * own[i, 0] - path.own_volatility**2)
        total = 0.0
        for j in range(steps):
            total += fine[i, j]
        mean = total / steps
        shock = path.own * total * root
        shock += path.dollar * shared[i, 0] + path.risk * shared[i, 1] + path.europe * shared[i, 2]
        if uniform[i, 0] < path.flip:
            path.trend = -path.trend
        extra = _jump_size(uniform[i, 1], path.jump * scale[i] * scale[i]) * deviation
        extra += closed[i] * own[i, 1] * path.sigma
        for j in range(steps):
            move = deviation * ((fine[i, j] - mean) * root + shock / steps) + extra
            extra = 0.0
            path.deviation = path.keep * path.deviation + path.transitory * move
            path.value += path.permanent * move + path.drift * path.trend * deviation / steps
            out[i, j] = path.value + path.deviation
    return 0


@kernel
def price_path(level: float, base: Any, quote: Any, out: Any) -> int:
    """Write prices in whole ticks from the log values of base and quote; return 0.

    Args:
        level: Price of two values of 0, ticks.
        base: Log values, shape (n, steps).
        quote: Log values, shape (n, steps).
        out: Prices in ticks, shape (n, steps).
    """
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = np.rint(level * np.exp(base[i, j] - quote[i, j]))
    return 0


@kernel
def walk_path(
    ticks: float, sigma: float, jump: float, scale: Any, own: Any, fine: Any, uniform: Any, out: Any
) -> float:
    """Write a driftless walk in whole ticks and return its last price.

    Every step is a symmetric random number of ticks whose size does not depend on the price: a martingale exactly, on
    the grid, whatever is done with it.

    Args:
        ticks: Price before the first step.
        sigma: Standard deviation of an average minute, ticks.
        jump: Chance of a jump in an average minute.
        scale: Activity times market volatility of each minute, shape (n,).
        own: Standard normal, shape (n, 2); the first makes the tails fat.
        fine: Standard normal, shape (n, steps).
        uniform: Uniform in [0, 1), shape (n, 2); the second decides jumps.
        out: Prices in ticks, shape (n, steps).
    """
    steps = out.shape[1]
    root = 1.0 / np.sqrt(float(steps))
    for i in range(out.shape[0]):
        deviation = sigma * scale[i] * np.exp(0.35 * own[i, 0] - 0.1225)
        ticks += np.rint(_jump_size(uniform[i, 1], jump * scale[i] * scale[i]) * deviation)
        for j in range(steps):
            ticks += np.rint(deviation * root * fine[i, j])
            out[i, j] = ticks
    return ticks


@kernel
def fill_bars(
    open_ns: Any, ticks: Any, spread: Any, volume: Any, keep: Any, numerator: float, denominator: float, bars: Any
) -> int:
    """Write one bar per kept minute and return how many.

    Args:
        open_ns: Opens of the minutes, shape (n,).
        ticks: Bid prices in ticks, shape (n, steps).
        spread: Spread of each minute, ticks, shape (n,).
        volume: Tick count of each minute, shape (n,).
        keep: False for minutes without data, shape (n,).
        numerator: A price is ticks * numerator / denominator.
        denominator: See `numerator`.
        bars: BAR records, at least as many as are kept.
    """
    n_bars = 0
    for i in range(ticks.shape[0]):
        if not keep[i]:
            continue
        high = ticks[i, 0]
        low = ticks[i, 0]
        for j in range(1, ticks.shape[1]):
            high = max(high, ticks[i, j])
            low = min(low, ticks[i, j])
        bar = bars[n_bars]
        bar.open_ns = open_ns[i]
        bar.close_ns = open_ns[i] + 60_000_000_000
        bar.open = ticks[i, 0] * numerator / denominator
        bar.high = high * numerator / denominator
        bar.low = low * numerator / denominator
        bar.close = ticks[i, ticks.shape[1] - 1] * numerator / denominator
        bar.volume = volume[i]
        bar.spread = spread[i] * numerator / denominator
        n_bars += 1
    return n_bars


@kernel
def fill_path(open_ns: Any, ticks: Any, spread: Any, keep: Any, numerator: float, denominator: float, bars: Any) -> int:
    """Write one bar of no length per simulated price and return how many; arguments as `fill_bars`."""
    n_bars = 0
    steps = ticks.shape[1]
    for i in range(ticks.shape[0]):
        if not keep[i]:
            continue
        for j in range(steps):
            bar = bars[n_bars]
            bar.open_ns = open_ns[i] + 60_000_000_000 * j // steps
            bar.close_ns = bar.open_ns
            price = ticks[i, j] * numerator / denominator
            bar.open = price
            bar.high = price
            bar.low = price
            bar.close = price
            bar.volume = 1.0
            bar.spread = spread[i] * numerator / denominator
            n_bars += 1
    return n_bars
