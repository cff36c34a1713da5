"""The memory of a run: it grows where it fills up, pauses anywhere, and turns codes into errors."""

from dataclasses import replace

import numpy as np
import pytest

from tests.unit.core.strategy.plugins import installed
from tradesentry.backtest.resolve import RunSettings, resolve_run
from tradesentry.backtest.runner import new_arena
from tradesentry.core.domain.errors import CapacityError, DataError, TradeSentryError
from tradesentry.core.domain.records import EQUITY, REJECT, TRADE
from tradesentry.core.utils.kernel import new_records

TINY = "tests.unit.core.strategy.tiny_strategies:TinyStrategy"
SETTINGS = RunSettings(from_="2022-01-03", to="2022-02-05", limits="off", source="synthetic:plain:3")


@pytest.fixture(scope="module")
def resolve(tmp_path_factory):
    """A function that resolves a run of the tiny strategy."""
    with installed(tmp_path_factory.mktemp("plugin"), {"tiny": TINY}):
        yield lambda *overrides: resolve_run(
            "tiny", overrides=["symbols=[EURUSD,USDJPY]", "every_bars=2", "hold_bars=1", *overrides], settings=SETTINGS
        )


def outcome(arena):
    return [rows.tobytes() for rows in (arena.trade_rows, arena.equity_rows, arena.reject_rows, arena.account)]


def test_a_run_in_small_pieces_gives_the_same_bytes(resolve):
    run = resolve()
    whole, pieces = new_arena(run), new_arena(run)

    whole.run()
    n_calls = 0
    while pieces.play(97):
        n_calls += 1
    pieces.finish()

    assert n_calls > 10
    assert outcome(pieces) == outcome(whole)
    assert len(whole.trade_rows) > 100


def test_outputs_that_fill_up_grow_and_lose_neither_rows_nor_steps(resolve):
    """Seen to fail with a budget that starts anew after growing."""
    run = resolve()
    roomy, tight = new_arena(run), new_arena(run)
    room = 2 * 2 * 64
    for name, dtype, n in (("trades", TRADE, room), ("equity", EQUITY, 4), ("rejects", REJECT, room)):
        setattr(tight, name, new_records(n, dtype))
    tight._lay_out()

    tight.play(1_000)
    played = int(tight.series.next_bar[0])
    tight.run()
    roomy.run()

    assert len(tight.trades) > room
    assert len(tight.equity) > 4
    assert played == 1_000
    assert outcome(tight) == outcome(roomy)


def test_bars_are_neither_copied_nor_written(resolve):
    run = resolve()
    before = [series.bars.tobytes() for series in run.data.series]
    arena = new_arena(run)

    arena.run()

    assert [np.shares_memory(mine, series.bars) for mine, series in zip(arena.bars, run.data.series, strict=True)] == [
        True,
        True,
    ]
    assert [series.bars.tobytes() for series in run.data.series] == before


def test_progress_counts_the_bars_to_the_end(resolve, monkeypatch):
    run = resolve()
    arena = new_arena(run)
    seen = []
    play = arena.play
    monkeypatch.setattr(arena, "play", lambda: play(500))

    arena.run(seen.append)

    assert seen == sorted(seen)
    assert 0 < seen[0] < seen[-1] <= sum(len(bars) for bars in arena.bars)


def test_nothing_is_open_after_the_end(resolve):
    arena = new_arena(resolve())

    arena.run()

    assert np.all(arena.books["seen"]["n_positions"] == 0)
    assert np.all(arena.books["seen"]["n_orders"] == 0)
    assert arena.account.balance[0] == arena.account.equity[0]


def test_more_positions_than_a_book_holds_is_an_error_that_says_which_constant(resolve):
    arena = new_arena(resolve("behavior=overflows", "every_bars=1", "hold_bars=400", "stop_pips=400"))

    with pytest.raises(CapacityError, match=r"More open positions than a book can hold at 2022-01-.*N_POSITIONS"):
        arena.run()


@pytest.mark.parametrize("behavior", ["babbles", "miscounts"])
def test_more_intents_than_a_bar_may_have_is_an_error_that_says_which_constant(resolve, behavior):
    """192 intents of 64, the second strategy's memory behind them; and a count of 1,000 without a single one.

    Seen to fail: the intents were written past the array, over whatever lay there, and no error was raised.
    """
    arena = new_arena(resolve(f"behavior={behavior}"))

    with pytest.raises(CapacityError, match=r"More intents on one bar than a book can hold at 2022-01-.*N_INTENTS"):
        arena.run()


def test_a_status_of_the_strategy_is_handed_on_with_its_time(resolve):
    arena = new_arena(resolve("behavior=fails"))

    with pytest.raises(TradeSentryError, match=r"reported status 7 at 2022-01-0") as caught:
        arena.run()

    assert caught.value.code == "strategy_failed"


def test_bars_outside_the_calendar_are_refused(resolve):
    run = resolve()
    markets = run.markets.copy()
    markets.view(np.ndarray)["calendar"]["n_days"] = 3

    with pytest.raises(DataError, match="outside the calendar") as caught:
        new_arena(replace(run, markets=markets)).run()

    assert caught.value.code == "no_calendar"
