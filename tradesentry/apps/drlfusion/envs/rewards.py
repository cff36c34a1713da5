"""What a bar pays an agent: the net result in ATRs of one full unit, and three ways to make it less risk-neutral.

Separate from the environment's loop, because the reward is the one part of training that the back-test does not have.
Every mode starts from n, the change of equity divided by what an ATR of one full unit is worth: of order 1 on every
market and account, which matters more than the mode. With `net` the rewards of an episode sum to its net profit.
"""

from typing import Any, Final, Literal, get_args

import numpy as np
from pydantic import Field

from tradesentry.core.utils.config_model import FrozenModel
from tradesentry.core.utils.kernel import inline_kernel, new_records

Mode = Literal["net", "mean_variance", "differential_sharpe", "drawdown"]

REWARD = np.dtype([("mode", "i8"), ("weight", "f8"), ("eta", "f8"), ("drawdown_weight", "f8")], align=True)
REWARD_MEMORY = np.dtype(
    [
        ("average", "f8"),  # A of the differential Sharpe ratio
        ("square", "f8"),  # B of it
        ("drawdown", "f8"),  # below the episode's highest equity as of the last bar, account currency
    ],
    align=True,
)

MEAN_VARIANCE: Final = get_args(Mode).index("mean_variance")
DIFFERENTIAL_SHARPE: Final = get_args(Mode).index("differential_sharpe")
DRAWDOWN: Final = get_args(Mode).index("drawdown")
MAX_SHARPE_STEP: Final = 10.0
LEAST_VARIANCE: Final = 1e-12
"""Below it nothing has happened yet that a ratio could be taken of."""
START_SQUARE: Final = 1.0
"""The second moment that an episode starts with: a full unit moves by about one ATR a bar."""


class RewardSettings(FrozenModel):
    """Which reward, and its weights."""

    mode: Mode = Field("net", description="How the net result of a bar becomes a reward.")
    weight: float = Field(0.05, ge=0, le=1, description="Weight of the square in mean_variance.")
    eta: float = Field(0.01, gt=0, le=0.5, description="Step of the moving moments in differential_sharpe.")
    drawdown_weight: float = Field(0.5, ge=0, le=10, description="Weight of a growing drawdown in drawdown.")

    def record(self) -> np.recarray[Any, Any]:
        """Return the settings as a REWARD record, shape (1,)."""
        found = new_records(1, REWARD)
        found.mode[0], found.weight[0] = get_args(Mode).index(self.mode), self.weight
        found.eta[0], found.drawdown_weight[0] = self.eta, self.drawdown_weight
        return found


@inline_kernel
def reset_reward(memory: Any) -> None:
    """Forget the episode before."""
    memory.average = 0.0
    memory.square = START_SQUARE
    memory.drawdown = 0.0


@inline_kernel
def reward_of(settings: Any, memory: Any, net: float, gross: float, drawdown: float, scale: float) -> float:
    """Return the reward of one bar and remember what the next one needs.

    Args:
        settings: REWARD.
        memory: REWARD_MEMORY of the episode.
        net: Change of equity on the bar, account currency.
        gross: The same before costs.
        drawdown: How far equity is below the highest of the episode, account currency >= 0.
        scale: One divided by the account money of an ATR of one full unit.

    Source: Moody & Saffell (2001), IEEE Transactions on Neural Networks 12(4), eq. 14 for the differential Sharpe
        ratio.
    """
    n = net * scale
    if settings.mode == MEAN_VARIANCE:
        return float(n - settings.weight * (gross * scale) * (gross * scale))
    if settings.mode == DIFFERENTIAL_SHARPE:
        by_mean = n - memory.average
        by_square = n * n - memory.square
        variance = memory.square - memory.average * memory.average
        found = 0.0
        if variance > LEAST_VARIANCE:
            found = (memory.square * by_mean - 0.5 * memory.average * by_square) / (variance * np.sqrt(variance))
        memory.average += settings.eta * by_mean
        memory.square += settings.eta * by_square
        return max(-MAX_SHARPE_STEP, min(MAX_SHARPE_STEP, found))
    if settings.mode == DRAWDOWN:
        growth = max(0.0, drawdown - memory.drawdown)
        memory.drawdown = drawdown
        return float(n - settings.drawdown_weight * growth * scale)
    return n
