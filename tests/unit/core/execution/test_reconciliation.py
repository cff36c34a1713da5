"""Journal against venue: what each kind of difference comes to."""

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.support.pictures import journal, order, report_of, shown, trade, venue
from tradesentry.core.domain.live_orders import OrderStatus
from tradesentry.core.domain.orders import Side
from tradesentry.core.execution.reconciliation import applied, reconcile
from tradesentry.core.execution.repairs import (
    AdoptOrder,
    AdoptTrade,
    BalanceDiffers,
    BlockInstrument,
    CursorAhead,
    FillsDiffer,
    ForgetOrder,
    FreeInstrument,
    JournalLags,
    LogReplaced,
    OrderFound,
    OrderGone,
    OwnIdUnknown,
    ProtectionDiffers,
    RestoreStop,
    TermsDiffer,
    UnitsDiffer,
)


def test_nothing_is_found_where_both_agree():
    ours = [order(1), order(2)], [trade(1), trade(2, side=Side.SELL, stop=1.2)]
    theirs = venue([report_of(o) for o in ours[0]], [shown(t) for t in ours[1]])

    assert reconcile(journal(*ours), theirs) == []


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (journal(log_id="log-0"), venue(), LogReplaced("log-0", "log-1")),
        (journal(cursor=49), venue(), JournalLags(49, 50)),
        (journal(cursor=51), venue(), CursorAhead(51, 50)),
    ],
)
def test_pictures_of_different_events_are_not_compared(ours, theirs, expected):
    """A fill that has not arrived yet would look like a lost position."""
    theirs = replace(theirs, trades=(shown(trade(1)),))

    assert reconcile(ours, theirs) == [expected]


def test_a_resting_order_of_somebody_else_is_adopted():
    report = report_of(order(1), client_order_id=None)

    assert reconcile(journal(), venue([report])) == [AdoptOrder(report)]


def test_a_manual_trade_is_adopted_and_never_closed():
    manual = shown(trade(1), client_order_id=None, stop_loss=None)

    repairs = reconcile(journal(), venue(trades=[manual]))
    again = reconcile(applied(journal(), repairs), venue(trades=[manual]))

    assert repairs == [AdoptTrade(manual)]
    assert again == []


def test_an_own_id_that_the_journal_lacks_says_that_the_journal_is_behind():
    ours = order(9)

    repairs = reconcile(journal(), venue([report_of(ours)]))

    assert OwnIdUnknown(ours.key, 7, 9) in repairs
    assert any(isinstance(repair, AdoptOrder) for repair in repairs)


def test_an_own_id_of_an_order_that_ended_long_ago_is_known():
    ours = order(9)

    repairs = reconcile(journal(known_ids=frozenset([ours.key])), venue([report_of(ours)]))

    assert [type(repair) for repair in repairs] == [AdoptOrder]


@pytest.mark.parametrize("status", [OrderStatus.UNKNOWN, OrderStatus.SENDING, OrderStatus.CANCELED])
def test_an_order_found_at_the_venue_is_evidence_against_what_we_believed(status):
    ours = order(1, status=status)

    assert reconcile(journal([ours]), venue([report_of(ours)])) == [
        OrderFound(ours.key, OrderStatus.ACCEPTED, report_of(ours))
    ]


def test_a_working_order_that_is_not_shown_is_asked_for_once_and_never_ended():
    """Silence is no evidence: the order stays as it is, and one question is asked."""
    ours = journal([order(1)])

    repairs = reconcile(ours, venue())
    after = applied(ours, repairs)

    assert repairs == [OrderGone(order(1).key, "EURUSD")]
    assert after.orders == ours.orders
    assert reconcile(after, venue()) == []


def test_an_order_of_unknown_outcome_that_is_not_shown_proves_nothing():
    assert reconcile(journal([order(1, status=OrderStatus.UNKNOWN)]), venue()) == []


def test_other_terms_of_the_venue_count():
    ours = order(1)
    report = report_of(ours, price=1.2, venue_order_id="333")

    repairs = reconcile(journal([ours]), venue([report]))
    after = applied(journal([ours]), repairs).orders[ours.key]

    assert repairs == [TermsDiffer(ours.key, report)]
    assert (after.price, after.venue_order_ids) == (1.2, ("101", "333"))


def test_a_vanished_order_of_somebody_else_is_forgotten():
    manual = replace(order(1), seq=None, key="venue:101")

    repairs = reconcile(journal([manual]), venue())

    assert repairs == [ForgetOrder("venue:101")]
    assert applied(journal([manual]), repairs).orders["venue:101"].status is OrderStatus.CANCELED


def test_units_that_the_fills_do_not_explain_block_the_instrument_and_invent_nothing():
    ours = trade(1)

    repairs = reconcile(journal(trades=[ours]), venue(trades=[shown(ours, units=Decimal(400))]))
    after = applied(journal(trades=[ours]), repairs)

    assert UnitsDiffer("201", "EURUSD", Decimal(1_000), Decimal(400)) in repairs
    assert after.blocked == {"EURUSD"}
    assert after.trades["201"].units == 1_000


def test_a_trade_that_the_venue_does_not_hold_blocks_its_instrument():
    repairs = reconcile(journal(trades=[trade(1)]), venue())

    assert [type(repair) for repair in repairs] == [BlockInstrument, UnitsDiffer]


def test_a_flip_of_direction_is_a_mismatch():
    ours = trade(1)

    repairs = reconcile(journal(trades=[ours]), venue(trades=[shown(ours, side=Side.SELL, stop_loss=1.2)]))

    assert UnitsDiffer("201", "EURUSD", Decimal(1_000), Decimal(-1_000)) in repairs


def test_fills_of_an_order_that_do_not_add_up_block_its_instrument():
    ours = order(1)

    repairs = reconcile(journal([ours]), venue([report_of(ours, filled_units=Decimal(10))]))

    assert FillsDiffer(ours.key, "EURUSD", Decimal(0), Decimal(10)) in repairs
    assert any(isinstance(repair, BlockInstrument) for repair in repairs)


def test_an_instrument_is_freed_when_both_agree_again():
    ours = trade(1)

    repairs = reconcile(journal(trades=[ours], blocked=frozenset(["EURUSD"])), venue(trades=[shown(ours)]))

    assert repairs == [FreeInstrument("EURUSD")]


@pytest.mark.parametrize(
    ("side", "ours", "theirs", "is_restored"),
    [
        (Side.BUY, 1.09, None, True),
        (Side.BUY, 1.09, 1.08, True),
        (Side.BUY, 1.09, 1.095, False),
        (Side.SELL, 1.12, None, True),
        (Side.SELL, 1.12, 1.13, True),
        (Side.SELL, 1.12, 1.115, False),
    ],
)
def test_a_stop_that_is_missing_or_looser_is_restored_and_a_tighter_one_counts(side, ours, theirs, is_restored):
    held = trade(1, side=side, stop=ours, initial_stop=ours)

    repairs = reconcile(journal(trades=[held]), venue(trades=[shown(held, stop_loss=theirs)]))

    assert ProtectionDiffers("201", theirs, None) in repairs
    assert (RestoreStop("201", "EURUSD", side, ours, theirs) in repairs) is is_restored


def test_a_stop_removed_by_hand_goes_back_to_the_tightest_that_was_seen():
    """The removal is an event, so the fold has no stop either; what was there before must not be forgotten."""
    held = trade(1, stop=None)

    repairs = reconcile(journal(trades=[held], stops={"201": 1.097}), venue(trades=[shown(held)]))

    assert repairs == [RestoreStop("201", "EURUSD", Side.BUY, 1.097, None)]


def test_a_trade_of_ours_without_any_known_stop_is_to_be_closed():
    held = trade(1, stop=None, initial_stop=None)

    assert reconcile(journal(trades=[held]), venue(trades=[shown(held)])) == [
        RestoreStop("201", "EURUSD", Side.BUY, None, None)
    ]


def test_a_balance_is_compared_to_the_cent_and_reported_once():
    ours = journal(balance=Decimal("100000.004"))

    assert reconcile(ours, venue()) == []
    ours = journal(balance=Decimal("99999.99"))
    repairs = reconcile(ours, venue())

    assert repairs == [BalanceDiffers(Decimal("99999.99"), Decimal(100_000))]
    assert reconcile(applied(ours, repairs), venue()) == []
