"""Follow the equity of a live account: peak, drawdown and the result of the day, with deposits and withdrawals removed.

Separate from the kernels' account, which knows only what its own run does: this one is fed with what the venue says. A
flow moves every level by its amount, so money paid in is no profit and money paid out no loss.
"""

from dataclasses import dataclass
from decimal import Decimal

from tradesentry.core.domain.money import ZERO


@dataclass(frozen=True, slots=True)
class EquityFigures:
    """Where an account stands. Money in account currency."""

    equity: Decimal
    peak: Decimal
    """Highest equity so far, as if later flows had been there then."""
    drawdown_fraction: float
    max_drawdown_fraction: float
    net: Decimal
    """Since the start, flows removed."""
    day_net: Decimal
    """Since 17:00 New York, flows removed."""
    flows: Decimal
    """Deposits less withdrawals since the start."""


class EquityTrack:
    """Follows one account.

    Args:
        equity: At the start.
        peak: High-water mark so far; `equity` when it is higher.
        day_start: Equity at the start of the FX day; `equity` when unknown.
        day_end_ns: When the next FX day begins, ns UTC.
    """

    def __init__(
        self, equity: Decimal, *, peak: Decimal = ZERO, day_start: Decimal | None = None, day_end_ns: int = 0
    ) -> None:
        self._start = self._equity = equity
        self._peak = max(peak, equity)
        self._day_start = equity if day_start is None else day_start
        self._day_end_ns = day_end_ns
        self._flows = ZERO
        self._deepest = self._drawdown

    def mark(self, equity: Decimal, *, day_end_ns: int = 0) -> EquityFigures:
        """Take in an equity and return where the account stands.

        Args:
            equity: Balance and unrealized, as the venue says.
            day_end_ns: End of the present FX day, ns UTC; a later one than before begins a new day.
        """
        if day_end_ns > self._day_end_ns:
            if self._day_end_ns:
                self._day_start = self._equity
            self._day_end_ns = day_end_ns
        self._equity = equity
        self._peak = max(self._peak, equity)
        self._deepest = max(self._deepest, self._drawdown)
        return self.figures

    def flow(self, amount: Decimal) -> None:
        """Take in a deposit, or a withdrawal when negative; the next `mark` has it in its equity."""
        self._flows += amount
        self._start += amount
        self._equity += amount
        self._peak += amount
        self._day_start += amount

    @property
    def figures(self) -> EquityFigures:
        """Where the account stands."""
        return EquityFigures(
            equity=self._equity,
            peak=self._peak,
            drawdown_fraction=self._drawdown,
            max_drawdown_fraction=self._deepest,
            net=self._equity - self._start,
            day_net=self._equity - self._day_start,
            flows=self._flows,
        )

    @property
    def _drawdown(self) -> float:
        return float(1 - self._equity / self._peak) if self._peak > ZERO else 0.0
