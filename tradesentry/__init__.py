"""TradeSentry: one strategy decision for back-test, paper and live trading of FX markets.

>>> from tradesentry import backtest, load_bars, strategy
>>> result = backtest("breakout", config={"symbols": ["EURUSD"]})

`backtest` is the package of experiments and can be called as well; names are imported when first used.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "backtest", "load_bars", "strategy"]

if TYPE_CHECKING:
    from tradesentry.backtest.runner import backtest
    from tradesentry.core.market.catalog import load_bars
    from tradesentry.core.strategy.strategy_registry import strategy


def __getattr__(name: str) -> Any:
    import importlib

    if name == "load_bars":
        return importlib.import_module("tradesentry.core.market.catalog").load_bars
    if name == "strategy":
        return importlib.import_module("tradesentry.core.strategy.strategy_registry").strategy
    if name == "backtest":
        return importlib.import_module("tradesentry.backtest")
    raise AttributeError(f"module 'tradesentry' has no attribute {name!r}")
