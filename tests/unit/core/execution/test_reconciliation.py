"""Journal against venue: what is found, that the order of reports does not matter, and that a second look is quiet."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradesentry.core.broker.base_broker import OrderReport
from tradesentry.core.domain.live_account import LiveOrder, LiveTrade
from tradesentry.core.domain.live_orders import Effect, OrderStatus, client_order_id
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.domain.venue import AccountState, OpenTrade
from tradesentry.core.execution.reconciliation import JournalState, VenueReport, applied, reconcile
from tradesentry.core.execution.repairs import (
    STANDING,
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

SYMBOLS = ("EURUSD", "USDJPY", "GBPUSD")
MANY = settings(max_examples=420)


def account(balance="100000", *, last_seq=50, log_id="log-1"):
    money = Decimal(balance)
    zero = Decimal(0)
    return AccountState("a", money, money, zero, zero, money, "USD", log_id, last_seq, is_hedging=True, as_of_ns=0)


def order(seq=1, *, status=OrderStatus.ACCEPTED, symbol="EURUSD", side=Side.BUY, **fields):
    """Return a resting limit order of ours, number `seq`, venue id 100 + seq."""
    return LiveOrder(
        key=client_order_id(7, seq),
        seq=seq,
        run=None,
        symbol=symbol,
        side=side,
        effect=Effect.OPEN,
        type=OrderType.LIMIT,
        status=status,
        units=fields.pop("units", Decimal(1_000)),
        price=fields.pop("price", 1.1),
        stop_loss=fields.pop("stop_loss", 1.09),
        venue_order_ids=fields.pop("venue_order_ids", (str(100 + seq),)),
        **fields,
    )


def report_of(ours, **changes):
    """Return how the venue shows an order of ours."""
    report = OrderReport(
        venue_order_id=ours.venue_order_ids[-1] if ours.venue_order_ids else str(100 + ours.seq),
        client_order_id=ours.key,
        symbol=ours.symbol,
        side=ours.side,
        type=ours.type,
        units=ours.units,
        filled_units=ours.filled_units,
        status=OrderStatus.ACCEPTED,
        price=ours.price,
        stop_loss=ours.stop_loss,
        take_profit=ours.take_profit,
    )
    return replace(report, **changes)


def trade(number=1, *, symbol="EURUSD", side=Side.BUY, stop=1.09, units="1000", **fields):
    """Return an open trade of ours with reference 200 + number."""
    return LiveTrade(
        trade_ref=str(200 + number),
        key=client_order_id(7, 500 + number),
        seq=500 + number,
        run=None,
        symbol=symbol,
        side=side,
        units=Decimal(units),
        initial_units=Decimal(units),
        entry_price=1.1,
        entry_ts_ns=1,
        stop_loss=stop,
        take_profit=fields.pop("take_profit", None),
        initial_stop=fields.pop("initial_stop", 1.09),
        **fields,
    )


def shown(ours, **changes):
    """Return how the venue shows a trade of ours."""
    at_venue = OpenTrade(
        trade_id=ours.trade_ref,
        symbol=ours.symbol,
        side=ours.side,
        units=ours.units,
        initial_units=ours.initial_units,
        entry_price=ours.entry_price,
        entry_ts_ns=ours.entry_ts_ns,
        stop_loss=ours.stop_loss,
        take_profit=ours.take_profit,
        client_order_id=ours.key,
    )
    return replace(at_venue, **changes)


def journal(orders=(), trades=(), **fields):
    return JournalState(
        log_id=fields.pop("log_id", "log-1"),
        cursor=fields.pop("cursor", 50),
        balance=fields.pop("balance", Decimal(100_000)),
        orders={o.key: o for o in orders},
        trades={t.trade_ref: t for t in trades},
        **fields,
    )


def venue(orders=(), trades=(), **fields):
    return VenueReport(account(**fields), tuple(orders), tuple(trades))


def found(ours, theirs):
    return {type(repair) for repair in reconcile(ours, theirs)}


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


# Laws

numbers = st.integers(1, 6)
statuses = st.sampled_from(
    [OrderStatus.ACCEPTED, OrderStatus.UNKNOWN, OrderStatus.SENDING, OrderStatus.CANCELED, OrderStatus.CANCELING]
)
stops = st.sampled_from([None, 1.08, 1.09, 1.095])
units = st.sampled_from(["1000", "400"])


@st.composite
def worlds(draw):
    """Return a journal and a venue that agree in some things and not in others."""
    orders, reports, trades, at_venue = [], [], [], []
    for seq in draw(st.sets(numbers)):
        symbol = draw(st.sampled_from(SYMBOLS))
        ours = order(seq, status=draw(statuses), symbol=symbol)
        if draw(st.booleans()):
            ours = replace(ours, seq=None, key=f"venue:{100 + seq}")
        where = draw(st.sampled_from(["both", "journal", "venue"]))
        changes = {"price": draw(st.sampled_from([1.1, 1.2])), "filled_units": Decimal(draw(st.sampled_from([0, 10])))}
        if ours.seq is None or draw(st.booleans()):
            changes["client_order_id"] = None
        orders += [ours] if where != "venue" else []
        reports += [report_of(ours, **changes)] if where != "journal" else []
    for number in draw(st.sets(numbers)):
        ours = trade(number, symbol=draw(st.sampled_from(SYMBOLS)), stop=draw(stops))
        if draw(st.booleans()):
            ours = replace(ours, seq=None, key=None)
        where = draw(st.sampled_from(["both", "journal", "venue"]))
        trades += [ours] if where != "venue" else []
        theirs = shown(ours, units=Decimal(draw(units)), stop_loss=draw(stops))
        at_venue += [theirs] if where != "journal" else []
    state = journal(
        orders,
        trades,
        balance=Decimal(draw(st.sampled_from(["100000", "99999.99"]))),
        blocked=draw(st.frozensets(st.sampled_from(SYMBOLS))),
        stops={t.trade_ref: 1.097 for t in trades if draw(st.booleans())},
    )
    return state, reports, at_venue


@MANY
@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_and_repetition_of_reports_change_nothing(world, random):
    """Seen to fail: without `sorted` in `reconcile` the repairs follow the order of the report."""
    state, reports, trades = world
    expected = reconcile(state, venue(reports, trades))
    mixed_orders, mixed_trades = reports + reports[:2], trades + trades[:2]
    random.shuffle(mixed_orders)
    random.shuffle(mixed_trades)
    mixed_state = replace(
        state,
        orders=dict(sorted(state.orders.items(), reverse=True)),
        trades=dict(sorted(state.trades.items(), reverse=True)),
    )

    assert reconcile(mixed_state, venue(mixed_orders, mixed_trades)) == expected


@MANY
@given(worlds())
def test_a_second_look_finds_only_what_the_venue_alone_can_change(world):
    """Seen to fail: with `asked` or `balance_gap` left out of `applied` every poll alerts again."""
    state, reports, trades = world
    theirs = venue(reports, trades)

    after = applied(state, reconcile(state, theirs))
    second = reconcile(after, theirs)

    assert all(isinstance(repair, STANDING) for repair in second)
    assert reconcile(applied(after, second), theirs) == second


@MANY
@given(worlds())
def test_instruments_are_blocked_exactly_where_fills_and_positions_disagree(world):
    state, reports, trades = world
    theirs = venue(reports, trades)
    repairs = reconcile(state, theirs)

    mismatched = {repair.symbol for repair in repairs if isinstance(repair, FillsDiffer | UnitsDiffer)}

    assert applied(state, repairs).blocked == mismatched


@MANY
@given(worlds())
def test_no_open_trade_of_ours_is_left_with_a_stop_looser_than_the_journals(world):
    """J10 as a law. Seen to fail: comparing with the fold's stop alone misses a stop that was removed by hand."""
    state, reports, trades = world
    restored = {repair.trade_ref: repair for repair in reconcile(state, venue(reports, trades))
                if isinstance(repair, RestoreStop)}  # fmt: skip

    for at_venue in trades:
        ours = state.trades.get(at_venue.trade_id)
        if ours is None or ours.seq is None:
            continue
        wanted = [s for s in (ours.stop_loss, state.stops.get(ours.trade_ref)) if s is not None]
        best = max(wanted) if wanted else ours.initial_stop
        is_weak = at_venue.stop_loss is None or at_venue.stop_loss < best
        assert (ours.trade_ref in restored) is is_weak
        if is_weak:
            assert restored[ours.trade_ref].stop_loss == best


@MANY
@given(worlds())
def test_no_order_of_ours_is_ended_and_no_trade_changed_by_a_comparison(world):
    """Only the venue's word closes an order; positions derive from fills."""
    state, reports, trades = world

    after = applied(state, reconcile(state, venue(reports, trades)))

    for key, before in state.orders.items():
        if before.seq is not None and not before.status.is_terminal:
            assert not after.orders[key].status.is_terminal
    for ref, before in state.trades.items():
        assert after.trades[ref].units == before.units
