"""The fault language: what can be said, and that the same words and calls give the same faults."""

import pytest

from tradesentry.core.broker.faults import FaultKind, FaultScript, Point, point_of
from tradesentry.core.domain.errors import ConfigError


def test_counts_strike_exactly_where_they_say():
    script = FaultScript.parse("lose_reply at 2,4 on place; reject:MARKET_HALTED at 1")

    struck = [script.draw(Point.WIRE, "place") for _ in range(5)]

    assert [fault.kind if fault else None for fault in struck] == [None, "lose_reply", None, "lose_reply", None]
    assert script.draw(Point.WIRE, "close") is None
    assert script.draw(Point.TRADING, "close").value == "MARKET_HALTED"
    assert script.hits == {FaultKind.LOSE_REPLY: 2, FaultKind.REJECT: 1}


def test_chances_are_met_and_repeat_with_the_seed():
    def strikes(seed):
        script = FaultScript.parse("slow:0.3 10% on place\npage_reversed 20%", seed=seed)
        return [script.draw(Point.WIRE, "place") is not None for _ in range(4_000)]

    first = strikes(5)

    assert first == strikes(5)
    assert first != strikes(6)
    assert 340 < sum(first) < 460


def test_what_happens_elsewhere_does_not_change_the_draws():
    quiet, busy = (FaultScript.parse("lose_reply 30% on place; page_repeated 50%", seed=1) for _ in range(2))

    plain = [quiet.draw(Point.WIRE, "place") for _ in range(50)]
    mixed = []
    for _ in range(50):
        busy.draw(Point.PAGE, "events")
        busy.draw(Point.WIRE, "read")
        mixed.append(busy.draw(Point.WIRE, "place"))

    assert mixed == plain


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lose_replay 5%", "Did you mean 'lose_reply'"),
        ("slow 5%", "slow:VALUE"),
        ("lose_reply often", "is no fault"),
        ("lose_reply 5% on plac", "Did you mean 'place'"),
    ],
)
def test_a_wrong_word_is_refused_with_the_nearest_right_one(text, said):
    with pytest.raises(ConfigError, match=said):
        FaultScript.parse(text)


def test_every_fault_has_a_place_to_strike():
    assert {point_of(kind) for kind in FaultKind} == set(Point)


def test_a_range_is_drawn_evenly_and_again_with_the_same_seed():
    def delays(seed):
        script = FaultScript.parse("late:0.05-0.6 100% on place", seed=seed)
        return [script.draw(Point.WIRE, "place").number for _ in range(1_000)]

    drawn = delays(3)

    assert drawn == delays(3)
    assert 0.05 <= min(drawn) < 0.07
    assert 0.58 < max(drawn) <= 0.6
    assert 0.30 < sum(drawn) / 1_000 < 0.35
