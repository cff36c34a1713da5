"""A new process starts quickly: what is only needed for tables, charts and terminals is not imported before it is."""

import json
import subprocess
import sys

# Not SciPy: Numba imports it by itself where it is installed.
HEAVY = ("polars", "pyarrow", "pandas", "plotly", "rich", "torch", "optuna", "sqlalchemy")


def heavy_modules_after(*lines):
    """Return which heavy packages a new process has imported after some lines of Python."""
    code = "\n".join(["import json, sys", *lines, f"print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_runner_imports_no_heavy_library():
    assert heavy_modules_after("import tradesentry.backtest.runner") == []


def test_no_module_of_research_imports_a_heavy_library():
    modules = ("backtest.resolve", "backtest.result", "core.strategy.strategy_registry", "core.strategy.checks")
    lines = [f"import tradesentry.{module}" for module in (*modules, "core.market.catalog")]

    assert heavy_modules_after("import tradesentry", *lines) == []


def test_a_heavy_import_would_be_seen():
    assert heavy_modules_after("import rich") == ["rich"]


def test_a_back_test_of_given_bars_needs_no_heavy_library():
    lines = [
        "import numpy as np",
        "from tests.unit.core.strategy.tiny_strategies import TinyStrategy",
        "from tradesentry.core.strategy import strategy_registry",
        "strategy_registry.strategy_modules()['tiny'] = 'tests.unit.core.strategy.tiny_strategies:TinyStrategy'",
        "from tradesentry.backtest.resolve import RunSettings, resolve_run",
        "from tradesentry.backtest.runner import new_arena",
        "settings = RunSettings(from_='2022-01-03', to='2022-01-15', limits='off')",
        "arena = new_arena(resolve_run('tiny', settings=settings))",
        "arena.run()",
        "assert len(arena.trade_rows) > 20, len(arena.trade_rows)",
    ]

    assert heavy_modules_after(*lines) == []


def test_a_back_test_of_an_app_needs_no_table_library():
    lines = [
        "from tradesentry.backtest.resolve import RunSettings, resolve_run",
        "from tradesentry.backtest.runner import new_arena",
        "settings = RunSettings(from_='2022-01-03', to='2022-02-01', limits='off')",
        "arena = new_arena(resolve_run('breakout', overrides=['symbols=[EURUSD]'], settings=settings))",
        "arena.run()",
        "assert len(arena.trade_rows) > 0",
    ]

    assert heavy_modules_after(*lines) == []
