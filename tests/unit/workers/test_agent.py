"""An agent holds accounts by lease: it renews, shares, loses, gives back, and never acts on what is another's."""

import asyncio
from dataclasses import replace

import pytest

from tradesentry.core.domain.clock import FakeClock
from tradesentry.core.domain.errors import (
    AccountBusy,
    AccountMismatch,
    BrokerUnavailable,
    JournalUnavailable,
    LeaseLost,
)
from tradesentry.core.execution.journal import MemoryJournal
from tradesentry.database.repositories.agents import Load
from tradesentry.workers.agent import Agent, AgentSettings

NOON_NS = 1_704_801_600_000_000_000


class Rows:
    """The rows of all agents, in memory."""

    def __init__(self, journal):
        self.journal, self.agents, self.fenced = journal, {}, []

    async def register(self, agent_id, *, host, slot, brokers, max_accounts):
        self.agents[host, slot] = agent_id

    async def leave(self, agent_id):
        self.agents = {key: value for key, value in self.agents.items() if value != agent_id}

    async def load(self, brokers):
        return Load(sum(rows.is_wanted for rows in self.journal._accounts.values()), len(self.agents))

    async def is_wanted(self, lease):
        return self.journal._accounts[lease.account_id].is_wanted

    async def report_fenced(self, lease):
        self.fenced.append((lease.account_id, lease.epoch))


class Trader:
    """A session that does nothing but say what it was told."""

    def __init__(self, said, claim, fence, *, failure=None, ends=False):
        self.said, self.claim, self.fence = said, claim, fence
        self.failure, self.ends, self.was_stopped = failure, ends, asyncio.Event()

    def _say(self, what):
        self.said.append((what, self.claim.lease.epoch))

    async def run(self):
        self._say("run")
        if self.failure is not None:
            raise self.failure
        if not self.ends:
            await self.was_stopped.wait()

    async def obey(self):
        self._say("obey")

    async def stop(self, *, keep_entries):
        self._say("stop, entries kept" if keep_entries else "stop")
        self.was_stopped.set()

    async def abandon(self):
        self._say("abandon")


class Bench:
    """A journal, the agents on it, and what their sessions said."""

    def __init__(self, n_accounts=1):
        self.clock = FakeClock(NOON_NS)
        self.journal = MemoryJournal(self.clock.now_ns)
        self.accounts = [self.journal.link() for _ in range(n_accounts)]
        self.rows = Rows(self.journal)
        self.said, self.alerts, self.failures, self.ends = [], [], [], False

    def agent(self, slot=0, *, raises=False, **settings):
        async def open_session(claim, fence):
            failure = self.failures.pop(0) if self.failures else None
            return Trader(self.said, claim, fence, failure=failure, ends=self.ends)

        return Agent(
            self.journal, self.rows, open_session, self.clock, AgentSettings("host", slot, **settings),
            alerts=lambda _account: lambda code, text: self.alerts.append((code, text)), raises=raises,
        )  # fmt: skip

    def owners(self):
        return [self.journal._accounts[account_id].owner for account_id in self.accounts]

    def words(self):
        return [what for what, _ in self.said if what != "obey"]


async def stopped(task, stop, clock):
    stop.set()
    await clock.advance(0.1)
    await task


def away_for(journal, owner):
    """Let the journal answer one owner no more until the set that is returned is cleared."""
    away = {owner}
    claim, renew = journal.claim, journal.renew

    async def claim_or_not(who, **more):
        if who in away:
            raise JournalUnavailable("away")
        return await claim(who, **more)

    async def renew_or_not(who, leases, **more):
        if who in away:
            raise JournalUnavailable("away")
        return await renew(who, leases, **more)

    journal.claim, journal.renew = claim_or_not, renew_or_not
    return away


def test_an_account_is_held_for_as_long_as_the_agent_lives_and_given_back():
    """Seen to fail: with renewals every TTL instead of every third of it the fence closed between them."""

    async def work():
        bench, stop = Bench(), asyncio.Event()
        agent = bench.agent()
        task = asyncio.create_task(agent.run(stop))
        open_for = []
        for _ in range(60):
            await bench.clock.advance(1.0)
            open_for += [held.fence.is_open for held in agent.held.values()]
        owned = bench.owners()
        await stopped(task, stop, bench.clock)
        return bench, owned, open_for

    bench, owned, open_for = asyncio.run(work())

    assert owned == ["host:0"]
    assert all(open_for)
    assert len(open_for) == 60
    assert bench.owners() == [None]
    assert bench.words() == ["run", "stop"]
    assert 58 <= sum(what == "obey" for what, _ in bench.said) <= 60
    assert bench.rows.agents == {}


def test_a_lost_account_is_abandoned_and_reported_and_never_stopped():
    """The database answers one agent no more; another takes over after the lease. Seen to fail: without `_lose` in
    `renew` the old session ran on beside the new one."""

    async def work():
        bench, stops = Bench(), [asyncio.Event(), asyncio.Event()]
        first = bench.agent(0)
        tasks = [asyncio.create_task(first.run(stops[0]))]
        await bench.clock.advance(2.0)
        (held,) = first.held.values()
        away = away_for(bench.journal, "host:0")
        second = bench.agent(1)
        tasks.append(asyncio.create_task(second.run(stops[1])))
        fence = []
        for _ in range(14):
            await bench.clock.advance(1.0)
            fence.append((held.fence.is_open, bench.owners()[0]))
        away.clear()
        await bench.clock.advance(4.0)
        kept = bench.owners()
        for task, stop in zip(tasks, stops, strict=True):
            await stopped(task, stop, bench.clock)
        return bench, fence, kept

    bench, fence, kept = asyncio.run(work())

    assert not any(is_open and owner == "host:1" for is_open, owner in fence)
    assert fence[-1] == (False, "host:1")
    assert kept == ["host:1"]
    assert [word for word in bench.said if word[0] != "obey"] == [
        ("run", 1), ("run", 2), ("abandon", 1), ("stop", 2),
    ]  # fmt: skip
    assert bench.rows.fenced == [(bench.accounts[0], 1)]
    ((code, text),) = bench.alerts
    assert code == "lease_lost"
    assert "It sends nothing more there" in text


def test_a_lease_that_ran_out_unnoticed_begins_anew_with_a_new_session_only():
    """Seen to fail: the old session stayed at work when the agent claimed its own account again."""

    async def work():
        bench, stop = Bench(), asyncio.Event()
        task = asyncio.create_task(bench.agent(max_accounts=3).run(stop))
        await bench.clock.advance(1.0)
        rows = bench.journal._accounts[bench.accounts[0]]
        renew = bench.journal.renew

        async def nothing(owner, leases, **more):
            raise JournalUnavailable("away")

        bench.journal.renew = nothing
        await bench.clock.advance(13.0)
        bench.journal.renew = renew
        await bench.clock.advance(5.0)
        epoch = rows.epoch
        await stopped(task, stop, bench.clock)
        return bench, epoch

    bench, epoch = asyncio.run(work())

    assert epoch == 2
    assert [word for word in bench.said if word[0] != "obey"] == [("run", 1), ("abandon", 1), ("run", 2), ("stop", 2)]


def test_a_newcomer_gets_its_share_and_a_leaver_gives_all_back():
    async def work():
        bench, stops = Bench(7), [asyncio.Event(), asyncio.Event()]
        agents = [bench.agent(slot) for slot in (0, 1)]
        tasks = [asyncio.create_task(agents[0].run(stops[0]))]
        await bench.clock.advance(3.0)
        alone = len(agents[0].held)
        tasks.append(asyncio.create_task(agents[1].run(stops[1])))
        await bench.clock.advance(6.0)
        shared = [len(agent.held) for agent in agents]
        owners = bench.owners()
        await stopped(tasks[0], stops[0], bench.clock)
        await bench.clock.advance(6.0)
        rest = len(agents[1].held)
        await stopped(tasks[1], stops[1], bench.clock)
        return alone, shared, owners, rest

    alone, shared, owners, rest = asyncio.run(work())

    assert alone == 7
    assert sum(shared) == 7
    assert max(shared) <= 5
    assert sorted(set(owners)) == ["host:0", "host:1"]
    assert rest == 7


@pytest.mark.parametrize(("reclaims", "seconds"), [(True, 1.0), (False, 12.0)])
def test_a_restarted_slot_takes_over_at_once_only_when_its_old_process_is_known_to_be_dead(reclaims, seconds):
    async def work():
        bench, stop = Bench(), asyncio.Event()
        await bench.journal.claim("host:0", limit=1, ttl_seconds=10.0)
        agent = bench.agent(reclaims=reclaims)
        task = asyncio.create_task(agent.run(stop))
        await bench.clock.advance(0.5)
        early = len(agent.held)
        await bench.clock.advance(seconds)
        held = [h.claim for h in agent.held.values()]
        await stopped(task, stop, bench.clock)
        return early, held

    early, held = asyncio.run(work())

    assert early == reclaims
    assert [claim.lease.epoch for claim in held] == [2]
    assert held[0].wait_seconds(5.0) == 0.0


def test_a_failing_account_is_tried_again_with_growing_pauses_and_the_others_trade_on():
    async def work():
        bench, stop = Bench(2), asyncio.Event()
        bench.failures = [BrokerUnavailable("The venue is away."), None, ZeroDivisionError("a defect")]
        agent = bench.agent()
        task = asyncio.create_task(agent.run(stop))
        await bench.clock.advance(1.9)
        after = [bench.words().count("run")]
        await bench.clock.advance(0.2)
        after.append(bench.words().count("run"))
        await bench.clock.advance(4.0)
        after.append(bench.words().count("run"))
        await stopped(task, stop, bench.clock)
        return bench, after

    bench, after = asyncio.run(work())

    assert after == [2, 3, 4]
    assert [(code, text.partition(":")[0]) for code, text in bench.alerts] == [
        ("account_failed", "The account cannot be traded (broker_unavailable)"),
        ("account_failed", "The account cannot be traded (ZeroDivisionError)"),
    ]
    assert bench.words().count("abandon") == 2
    assert bench.words().count("stop") == 2


def test_a_command_for_one_account_ends_with_the_error_of_that_account():
    async def work():
        bench = Bench(2)
        bench.failures = [AccountMismatch("The account is …001 and the link says …002.")]
        agent = bench.agent(raises=True, accounts=(bench.accounts[1],))
        task = asyncio.create_task(agent.run(asyncio.Event()))
        await bench.clock.advance(5.0)
        with pytest.raises(AccountMismatch, match="…001"):
            await task
        return bench

    bench = asyncio.run(work())

    assert bench.owners() == [None, None]


def test_a_second_instance_finds_nothing_to_claim_says_so_and_starts_nothing():
    async def work():
        bench, stop = Bench(), asyncio.Event()
        first = asyncio.create_task(bench.agent(0).run(stop))
        await bench.clock.advance(1.0)
        second = bench.agent(1, raises=True, accounts=(bench.accounts[0],))
        task = asyncio.create_task(second.run(asyncio.Event()))
        await bench.clock.advance(15.0)
        with pytest.raises(AccountBusy, match="Another process trades this account") as caught:
            await task
        await stopped(first, stop, bench.clock)
        return bench, caught.value

    bench, error = asyncio.run(work())

    assert (error.code, error.exit_code) == ("account_busy", 4)
    assert bench.words() == ["run", "stop"]


def test_a_command_for_one_account_ends_when_nothing_is_left_to_do():
    async def work():
        bench = Bench()
        bench.ends = True
        task = asyncio.create_task(bench.agent(accounts=(bench.accounts[0],)).run(asyncio.Event()))
        await bench.clock.advance(3.0)
        await task
        return bench

    assert asyncio.run(work()).owners() == [None]


def test_an_account_that_nobody_wants_any_more_is_given_back():
    async def work():
        bench, stop = Bench(2), asyncio.Event()
        bench.ends = True
        agent = bench.agent()
        task = asyncio.create_task(agent.run(stop))
        await bench.clock.advance(2.0)
        bench.journal.want(bench.accounts[0], False)
        await bench.clock.advance(3.0)
        owners = bench.owners()
        await stopped(task, stop, bench.clock)
        return owners

    assert asyncio.run(work()) == [None, "host:0"]


def test_a_session_whose_write_was_refused_is_abandoned_and_a_free_account_claimed_anew():
    """The lease ran out while the host was frozen, and nobody else took the account."""

    async def work():
        bench, stop = Bench(), asyncio.Event()
        bench.failures = [LeaseLost("The epoch is not the newest.")]
        task = asyncio.create_task(bench.agent().run(stop))
        await bench.clock.advance(4.0)
        await stopped(task, stop, bench.clock)
        return bench

    bench = asyncio.run(work())

    assert [word for word in bench.said if word[0] != "obey"] == [("run", 1), ("abandon", 1), ("run", 2), ("stop", 2)]
    assert bench.rows.fenced == []


def test_entries_stay_at_the_venue_when_the_agent_is_told_so():
    async def work():
        bench, stop = Bench(), asyncio.Event()
        task = asyncio.create_task(bench.agent(keep_entries=True).run(stop))
        await bench.clock.advance(1.0)
        await stopped(task, stop, bench.clock)
        return bench

    assert asyncio.run(work()).words() == ["run", "stop, entries kept"]


def test_the_share_is_a_fair_part_and_one_to_spare():
    settings = AgentSettings("host", 3)

    assert settings.owner == "host:3"
    assert [Load(n, 3).share(50) for n in (0, 1, 3, 10)] == [1, 2, 2, 5]
    assert replace(settings, slot=4).owner == "host:4"
