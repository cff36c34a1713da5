"""Experiments: one back-test, many variants, their evaluation and reports.

The package can be called: `tradesentry.backtest("breakout", …)` is `runner.backtest`, which lets `from tradesentry
import backtest` mean what it says.
"""

import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    def __call__(self, name: str, **settings: Any) -> Any:
        from tradesentry.backtest.runner import backtest

        return backtest(name, **settings)


sys.modules[__name__].__class__ = _CallablePackage
