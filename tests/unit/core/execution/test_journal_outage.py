"""The journal away: nothing is sent, everything is heard, and the account comes back as the venue has it."""

import asyncio
from dataclasses import replace

import pytest

from tests.support.recovering import Site, journal_fills, play, venue_fills
from tests.support.venues import entry
from tradesentry.core.domain.orders import Side
from tradesentry.core.execution.journal_rows import LiveState

ACTIVE = LiveState.ACTIVE


def test_while_the_journal_is_away_nothing_is_sent_and_nothing_is_missed():
    """Section 6.4. Seen to fail: where recovery does not read the journal again the account never comes back."""

    async def case():
        site = Site()
        owner = await site.own()
        await owner.recover()
        await owner.buy(stop=1.0950)
        polling = asyncio.ensure_future(owner.polls.run())
        await site.clock.advance(1)
        site.journal.is_away = True
        site.show(1.1010)
        site.venue.protect(next(iter(site.venue.trades)), stop_loss=1.1000, take_profit=None)
        await site.clock.advance(5)
        away = owner.orders.store.is_away, owner.outage.is_away
        site.show(1.0990)
        n_before = owner.broker.n_requests
        await site.clock.advance(600)
        n_after = owner.broker.n_requests
        buffered = len(owner.recovery.follower.buffer)
        site.journal.is_away = False
        await site.clock.advance(10)
        state = owner.orders.state
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)
        return site, owner, away, n_after - n_before, buffered, state

    site, owner, away, n_sent, buffered, state = play(case())

    assert away == (True, True)
    assert n_sent == 0
    assert buffered > 0
    assert state is ACTIVE
    assert journal_fills(site) == venue_fills(site)
    assert dict(owner.book.trades) == {}
    assert site.codes.count("journal_back") == 1
    assert 9 <= site.codes.count("journal_away") <= 12


def test_an_entry_is_refused_from_the_first_failed_commit_until_recovery_has_ended():
    async def case():
        site = Site()
        owner = await site.own()
        await owner.recover()
        site.journal.is_away = True
        task = asyncio.ensure_future(owner.recovery.recover("journal"))
        await site.clock.advance(1)
        site.journal.is_away = False
        with pytest.raises(Exception, match="journal"):
            await owner.buy()
        await owner.settle(task)
        return owner, await owner.buy()

    owner, sent = play(case())

    assert sent.is_allowed
    assert owner.broker.n_requests == 1


def test_a_database_that_reads_but_does_not_commit_is_not_asked_without_a_pause():
    """A full disk: renewals work, so the outage seems over; attempts must not follow one another at once."""

    async def case():
        site = Site()
        owner = await site.own()
        await owner.recover()
        site.journal.is_read_only = True
        task = asyncio.ensure_future(owner.recovery.recover("journal"))
        await site.clock.advance(300)
        n_failed, n_alerts = site.journal.n_failed, site.codes.count("recovery_fails")
        site.journal.is_read_only = False
        return n_failed, n_alerts, await owner.settle(task), owner.broker.n_requests

    n_failed, n_alerts, state, n_requests = play(case())

    assert n_failed < 25
    assert 4 <= n_alerts <= 6
    assert (state, n_requests) == (ACTIVE, 0)


def test_events_beyond_the_buffer_are_fetched_from_the_venue():
    async def case():
        site = Site()
        owner = await site.own()
        await owner.recover()
        owner.recovery.follower.buffer._limit = 2
        with owner.recovery.following():
            await site.clock.advance(0)
            for seq in range(5):
                site.venue.place(replace(entry(1, side=Side.SELL, stop=1.2), client_order_id=f"manual-{seq}"))
            await site.clock.advance(0)
            left_out = owner.recovery.follower.buffer.n_left_out
            await owner.recover("journal")
        await owner.recovery.follower.close()
        return site, owner, left_out

    site, owner, left_out = play(case())

    assert left_out > 0
    assert len(owner.book.trades) == 5
    assert journal_fills(site) == venue_fills(site)
