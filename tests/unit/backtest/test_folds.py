"""Folds obey their laws for any lengths: the embargo lies before every test, no bar is tested twice, none left out."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.support.studies import empty_bars
from tradesentry.backtest.studies.folds import FoldPlan, Length, make_folds, parse_length, purge_bars
from tradesentry.core.domain.errors import ConfigError, DataError

DAY_NS = 86_400_000_000_000
MINUTE_NS = 60_000_000_000


def ns(text):
    return int(np.datetime64(text, "ns").astype(np.int64))


def market(start="2020-01-06", days=900, minutes=240):
    """Return bars of whole days from Monday to Friday."""
    opens = ns(start) + np.arange(0, days * DAY_NS, minutes * MINUTE_NS)
    weekday = (opens // DAY_NS + 3) % 7
    return empty_bars(opens[weekday < 5], minutes=minutes)


BARS = market()


def laws(plan, folds, series, *, embargo_ns):
    """Assert what every list of folds obeys."""
    first = min(int(bars["open_ns"][0]) for bars in series)
    last = max(int(bars["close_ns"][-1]) for bars in series)
    for fold in folds:
        train_start, train_end, test_start, test_end = fold.span
        assert first <= train_start < train_end <= test_start < test_end <= last
        assert test_start - train_end >= embargo_ns
        assert plan.is_anchored is False or train_start == first
    for one, next_ in pairwise(folds):
        assert one.test.end_ns <= next_.test.start_ns, "a bar would be tested twice"
        assert one.train.start_ns <= next_.train.start_ns
    assert [fold.index for fold in folds] == list(range(len(folds)))


@given(
    train=st.integers(2, 40), test=st.integers(1, 12), extra=st.integers(0, 6), embargo=st.integers(0, 9),
    is_anchored=st.booleans(), days=st.integers(60, 900),
)  # fmt: skip
def test_weeks_obey_the_laws(train, test, extra, embargo, is_anchored, days):
    """Seen to fail when the embargo is dropped."""
    series = [BARS[: days * 6 * 5 // 7]]
    plan = FoldPlan(
        train=f"{train}w", test=f"{test}w", step=f"{test + extra}w", embargo=f"{embargo}d", is_anchored=is_anchored
    )
    assume(embargo < 7 * train)
    try:
        folds = make_folds(plan, series)
    except DataError:
        assume(False)

    laws(plan, folds, series, embargo_ns=embargo * DAY_NS)


@given(
    train=st.integers(20, 400), test=st.integers(5, 200), extra=st.integers(0, 50), embargo=st.integers(0, 19),
    n=st.integers(60, 1500),
)  # fmt: skip
def test_bars_obey_the_laws_and_are_counted(train, test, extra, embargo, n):
    series = [BARS[:n]]
    plan = FoldPlan(train=f"{train}b", test=f"{test}b", step=f"{test + extra}b", embargo=f"{embargo}b")
    try:
        folds = make_folds(plan, series)
    except DataError:
        assert n < train + test / 2 + 1
        return

    laws(plan, folds, series, embargo_ns=0)
    opens = series[0]["open_ns"]
    for fold in folds[:-1]:
        train_start, train_end, test_start, test_end = np.searchsorted(opens, fold.span)
        assert test_end - test_start == test
        assert test_start - train_end == embargo
        assert test_start - train_start == train


@given(months=st.integers(1, 12), test=st.integers(1, 6))
def test_tests_of_one_step_cover_everything_after_the_first_train_window(months, test):
    folds = make_folds(FoldPlan(train=f"{months}m", test=f"{test}m"), [BARS])
    opens = BARS["open_ns"]

    inside = np.zeros(len(opens), int)
    for fold in folds:
        inside += (opens >= fold.test.start_ns) & (opens < fold.test.end_ns)

    covered = (opens >= folds[0].test.start_ns) & (opens < folds[-1].test.end_ns)
    assert np.array_equal(inside, covered.astype(int))
    assert opens[-1] - folds[-1].test.end_ns < test / 2 * 31 * DAY_NS


@given(
    train=st.integers(8, 30), validation=st.integers(3, 8), test=st.integers(3, 8), gap=st.integers(0, 60),
    skip=st.integers(0, 90), latest=st.none() | st.integers(1, 4),
)  # fmt: skip
def test_a_validation_slice_lies_between_with_a_gap_of_bars_on_either_side(train, validation, test, gap, skip, latest):
    """Seen to fail without the gap before validation."""
    plan = FoldPlan(
        train=f"{train}w", validation=f"{validation}w", test=f"{test}w", embargo=f"{gap}b", skip=f"{skip}b",
        latest=latest,
    )  # fmt: skip
    folds = make_folds(plan, [BARS])
    opens = BARS["open_ns"]

    laws(plan, folds, [BARS], embargo_ns=0)
    assert latest is None or len(folds) <= latest
    for fold in folds:
        rows = np.searchsorted(opens, [*fold.train.bounds, *fold.validation.bounds, *fold.test.bounds])
        assert rows[2] - rows[1] == gap
        assert rows[4] - rows[3] == gap
        learned = np.zeros(len(opens), bool)
        for piece in fold.pieces:
            begin, end = np.searchsorted(opens, piece.bounds)
            assert begin < end or piece.start_ns < piece.end_ns
            learned[begin:end] = True
        forbidden = np.zeros(len(opens), bool)
        for earlier in folds[: fold.index]:
            begin = np.searchsorted(opens, earlier.test.end_ns)
            forbidden[begin : begin + skip] = True
        inside = np.arange(len(opens))
        assert np.array_equal(learned, (inside >= rows[0]) & (inside < rows[1]) & ~forbidden)


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        # 0.891^40 is the first power of 0.99 x 0.9 below 1 %.
        ({"gamma": 0.99, "gae_lambda": 0.9, "max_hold_bars": 0}, 40),
        ({"gamma": 0.99, "gae_lambda": 0.9, "max_hold_bars": 240}, 240),
        ({"gamma": 0.99, "gae_lambda": 1.0, "max_hold_bars": 240}, 459),
        ({"gamma": 0.9, "gae_lambda": 0.0, "max_hold_bars": 0, "label_bars": 12}, 12),
    ],
)
def test_the_purge_covers_credit_holding_and_label(values, bars):
    assert purge_bars(**values) == bars


def test_months_begin_at_the_start_of_an_fx_week():
    folds = make_folds(FoldPlan(train="12m", test="3m"), [BARS])

    # 2021-01-06 is a Wednesday; the next week starts on Sunday at 17:00 New York, 22:00 UTC in winter.
    assert folds[0].test.start_ns == ns("2021-01-10T22:00")
    assert folds[0].train.end_ns == ns("2021-01-05T22:00")
    assert folds[1].test.start_ns == folds[0].test.end_ns == ns("2021-04-11T21:00")
    assert folds[0].train.start_ns == int(BARS["open_ns"][0])
    assert folds[1].train.start_ns == ns("2020-04-12T21:00")


def test_a_last_test_window_is_kept_from_half_its_length_on():
    counted = FoldPlan(train="100b", test="40b", embargo="5b")

    assert len(make_folds(counted, [BARS[:140]])) == 1
    assert len(make_folds(counted, [BARS[:159]])) == 1
    last = make_folds(counted, [BARS[:165]])[-1]

    assert last.index == 1
    assert last.test.end_ns == int(BARS["close_ns"][164])


def test_markets_with_different_bars_share_their_folds():
    later = market(start="2020-02-03", days=870)

    folds = make_folds(FoldPlan(train="6m", test="3m"), [BARS, later])

    assert folds[0].train.start_ns == int(BARS["open_ns"][0])
    laws(FoldPlan(train="6m", test="3m"), folds, [BARS, later], embargo_ns=5 * DAY_NS)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train": "12x"}, "'12x' is no length"),
        ({"test": "0m"}, "length '0m' is zero"),
        ({"train": "1000b"}, "count all of them in bars, or none"),
        ({"test": "3m", "step": "2m"}, "the same bars would be tested twice"),
        ({"test": "3m", "step": "8w"}, "the same bars would be tested twice"),
        ({"embargo": "1m"}, "give it in bars, days or weeks"),
        ({"validation": "500b"}, "validation 500 bars: count all of them in bars, or none"),
        ({"validation": "2w", "embargo": "15d"}, "leaves nothing of a validation"),
        ({"train": "1w", "embargo": "20d"}, "leaves nothing of a train window"),
    ],
)
def test_lengths_that_contradict_each_other_say_why(values, message):
    with pytest.raises((ConfigError, ValueError)) as caught:
        make_folds(FoldPlan(**values), [BARS])

    assert message in str(caught.value)


def test_too_few_bars_say_how_many_there_are():
    with pytest.raises(DataError, match="too little to train on 12 months and test on 3 months"):
        make_folds(FoldPlan(), [BARS[:500]])


@pytest.mark.parametrize(("text", "length"), [("12m", (12, "months")), ("2w", (14, "days")), ("90 days", (90, "days"))])
def test_lengths_are_written_as_people_write_them(text, length):
    assert parse_length(text) == Length(*length)


def test_a_wanted_number_of_folds_shortens_the_train_windows_of_short_data():
    plan = FoldPlan(train="24m", test="3m", validation="3m", embargo="14d", latest=2)
    bars = market("2022-01-03", days=728, minutes=60)

    folds = make_folds(plan, [bars])

    assert len(folds) == 2
    assert folds[0].train.bounds[0] >= int(bars["open_ns"][0])
    assert folds[1].train.bounds[1] - folds[1].train.bounds[0] > 300 * DAY_NS
    with pytest.raises(DataError, match="too little to train on"):
        make_folds(plan.model_copy(update={"latest": None}), [bars])
