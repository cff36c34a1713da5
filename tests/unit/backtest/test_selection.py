"""What is traded next follows from train scores alone: eligible, ranked, no twins, incumbents kept, budgets shared."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradesentry.backtest.studies.outcome import ROUND_TRIP, Outcome, days_of
from tradesentry.backtest.studies.selection import END_OF_DATA, Score, overlap, ranked, score_of, select, weights_of

DAY_NS = 86_400_000_000_000
HOUR_NS = DAY_NS // 24


def score(key, mean, error=0.02, *, n=100, volatility=0.01):
    return Score(key, n, mean, error, volatility, 0.0)


def trades(*rows):
    """Return round trips of (entry hour, exit hour, side)."""
    found = np.zeros(len(rows), ROUND_TRIP)
    for i, (entry, exit_, side) in enumerate(rows):
        found[i] = (entry * HOUR_NS, exit_ * HOUR_NS, 0, side, 0, 1, 0.5, 10.0)
    return found


NOTHING_ALIKE = {key: trades((100 * i, 100 * i + 1, 1)) for i, key in enumerate("abcdefgh")}


def chosen(order, **more):
    settings = {"top": 2, "max_overlap": 0.6, "trades_of": NOTHING_ALIKE.__getitem__} | more
    return [s.key for s in select(order, **settings)]


def test_rank_is_the_lower_bound_and_not_the_mean():
    scores = [score("a", 0.30, 0.25), score("b", 0.20, 0.02), score("c", 0.20, 0.02)]

    assert [s.key for s in ranked(scores, min_trades=10)] == ["b", "c", "a"]


def test_too_few_trades_or_an_unknown_bound_are_not_eligible():
    scores = [score("a", 0.3, n=9), score("b", 0.3, math.nan), score("c", -0.1), score("d", 0.1)]

    assert [s.key for s in ranked(scores, min_trades=10)] == ["d", "c"]
    assert [s.key for s in ranked(scores, min_trades=10, min_bound=0.0)] == ["d"]


def test_the_best_are_taken_until_there_are_enough():
    assert chosen([score("a", 0.3), score("b", 0.2), score("c", 0.1)]) == ["a", "b"]
    assert chosen([score("a", 0.3)]) == ["a"]
    assert chosen([]) == []


def test_a_near_twin_is_the_same_bet():
    twins = NOTHING_ALIKE | {"b": NOTHING_ALIKE["a"]}

    assert chosen([score("a", 0.3), score("b", 0.2), score("c", 0.1)], trades_of=twins.__getitem__) == ["a", "c"]


def test_an_incumbent_stays_until_a_challengers_lower_bound_beats_its_mean():
    """Seen to fail when the challenger's mean is compared: noise then turns the book over at every step."""
    incumbent, close, better = score("a", 0.20), score("b", 0.21, 0.02), score("c", 0.25, 0.02)

    assert chosen([close, incumbent], top=1, incumbents=["a"]) == ["a"]
    assert chosen([better, incumbent], top=1, incumbents=["a"]) == ["c"]
    assert chosen([close, incumbent], top=1) == ["b"]


def test_the_weakest_incumbent_goes_first_and_only_one_per_challenger():
    order = [score("c", 0.5), score("a", 0.3), score("b", 0.2)]

    assert chosen(order, incumbents=["a", "b"]) == ["c", "a"]


def test_a_challenger_may_take_the_place_of_the_incumbent_it_resembles():
    twins = NOTHING_ALIKE | {"c": NOTHING_ALIKE["a"]}
    order = [score("c", 0.5), score("a", 0.3), score("b", 0.2)]

    assert chosen(order, incumbents=["a", "b"], trades_of=twins.__getitem__) == ["c", "b"]
    assert chosen([score("c", 0.31), *order[1:]], incumbents=["a", "b"], trades_of=twins.__getitem__) == ["a", "b"]


def test_an_incumbent_that_is_no_longer_eligible_is_dropped():
    assert chosen([score("b", 0.2)], incumbents=["a", "b"]) == ["b"]


def slow_overlap(first, second):
    """Return the common share by looking at every pair."""
    first, second = sorted((first, second), key=len)
    common = sum(
        any(a["side"] == b["side"] and a["entry_ns"] < b["exit_ns"] and b["entry_ns"] < a["exit_ns"] for b in second)
        for a in first
    )
    return common / len(first) if len(first) else 0.0


rows = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 9), st.sampled_from((1, -1))).map(lambda t: (t[0], t[0] + t[1], t[2])),
    max_size=12,
)


@given(rows, rows)
def test_overlap_is_that_of_every_pair_looked_at(a, b):
    first, second = trades(*a), trades(*b)

    assert overlap(first, second) == slow_overlap(first, second)
    assert len(a) == len(b) or overlap(first, second) == overlap(second, first)


def test_trades_on_opposite_sides_or_after_one_another_are_not_common():
    assert overlap(trades((0, 5, 1)), trades((0, 5, -1))) == 0.0
    assert overlap(trades((0, 5, 1)), trades((5, 9, 1))) == 0.0
    assert overlap(trades((0, 5, 1)), trades((4, 9, 1))) == 1.0
    assert overlap(trades(), trades((4, 9, 1))) == 0.0


@given(st.lists(st.floats(1e-4, 1.0), min_size=1, max_size=8), st.sampled_from(("equal", "inverse_volatility")))
def test_shares_of_the_budget_sum_to_one(volatilities, weighting):
    scores = [score(str(i), 0.1, volatility=v) for i, v in enumerate(volatilities)]

    weights = weights_of(scores, weighting)

    assert math.fsum(weights.values()) == pytest.approx(1.0)
    if weighting == "inverse_volatility":
        risks = [weights[s.key] * s.volatility for s in scores]
        assert risks == pytest.approx([risks[0]] * len(risks))


def test_unknown_volatility_falls_back_to_equal_shares():
    scores = [score("a", 0.1, volatility=math.nan), score("b", 0.1)]

    assert weights_of(scores, "inverse_volatility") == {"a": 0.5, "b": 0.5}
    assert weights_of([], "equal") == {}


def test_a_trade_that_the_windows_end_cut_off_is_purged():
    """Its result was not known inside the train window: keeping it lets the boundary leak into the choice."""
    rows = trades(*[(120 * i, 120 * i + 5, 1) for i in range(40)])
    rows["reason"][-1] = END_OF_DATA
    rows["r"][-1] = 1_000.0
    outcome = Outcome(np.zeros(15), rows, np.array([1.0, 1.01, 0.99]))
    days = days_of(0, int(rows["exit_ns"].max()) + DAY_NS)

    clean, leaky = (score_of("a", outcome, days, is_purged=flag) for flag in (True, False))

    assert (clean.n_trades, clean.mean_r) == (39, 0.5)
    assert leaky.mean_r > 20
