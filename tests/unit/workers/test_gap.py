"""What an owner is told when nobody traded an account for a while."""

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

from tradesentry.core.domain.live_account import LiveTrade
from tradesentry.core.domain.orders import Side
from tradesentry.core.execution.journal_rows import NS_PER_SECOND, Claim, Lease, LiveState
from tradesentry.workers.gap import gap_payload

NOON = 1_767_268_800 * NS_PER_SECOND
LEASE = Lease(UUID(int=1), UUID(int=2), "host:0", 2, 7, "paper", "paper")
CLAIM = Claim(LEASE, 4, "host:0", NOON + 7 * NS_PER_SECOND, NOON)


def payload(claim=CLAIM, *, trades=()):
    return gap_payload(claim, now_ns=NOON + 2 * NS_PER_SECOND, state=LiveState.ACTIVE, trades=trades)


def trade(stop_loss):
    return LiveTrade(
        key="k", seq=1, run=None, initial_units=Decimal(1000), entry_ts_ns=NOON, take_profit=None, initial_stop=1.09,
        trade_ref="1", symbol="EURUSD", side=Side.BUY, units=Decimal(1000), entry_price=1.1, stop_loss=stop_loss,
    )  # fmt: skip


def test_an_account_that_was_given_back_or_never_traded_has_no_gap():
    assert payload(replace(CLAIM, old_owner=None, old_until_ns=None)) is None


def test_a_gap_begins_at_the_last_renewal_and_ends_with_the_recovery():
    """The old lease had 7 of 10 s left, so it was renewed 3 s before the claim; recovery took 2 s more."""
    found = payload()

    assert (found["since_ns"], found["until_ns"]) == (NOON - 3 * NS_PER_SECOND, NOON + 2 * NS_PER_SECOND)
    assert found["text"].startswith(
        "Nobody traded this account from 11:59:57 to 12:00:02 UTC (5 s): its process died or stood still"
    )
    assert "It is recovered and active; no trade is open." in found["text"]


def test_a_gap_says_whether_each_open_trade_has_its_stop():
    safe, bare = payload(trades=[trade(1.09)]), payload(trades=[trade(1.09), trade(None)])

    assert "open trades: 1, each with its stop." in safe["text"]
    assert "open trades: 2, 1 without a stop." in bare["text"]


def test_a_clock_of_the_host_that_is_behind_makes_no_gap_of_negative_length():
    late = replace(CLAIM, old_until_ns=NOON + 60 * NS_PER_SECOND)

    assert payload(late)["since_ns"] == NOON
