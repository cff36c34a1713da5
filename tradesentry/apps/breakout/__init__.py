"""breakout: expansion out of a time range or a volatility range, in the direction of the break."""

from tradesentry.apps.breakout.strategy import BreakoutConfig, BreakoutStrategy

APP = BreakoutStrategy

__all__ = ["APP", "BreakoutConfig", "BreakoutStrategy"]
