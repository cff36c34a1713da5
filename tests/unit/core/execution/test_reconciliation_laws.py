"""Laws of reconciliation, 2,100 examples: order and repetition change nothing, a second look is quiet."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.pictures import journal, order, report_of, shown, trade, venue
from tradesentry.core.domain.live_orders import OrderStatus
from tradesentry.core.execution.reconciliation import applied, reconcile
from tradesentry.core.execution.repairs import STANDING, FillsDiffer, RestoreStop, UnitsDiffer

SYMBOLS = ("EURUSD", "USDJPY", "GBPUSD")
MANY = settings(max_examples=420)
STATUSES = (OrderStatus.ACCEPTED, OrderStatus.UNKNOWN, OrderStatus.SENDING, OrderStatus.CANCELED, OrderStatus.CANCELING)
STOPS = (None, 1.08, 1.09, 1.095)
WHERE = ("both", "journal", "venue")
choices = st.dictionaries(st.integers(1, 6), st.integers(0, 2**16 - 1), max_size=6)


class Bits:
    """One drawn integer, taken apart into choices: far cheaper than drawing each."""

    def __init__(self, value):
        self.value = value

    def of(self, options):
        self.value, i = divmod(self.value, len(options))
        return options[i]


def order_of(seq, bits):
    """Return an order as the journal and as the venue have it; None where one does not."""
    ours = order(seq, status=bits.of(STATUSES), symbol=bits.of(SYMBOLS))
    where = bits.of(WHERE)
    if bits.of((True, False)):
        ours = replace(ours, seq=None, key=f"venue:{100 + seq}")
    changes = {"price": bits.of((1.1, 1.2)), "filled_units": Decimal(bits.of((0, 10)))}
    if ours.seq is None or bits.of((True, False)):
        changes["client_order_id"] = None
    return ours if where != "venue" else None, report_of(ours, **changes) if where != "journal" else None


def trade_of(number, bits):
    """Return a trade as the journal and as the venue have it; None where one does not."""
    ours, where = trade(number, symbol=bits.of(SYMBOLS), stop=bits.of(STOPS)), bits.of(WHERE)
    if bits.of((True, False)):
        ours = replace(ours, seq=None, key=None)
    theirs = shown(ours, units=Decimal(bits.of(("1000", "400"))), stop_loss=bits.of(STOPS))
    return ours if where != "venue" else None, theirs if where != "journal" else None


@st.composite
def worlds(draw):
    """Return a journal and a venue that agree in some things and not in others."""
    orders = [order_of(seq, Bits(value)) for seq, value in draw(choices).items()]
    trades = [trade_of(number, Bits(value)) for number, value in draw(choices).items()]
    bits = Bits(draw(st.integers(0, 2**10 - 1)))
    state = journal(
        [ours for ours, _ in orders if ours],
        [ours for ours, _ in trades if ours],
        balance=Decimal(bits.of(("100000", "99999.99"))),
        blocked=frozenset(symbol for symbol in SYMBOLS if bits.of((True, False))),
        stops={ours.trade_ref: 1.097 for ours, _ in trades if ours and bits.of((True, False))},
    )
    return state, [theirs for _, theirs in orders if theirs], [theirs for _, theirs in trades if theirs]


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
