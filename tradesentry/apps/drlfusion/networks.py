"""Run one small network, and the two functions of a decision that are not rational: e^x and the normal distribution.

No `np.dot`, no fast math, no math library: each layer starts from the bias and adds input by input in index order, the
inner loop runs over outputs. It vectorizes without reordering any sum, so every platform gets the same bits. The inputs
are taken four at a time, still one addition after the other.
"""

import math
from typing import Any, Final

import numpy as np

from tradesentry.apps.drlfusion.layout import N_FEATURES, N_HIDDEN, N_OUT
from tradesentry.apps.drlfusion.observation import SIGNS
from tradesentry.core.utils.kernel import inline_kernel, kernel

LOG2_E: Final = 1.4426950408889634
LN2_HIGH: Final = 0.693145751953125
LN2_LOW: Final = 1.4286068203094172e-06
LARGEST: Final = 708.0
ONE_OVER_SQRT_2PI: Final = 0.3989422804014327
ZERO: Final = np.float32(0.0)


@kernel
def _power_of_two(n: int) -> float:
    """Return 2^n for -1022 <= n <= 1023, by exact products."""
    left = abs(n)
    value = 1.0
    factor = 2.0 if n >= 0 else 0.5
    while left > 0:
        if left & 1:
            value *= factor
        left >>= 1
        if left > 0:
            factor *= factor
    return value


@kernel
def exp_fixed(x: float) -> float:
    """Return e^x to a relative error below 1e-11, with the same bits everywhere.

    Args:
        x: Any number; beyond +-708 it counts as that.

    Source: x = n ln 2 + r; the [4/4] Pade approximant of e^r for abs(r) <= ln(2) / 2.
    """
    if not x > -LARGEST:
        x = -LARGEST
    if x > LARGEST:
        x = LARGEST
    n = math.floor(x * LOG2_E + 0.5)
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    square = r * r
    even = 1680.0 + square * (180.0 + square)
    odd = r * (840.0 + square * 20.0)
    return (even + odd) / (even - odd) * _power_of_two(int(n))


@kernel
def normal_cdf_fixed(x: float) -> float:
    """Return the standard normal distribution function to an absolute error below 1e-7, the same bits everywhere.

    Args:
        x: Any number, infinite ones included.

    Source: Abramowitz & Stegun (1964), 26.2.17; error below 7.5e-8.
    """
    size = min(abs(x), 38.0)
    t = 1.0 / (1.0 + 0.2316419 * size)
    series = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    tail = ONE_OVER_SQRT_2PI * exp_fixed(-0.5 * size * size) * series
    return 1.0 - tail if x > 0.0 else tail


@kernel
def normalize(params: Any, raw: Any, observation: Any) -> None:
    """Write the observation that networks see: (raw - mean) / scale, in float64, rounded once to float32.

    Args:
        params: Record of `layout.PARAMS`; obs_mean and obs_scale (28,) are read.
        raw: Raw observation, float32, shape (28,), already clipped.
        observation: float32, shape (28,); written. May be `raw` itself.
    """
    mean, scale = params.obs_mean, params.obs_scale
    for i in range(N_FEATURES):
        observation[i] = (raw[i] - mean[i]) / scale[i]


@kernel
def flip(observation: Any, mirrored: Any) -> None:
    """Write the observation of the mirrored market: the odd features change sign.

    Args:
        observation: float32, shape (28,).
        mirrored: float32, shape (28,); written.
    """
    for i in range(N_FEATURES):
        mirrored[i] = SIGNS[i] * observation[i]


@inline_kernel
def _layer(weights: Any, bias: Any, inputs: Any, n_in: int, outputs: Any, n_out: int) -> None:
    """Write bias + inputs x weights; weights are (input, output), `n_in` is a multiple of four."""
    for o in range(n_out):
        outputs[o] = bias[o]
    for i in range(0, n_in, 4):
        x0, x1, x2, x3 = inputs[i], inputs[i + 1], inputs[i + 2], inputs[i + 3]
        for o in range(n_out):
            total = outputs[o] + x0 * weights[i, o]
            total = total + x1 * weights[i + 1, o]
            total = total + x2 * weights[i + 2, o]
            outputs[o] = total + x3 * weights[i + 3, o]


@inline_kernel
def _rectify(values: Any, n: int) -> None:
    """Replace what is below zero by zero."""
    for i in range(n):
        values[i] = values[i] if values[i] > ZERO else ZERO


# A kernel per layer, not one for all three: compiled alone, each keeps its 64 sums in registers.


@kernel
def _first(params: Any, agent: int, observation: Any, h1: Any) -> None:
    """Write the first hidden layer."""
    _layer(params.w1[agent], params.b1[agent], observation, N_FEATURES, h1, N_HIDDEN)
    _rectify(h1, N_HIDDEN)


@kernel
def _second(params: Any, agent: int, h1: Any, h2: Any) -> None:
    """Write the second hidden layer."""
    _layer(params.w2[agent], params.b2[agent], h1, N_HIDDEN, h2, N_HIDDEN)
    _rectify(h2, N_HIDDEN)


@kernel
def _third(params: Any, agent: int, h2: Any, out: Any) -> None:
    """Write the outputs."""
    _layer(params.w3[agent], params.b3[agent], h2, N_HIDDEN, out, N_OUT)


@kernel
def forward(params: Any, agent: int, observation: Any, h1: Any, h2: Any, out: Any) -> None:
    """Run the network of one agent.

    Args:
        params: Record of `layout.PARAMS`; w1 b1 w2 b2 w3 b3 are read, `w[agent, input, output]`.
        agent: Number of the agent, 0 to 3 (`layout.AGENTS`).
        observation: Normalized, float32, shape (28,).
        h1: Scratch, float32, shape (64,).
        h2: Scratch, float32, shape (64,).
        out: float32, shape (5,); the outputs of the last layer.
    """
    _first(params, agent, observation, h1)
    _second(params, agent, h1, h2)
    _third(params, agent, h2, out)
