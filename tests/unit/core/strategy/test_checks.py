"""Each check passes for an honest strategy and fails for the fault it is there to find.

The faults are planted here: a strategy that knows the whole series, one that keeps something in its parameters, one
that starts from a global counter, one that only buys, a driver that forgets a field.
"""

import re
from dataclasses import replace

import numpy as np
import pytest

from tests.unit.core.strategy.plugins import installed
from tests.unit.core.strategy.tiny_strategies import FUTURE
from tradesentry.backtest.proofs import GRID_TICK, mirror_check, player_of, traded_bars
from tradesentry.backtest.resolve import checked_settings, resolve_run
from tradesentry.backtest.runner import new_arena
from tradesentry.core.market.mirror import on_grid
from tradesentry.core.market.synthetic import synthetic_bars
from tradesentry.core.strategy.checks import (
    changed_future,
    check_look_ahead,
    check_mirror,
    check_parity,
    check_restart,
    check_zero_edge,
    first_difference,
)

PERIOD = {"from_": "2022-01-03", "to": "2022-03-05"}
TINY = "tests.unit.core.strategy.tiny_strategies:TinyStrategy"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A function that resolves a run of the tiny strategy with some behavior."""
    with installed(tmp_path_factory.mktemp("plugin"), {"tiny": TINY}):
        yield lambda behavior, more=(), **settings: run_of("tiny", [f"behavior={behavior}", *more], **settings)


def run_of(name, overrides=(), **settings):
    values = {"limits": "off"} | PERIOD | settings
    return resolve_run(name, overrides=["symbols=[EURUSD]", *overrides], settings=checked_settings(values))


@pytest.fixture(scope="module")
def breakout():
    return run_of("breakout", ["or_minutes=15"])


def knowing_player(run):
    """Return a player whose strategy is told the whole series, as somebody does who computes signals beforehand."""
    plain = player_of(run)

    def player(bars):
        first = next(iter(bars.values()))
        FUTURE["mids"] = first["close"] + first["spread"] / 2
        return plain(bars)

    return player


def grid_run(tiny, behavior):
    bars = synthetic_bars(["EURUSD"], timeframe="M15", start="2022-01-03", end="2022-03-05", tick=GRID_TICK, seed=5)
    series = replace(bars["EURUSD"], bars=on_grid(bars["EURUSD"].bars, GRID_TICK))
    settings = checked_settings({"costs": "free", "limits": "off", "capital": 1_000_000.0})
    run = resolve_run("tiny", bars=[series], overrides=[f"behavior={behavior}"], settings=settings)
    run.markets["tick"] = GRID_TICK
    return run


def test_breakout_uses_no_later_bar(breakout):
    result = check_look_ahead(player_of(breakout), traded_bars(breakout))

    assert result.is_passed, result.detail
    assert "4 cuts" in result.detail
    assert " 0 trades" not in result.detail


def test_a_strategy_that_knows_the_future_is_caught_with_the_first_difference(tiny):
    run = tiny("peeks")

    result = check_look_ahead(knowing_player(run), traded_bars(run))

    assert not result.is_passed
    assert "With another future (2022-01-" in result.detail or "ends there (2022-01-" in result.detail
    assert re.search(
        r"(trade|refusal|book|state) \d+: [\w.\[\]]+ is \S+ and \S+\. A later bar was used\.$", result.detail
    )


def test_the_honest_twin_of_the_strategy_that_peeks_passes(tiny):
    run = tiny("momentum")

    result = check_look_ahead(knowing_player(run), traded_bars(run))

    assert result.is_passed, result.detail


def test_a_play_whose_outputs_grow_is_cut_at_the_same_instant(tiny):
    """Seen to fail while a grown array gave the loop a new budget: the whole series was played beyond the cut."""
    run = tiny("momentum", more=["timeframe=M5", "every_bars=1", "hold_bars=1"])

    result = check_look_ahead(player_of(run), traded_bars(run), n_cuts=4)

    assert result.is_passed, result.detail
    assert int(re.search(r"(\d+) trades", result.detail)[1]) > 5_000


def test_another_future_leaves_the_past_alone_and_stays_valid(tiny):
    bars = traded_bars(tiny("momentum"))
    after = int(bars["EURUSD"]["close_ns"][500])

    changed = changed_future(bars, after, seed=1)["EURUSD"]

    given = bars["EURUSD"]
    past = given["close_ns"] <= after
    assert changed[past].tobytes() == given[past].tobytes()
    assert np.all(changed["close"][~past] != given["close"][~past])
    assert np.all(changed["high"] >= np.maximum(changed["open"], changed["close"]))
    assert np.all(changed["low"] <= np.minimum(changed["open"], changed["close"]))
    assert np.all(changed["low"] > 0)


def test_breakout_goes_on_after_any_restart_as_if_nothing_had_happened(breakout):
    result = check_restart(player_of(breakout), traded_bars(breakout))

    assert result.is_passed, result.detail
    assert result.name == "restart"
    assert "3 restarts" in result.detail


def test_memory_kept_outside_the_state_is_found_by_a_restart(tiny):
    run = tiny("writes_params")

    result = check_restart(player_of(run), traded_bars(run))

    assert not result.is_passed
    assert "trade" in result.detail
    assert result.detail.endswith("Some state is not saved.")


def test_a_start_that_depends_on_what_ran_before_is_found_by_a_restart(tiny):
    run = tiny("draws_state")

    result = check_restart(player_of(run), traded_bars(run))

    assert not result.is_passed
    assert "Restored after instant" in result.detail


def test_a_field_lost_between_save_and_restore_is_found(tiny):
    run = tiny("momentum")
    plain = player_of(run)
    n_made = 0

    class Forgets(np.ndarray):
        """A state that comes back without its count of bars."""

        def __setitem__(self, key, value):
            super().__setitem__(key, value)
            self.view(np.ndarray)["n_bars"] = 0

    def player(bars):
        nonlocal n_made
        memory, n_made = plain(bars), n_made + 1
        if n_made > 1:
            memory.lanes[0] = replace(memory.lanes[0], state=memory.lanes[0].state.view(Forgets))
        return memory

    assert check_restart(plain, traded_bars(run)).is_passed
    assert not check_restart(player, traded_bars(run)).is_passed


def test_loop_and_bar_by_bar_driver_agree_on_breakout(breakout):
    result = check_parity(player_of(breakout), traded_bars(breakout), max_instants=3_500)

    assert result.is_passed, result.detail
    assert not result.detail.startswith("0 trades")


def test_loop_and_driver_that_disagree_are_told_apart(tiny):
    run = tiny("draws_state")

    result = check_parity(player_of(run), traded_bars(run), max_instants=1_500)

    assert not result.is_passed
    assert result.detail.startswith("Loop and bar-by-bar driver disagree")


def test_a_driver_that_stops_early_says_with_which_status(tiny):
    run = tiny("momentum")
    player = player_of(run)
    n_made = 0

    def other(bars):
        nonlocal n_made
        memory, n_made = player(bars), n_made + 1
        if n_made == 2:
            return player_of(replace(run, markets=_without_calendar(run.markets)))(bars)
        return memory

    result = check_parity(other, traded_bars(run), max_instants=100)

    assert not result.is_passed
    assert "stopped with NO_CALENDAR" in result.detail


def _without_calendar(markets):
    changed = markets.copy()
    changed.view(np.ndarray)["calendar"]["n_days"] = 0
    return changed


def test_symmetric_rules_make_mirrored_trades(tiny):
    run = grid_run(tiny, "momentum")

    result = check_mirror(player_of(run), traded_bars(run), tick=GRID_TICK)

    assert result.is_passed, result.detail


def test_rules_that_only_buy_have_no_mirrored_twin(tiny):
    run = grid_run(tiny, "buys_only")

    result = check_mirror(player_of(run), traded_bars(run), tick=GRID_TICK)

    assert not result.is_passed
    assert "no mirrored twin" in result.detail


def test_the_mirror_check_of_the_shell_catches_rules_that_only_buy_and_passes_symmetric_ones(tiny):
    assert mirror_check(tiny("momentum")).is_passed
    assert "no mirrored twin" in mirror_check(tiny("buys_only")).detail


def test_no_trade_at_all_proves_no_symmetry(tiny):
    run = grid_run(tiny, "momentum")
    bars = {symbol: rows[:5] for symbol, rows in traded_bars(run).items()}

    result = check_mirror(player_of(run), bars, tick=GRID_TICK)

    assert not result.is_passed
    assert result.detail.startswith("0 trades")


def r_on_a_random_walk(tiny, behavior):
    settings = {"source": "synthetic:random_walk:7", "costs": "free", "cost_scale": 0.0, "to": "2022-07-01"}
    run = tiny(behavior, **settings)
    series = run.data.series[0].bars
    FUTURE["mids"] = series["close"] + series["spread"] / 2
    arena = new_arena(run)
    arena.run()
    return arena.trade_rows["r_multiple"]


def test_momentum_earns_nothing_on_a_random_walk(tiny):
    result = check_zero_edge(r_on_a_random_walk(tiny, "momentum"))

    assert result.is_passed, result.detail


def test_a_strategy_that_knows_the_future_has_an_edge_on_a_random_walk(tiny):
    result = check_zero_edge(r_on_a_random_walk(tiny, "peeks"))

    assert not result.is_passed
    assert "A random walk has no edge" in result.detail


def test_few_trades_prove_no_missing_edge():
    result = check_zero_edge([0.1, -0.1, np.nan] * 9)

    assert not result.is_passed
    assert result.detail == "Only 18 trades; 20 are needed. Use more bars."


def test_the_first_difference_inside_a_nested_record_is_named_to_the_leaf():
    inner = np.dtype([("high", "f8"), ("rows", "i8", (3,))])
    a = np.zeros(2, [("n", "i8"), ("window", inner)])
    b = a.copy()
    b["window"]["rows"][1, 2] = 7

    assert first_difference(a, b, what="state") == "state 1: window.rows[2] is 0 and 7"


def test_the_first_difference_names_row_field_and_values():
    a = np.array([(1, 2.0), (3, 4.0)], [("id", "i8"), ("price", "f8")])
    b = np.array([(1, 2.0), (3, 4.5)], a.dtype)

    assert first_difference(a, b, what="trade") == "trade 1: price is 4.0 and 4.5"
    assert first_difference(a, b[:1], what="trade") == "2 and 1 trades"
    assert first_difference(a, a.copy(), what="trade") is None
