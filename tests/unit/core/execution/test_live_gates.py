"""The live gates: each denies for its own reason, in the stated order, and a guard that blocks for long says so."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradesentry.core.domain.clock import ClockSample
from tradesentry.core.domain.live_account import Amend, Cancel, Enter, Protect, Reduce
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.domain.venue import Quote
from tradesentry.core.execution.error_budget import ErrorBudget, ErrorBudgetSettings, Mishap
from tradesentry.core.execution.gate_view import GATE_CODES, GateSettings, GateView, Lock, VenueWatch
from tradesentry.core.execution.journal_rows import LiveState
from tradesentry.core.execution.live_gates import LiveGates
from tradesentry.core.execution.verdicts import Allowed, Denied

NOW = 1_704_801_600_000_000_000
SECOND = 1_000_000_000
HOUR = 3_600 * SECOND
LEGS = {"EUR": Decimal(11_000), "USD": Decimal(-11_000)}


def wish(**fields):
    """Return a market buy of 10,000 EURUSD decided at 1.1001."""
    fields = {"type": OrderType.MARKET, "stop_loss": 1.09, "reference_price": 1.1001} | fields
    return Enter("EURUSD", Side.BUY, Decimal(10_000), **fields)


def quote(bid=1.1, ask=1.1001, *, age=0.0, **fields):
    ts_ns = NOW - round(age * SECOND)
    return replace(Quote("EURUSD", bid, ask, ts_ns, ts_ns), **fields)


def view(**fields):
    """Return a view in which everything is well."""
    fields = {"now_ns": NOW, "state": LiveState.ACTIVE, "quote": quote(), "pip": 1e-4, "lease_seconds": 8.0} | fields
    return GateView(**fields)


BAD = {
    "halted": view(state=LiveState.HALTED),
    "reconciling": view(state=LiveState.RECONCILING),
    "reducing": view(state=LiveState.REDUCING, legs=LEGS),
    "locked": view(locks=(Lock("cool_down", NOW + SECOND, "x", symbol="EURUSD"),)),
    "journal_away": view(is_journal_up=False),
    "event_hole": view(hole_seconds=10.1),
    "order_unresolved": view(unresolved=frozenset(["EURUSD"])),
    "instrument_blocked": view(blocked={"EURUSD": "fills and position disagree"}),
    "lease_not_alive": view(lease_seconds=0.0),
    "clock_unknown": view(clock_offset_seconds=None),
    "clock_skew": view(clock_offset_seconds=-5.1),
    "no_quote": view(quote=None),
    "stale_quote": view(quote=quote(age=2.1)),
    "not_tradeable": view(quote=quote(is_tradeable=False)),
    "crossed_quote": view(quote=quote(1.1, 1.0999)),
    "wide_spread": view(quote=quote(1.0990, 1.1001)),
    "price_drift": view(quote=quote(1.1010, 1.1011)),
}
BOUNDS = GateSettings(max_spread_pips=10.0)


def test_an_entry_passes_with_all_its_units_when_everything_is_well():
    assert LiveGates().vet_entry(wish(), view()) == Allowed(Decimal(10_000))


@pytest.mark.parametrize("code", BAD)
def test_each_gate_denies_by_its_own_name(code):
    gates = LiveGates(BOUNDS)

    verdict = gates.vet_entry(wish(), BAD[code])

    assert isinstance(verdict, Denied)
    assert verdict.code == code
    assert gates.denied == {code: 1}


@pytest.mark.parametrize(
    "fine",
    [
        view(hole_seconds=9.9),
        view(unresolved=frozenset(["USDJPY"]), blocked={"USDJPY": "x"}),
        view(clock_offset_seconds=4.9, quote=quote(ts_ns=NOW + 4 * SECOND)),
        view(quote=quote(age=1.9)),
        view(quote=quote(1.0994, 1.1001)),
        view(quote=quote(1.1005, 1.1006)),
        view(locks=(Lock("cool_down", NOW, "over"), Lock("cool_down", NOW + 1, "other", app="other"))),
        view(state=LiveState.REDUCING, legs=LEGS, held={"EUR": Decimal(-30_000), "USD": Decimal(30_000)}),
    ],
)
def test_just_inside_each_bound_an_entry_passes(fine):
    """Seen to fail: with any bound halved one of these is denied."""
    verdict = LiveGates(BOUNDS).vet_entry(wish(), fine)

    assert isinstance(verdict, Allowed)


def test_the_first_denial_in_the_table_wins():
    everything = view(
        state=LiveState.HALTED, is_journal_up=False, unresolved=frozenset(["EURUSD"]), lease_seconds=0.0, quote=None
    )
    gates = LiveGates()

    assert gates.vet_entry(wish(), everything).code == "halted"
    assert gates.vet_entry(wish(), replace(everything, state=LiveState.ACTIVE)).code == "journal_away"
    assert gates.vet_entry(wish(), replace(everything, state=LiveState.ACTIVE, is_journal_up=True)).code == (
        "order_unresolved"
    )


def test_a_frozen_quote_is_stale_although_it_was_just_received():
    """A venue that repeats an old price while connected: its own time counts, too."""
    frozen = quote(ts_ns=NOW - 3 * SECOND, received_ts_ns=NOW)

    assert LiveGates().vet_entry(wish(), view(quote=frozen)).code == "stale_quote"


def test_a_quote_is_aged_by_the_venues_clock():
    """Three seconds of offset: a quote stamped three seconds ahead of us is fresh, one stamped now is old."""
    ahead = quote(ts_ns=NOW + 3 * SECOND, received_ts_ns=NOW)

    assert isinstance(LiveGates().vet_entry(wish(), view(clock_offset_seconds=3.0, quote=ahead)), Allowed)
    assert LiveGates().vet_entry(wish(), view(clock_offset_seconds=3.0)).code == "stale_quote"


def test_a_quote_from_the_future_is_a_skewed_clock():
    ahead = quote(ts_ns=NOW + 6 * SECOND, received_ts_ns=NOW)

    assert LiveGates().vet_entry(wish(), view(quote=ahead)).code == "clock_skew"


@pytest.mark.parametrize("price", [float("nan"), float("inf"), 0.0])
def test_a_quote_that_is_no_price_denies(price):
    assert LiveGates().vet_entry(wish(), view(quote=quote(price, 1.1001))).code == "no_quote"


def test_drift_is_for_market_entries_in_both_directions():
    far = view(quote=quote(1.0990, 1.0991))

    assert LiveGates().vet_entry(wish(), far).code == "price_drift"
    assert isinstance(LiveGates().vet_entry(wish(type=OrderType.LIMIT, price=1.098), far), Allowed)
    assert isinstance(LiveGates().vet_entry(wish(reference_price=None), far), Allowed)


def test_too_many_entries_within_a_minute_are_denied_and_the_minute_slides():
    gates = LiveGates(GateSettings(max_entries_per_minute=2))
    for second in (0, 30):
        gates.note_sent("entry", now_ns=NOW + second * SECOND)

    assert gates.vet_entry(wish(), view(now_ns=NOW + 59 * SECOND, quote=quote(age=-59))).code == "submit_rate"
    assert isinstance(gates.vet_entry(wish(), view(now_ns=NOW + 61 * SECOND, quote=quote(age=-61))), Allowed)


@pytest.mark.parametrize(
    ("kind", "limit"), [(Mishap.REFUSED, 5), (Mishap.UNKNOWN, 2), (Mishap.STREAM_LOST, 10)], ids=str
)
def test_the_error_budget_denies_at_its_limit(kind, limit):
    gates = LiveGates()
    for _ in range(limit - 1):
        gates.budget.note(kind, now_ns=NOW)
    before = gates.vet_entry(wish(), view())
    gates.budget.note(kind, now_ns=NOW)

    assert isinstance(before, Allowed)
    assert gates.vet_entry(wish(), view()).code == "error_budget"


def test_an_exceeded_budget_holds_until_a_whole_window_was_quiet():
    """Otherwise the account would be freed as the oldest mishap ages, and refused again at the next."""
    budget = ErrorBudget()
    for minute in (0, 9):
        budget.note(Mishap.UNKNOWN, now_ns=NOW + minute * 60 * SECOND)

    assert "2 x unknown" in budget.exceeded(now_ns=NOW + 9 * 60 * SECOND)
    assert budget.exceeded(now_ns=NOW + 18 * 60 * SECOND)
    assert not budget.exceeded(now_ns=NOW + 19 * 60 * SECOND + 1)


@given(st.lists(st.integers(0, 3_600), max_size=30), st.integers(1, 5))
def test_a_budget_trips_exactly_when_a_window_holds_its_limit(seconds, limit):
    """The slow way: is there a window of ten minutes, ending at a mishap, that holds `limit` of them?"""
    budget = ErrorBudget(ErrorBudgetSettings(max_refused=limit))
    seen, tripped = [], False
    for second in sorted(seconds):
        budget.note(Mishap.REFUSED, now_ns=NOW + second * SECOND)
        seen.append(second)
        within = [s for s in seen if second - 600 < s <= second]
        tripped = len(within) >= limit or (tripped and len(within) > 1)

        assert bool(budget.exceeded(now_ns=NOW + second * SECOND)) is tripped


# Changes


def test_only_stops_move_while_reconciling():
    gates, seen = LiveGates(), view(state=LiveState.RECONCILING)

    assert gates.vet_change(Protect("1", stop_loss=1.0), seen) is None
    assert gates.vet_change(Cancel(1), seen).code == "reconciling"
    assert gates.vet_change(Reduce("1"), seen, author="kill_switch").code == "reconciling"
    assert gates.vet_change(Reduce("1"), seen, author="protection") is None


def test_a_reduced_account_still_cancels_reduces_and_protects():
    gates, seen = LiveGates(), view(state=LiveState.REDUCING)

    assert [gates.vet_change(w, seen) for w in (Cancel(1), Reduce("1"), Protect("1"), Amend(1))] == [None] * 4


def test_a_halted_account_obeys_only_a_person_and_the_kill_switch():
    gates, seen = LiveGates(), view(state=LiveState.HALTED)

    assert gates.vet_change(Reduce("1"), seen).code == "halted"
    assert gates.vet_change(Cancel(1), seen).code == "halted"
    assert gates.vet_change(Amend(1), seen, author="person").code == "halted"
    assert gates.vet_change(Reduce("1"), seen, author="person") is None
    assert gates.vet_change(Cancel(1), seen, author="kill_switch") is None
    assert gates.vet_change(Protect("1", stop_loss=1.0), seen) is None


@pytest.mark.parametrize("seen", [view(is_journal_up=False), view(lease_seconds=0.0)], ids=["journal", "lease"])
def test_without_journal_or_lease_nothing_is_sent_at_all(seen):
    wishes = (Cancel(1), Reduce("1"), Protect("1"), Amend(1))

    assert all(LiveGates().vet_change(w, seen, author="person") is not None for w in wishes)


# Guards


def test_a_guard_that_blocks_for_an_hour_alerts_with_its_reason_and_again_each_hour():
    """A staleness guard that silently blocks a whole day is as bad as none."""
    alerts = []
    gates = LiveGates(alert=lambda code, text: alerts.append((code, text)))
    gates.vet_entry(wish(), view(quote=None))
    gates.check_guards(now_ns=NOW + HOUR - SECOND)
    early = list(alerts)

    for hours in (1, 1.5, 2):
        gates.check_guards(now_ns=NOW + round(hours * HOUR))

    assert early == []
    assert [code for code, _ in alerts] == ["guard_blocks", "guard_blocks"]
    assert alerts[0][1].startswith("No entry on EURUSD for 1.0 h: there is no usable quote. Last: There is no usable")


def test_a_guard_that_let_something_through_in_between_is_quiet():
    """Passed altogether, or passed as far as a later guard: both end the time that it has blocked."""
    alerts = []
    gates = LiveGates(BOUNDS, alert=lambda code, text: alerts.append(text))
    for passed in (view(), BAD["price_drift"]):
        gates.vet_entry(wish(), view(quote=None))
        gates.vet_entry(wish(), passed)

    gates.check_guards(now_ns=NOW + HOUR + SECOND)

    assert len(alerts) == 1
    assert "the price has moved too far" in alerts[0]


def test_every_code_of_the_table_can_be_provoked():
    """A code that nothing raises is a gate that does not exist."""
    assert set(BAD) | {"submit_rate", "error_budget"} == set(GATE_CODES)


# Watch


def test_a_clock_that_was_not_read_for_long_is_unknown():
    watch = VenueWatch(GateSettings(max_clock_age_seconds=7_500))
    unread = watch.clock_offset_seconds(NOW)
    watch.note_clock(ClockSample(round(0.25 * SECOND), 0), now_ns=NOW)

    assert unread is None
    assert watch.clock_offset_seconds(NOW + 7_500 * SECOND) == 0.25
    assert watch.clock_offset_seconds(NOW + 7_501 * SECOND) is None


def test_a_hole_ages_from_when_it_was_first_seen():
    watch = VenueWatch(GateSettings())
    watch.note_hole(is_open=True, now_ns=NOW)
    watch.note_hole(is_open=True, now_ns=NOW + 5 * SECOND)

    assert watch.hole_seconds(NOW + 12 * SECOND) == 12.0
    watch.note_hole(is_open=False, now_ns=NOW, found_by="newest")
    assert watch.hole_seconds(NOW + 12 * SECOND) == 12.0
    watch.note_hole(is_open=False, now_ns=NOW)
    assert watch.hole_seconds(NOW + 12 * SECOND) == 0.0


def test_an_instrument_is_free_when_the_last_reason_is_lifted():
    watch = VenueWatch(GateSettings())
    watch.block("EURUSD", "mismatch", "fills and position disagree.")
    watch.block("EURUSD", "refusals", "three refusals in a row.")
    watch.unblock("EURUSD", "mismatch")

    assert watch.blocked == {"EURUSD": "three refusals in a row."}
    watch.unblock("EURUSD", "refusals")
    assert watch.blocked == {}


def test_the_view_is_stored_as_json_with_what_was_seen():
    gates = LiveGates()
    gates.watch.note_clock(ClockSample(0, 0), now_ns=NOW)

    stored = gates.view(
        now_ns=NOW, state=LiveState.ACTIVE, quote=quote(), pip=1e-4, lease_seconds=8.0, legs=LEGS
    ).snapshot()

    assert stored["quote"] == [1.1, 1.1001, NOW, NOW]
    assert stored["legs"] == {"EUR": "11000", "USD": "-11000"}
    assert (stored["state"], stored["clock_offset_seconds"]) == ("active", 0.0)
