"""Strategies are found by name, others' through entry points, and only the one asked for is imported."""

import subprocess
import sys

import pytest

from tests.unit.core.strategy.plugins import installed
from tradesentry.core.domain.errors import UsageError
from tradesentry.core.strategy.base_strategy import BaseStrategy
from tradesentry.core.strategy.strategy_registry import strategy, strategy_modules, strategy_names

MINE = """
import numpy as np
from tradesentry.core.strategy.base_strategy import BaseStrategy, StrategyConfig

class Mine(BaseStrategy):
    name = "mine"
    summary = "Mine."
    Config = StrategyConfig
    STATE = np.dtype([("n_bars", "i8")], align=True)

NOT_A_STRATEGY = 42
"""


def test_shipped_apps_are_known_by_their_folder():
    assert strategy_modules()["breakout"] == "tradesentry.apps.breakout:APP"
    assert strategy_names() == sorted(strategy_modules())


@pytest.mark.parametrize("name", strategy_names())
def test_every_shipped_app_is_a_strategy_of_that_name(name):
    found = strategy(name)

    assert issubclass(found, BaseStrategy)
    assert found.name == name
    assert found.summary


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(UsageError, match=r"There is no strategy 'brekout'\. Did you mean 'breakout'\?") as caught:
        strategy("brekout")

    assert caught.value.code == "unknown_strategy"


def test_a_name_like_no_other_lists_all():
    with pytest.raises(UsageError, match=r"Known: .*breakout"):
        strategy("zzz")


def test_a_third_party_strategy_is_found_by_its_entry_point(tmp_path):
    with installed(tmp_path, {"mine": "somebodys:Mine"}, somebodys=MINE):
        assert "mine" in strategy_names()
        assert "somebodys" not in sys.modules

        assert strategy("mine").summary == "Mine."

    assert "mine" not in strategy_names()


def test_two_strategies_of_one_name_are_refused(tmp_path):
    with (
        installed(tmp_path, {"breakout": "somebodys:Mine"}, somebodys=MINE),
        pytest.raises(UsageError, match=r"Two strategies are called 'breakout': tradesentry.apps.*somebodys:Mine"),
    ):
        strategy("breakout")


def test_an_entry_point_that_names_the_shipped_app_itself_is_no_clash(tmp_path):
    with installed(tmp_path, {"breakout": "tradesentry.apps.breakout:APP"}):
        assert strategy("breakout").name == "breakout"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("no_such_module:Mine", "No module named 'no_such_module'"),
        ("somebodys:Nothing", "has no attribute 'Nothing'"),
        ("broken:Mine", "No module named 'not_installed'"),
    ],
)
def test_a_strategy_that_cannot_be_loaded_says_from_where_and_why(tmp_path, value, why):
    with (
        installed(tmp_path, {"mine": value}, somebodys=MINE, broken="import not_installed\n"),
        pytest.raises(UsageError, match=f"'mine' cannot be loaded from {value}: .*{why}.*Reinstall") as caught,
    ):
        strategy("mine")

    assert caught.value.code == "broken_strategy"
    assert caught.value.__cause__ is not None


def test_something_that_is_no_strategy_is_refused(tmp_path):
    with (
        installed(tmp_path, {"mine": "somebodys:NOT_A_STRATEGY"}, somebodys=MINE),
        pytest.raises(UsageError, match="somebodys:NOT_A_STRATEGY is no strategy"),
    ):
        strategy("mine")


def test_names_are_listed_without_importing_an_app_and_one_app_does_not_import_another(tmp_path):
    (tmp_path / "somebodys.py").write_text(MINE)
    lines = [
        "import sys",
        "from tradesentry.core.strategy.strategy_registry import strategy, strategy_names",
        "names = strategy_names()",
        "loaded = lambda: {m.split('.')[2] for m in sys.modules if m.startswith('tradesentry.apps.')}",
        "assert loaded() == set(), loaded()",
        "strategy('breakout')",
        "assert loaded() == {'breakout'}, loaded()",
        "print(len(names))",
    ]

    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(strategy_names())
