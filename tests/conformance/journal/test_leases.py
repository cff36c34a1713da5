"""Every journal: who owns an account, and what a former owner can still do (nothing)."""

import asyncio
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.journal.rigs import OWNER, RIGS, TTL, intent, memory_rig
from tradesentry.core.domain.errors import LeaseLost
from tradesentry.core.execution.journal import Lease


@pytest.fixture(params=list(RIGS))
def with_rig(request):
    """Run an asynchronous test on a journal."""
    database = request.getfixturevalue("database") if request.param == "postgres" else None

    def run(test):
        async def work():
            async with RIGS[request.param](database) as rig:
                await test(rig)

        asyncio.run(work())

    return run


def test_a_wanted_account_is_claimed_once_with_a_new_epoch(with_rig):
    async def check(rig):
        account_id = rig.link()

        first = await rig.journal.claim(OWNER, limit=10, ttl_seconds=TTL)
        second = await rig.journal.claim("host:1", limit=10, ttl_seconds=TTL)

        assert [(claim.lease.account_id, claim.lease.epoch, claim.seq) for claim in first] == [(account_id, 1, 0)]
        assert first[0].wait_seconds(5.0) == 0.0
        assert second == []

    with_rig(check)


def test_a_claim_takes_no_more_than_asked_and_only_given_brokers(with_rig):
    async def check(rig):
        for broker in ("paper", "oanda", "oanda", "mt5"):
            rig.link(broker=broker)

        one = await rig.journal.claim(OWNER, limit=1, ttl_seconds=TTL, brokers=["oanda"])
        rest = await rig.journal.claim(OWNER, limit=10, ttl_seconds=TTL, brokers=["oanda", "mt5"])

        assert [claim.lease.broker for claim in one] == ["oanda"]
        assert sorted(claim.lease.broker for claim in rest) == ["mt5", "oanda"]

    with_rig(check)


def test_a_claim_that_names_accounts_takes_no_other(with_rig):
    """What `tradesentry live` claims. Seen to fail: without the names the first wanted account was taken."""

    async def check(rig):
        links = [rig.link() for _ in range(3)]
        wanted = max(links)

        claims = await rig.journal.claim(OWNER, limit=10, ttl_seconds=TTL, accounts=[wanted])
        none = await rig.journal.claim(OWNER, limit=10, ttl_seconds=TTL, accounts=[])

        assert [claim.lease.account_id for claim in claims] == [wanted]
        assert none == []

    with_rig(check)


def test_an_expired_lease_is_taken_over_after_a_wait_and_the_old_owner_writes_nothing(with_rig):
    async def check(rig):
        old = await rig.claimed(ttl_seconds=0.0)

        new = await rig.claimed(old.lease.account_id, owner="host:1")

        assert new.lease.epoch == old.lease.epoch + 1
        assert new.old_owner == OWNER
        assert 0.0 < new.wait_seconds(5.0) <= 5.0
        for transaction in (rig.journal.effect(old.lease), rig.journal.fenced(old.lease)):
            with pytest.raises(LeaseLost, match=r"Close its connections, forget its state, and claim again"):
                async with transaction:
                    pytest.fail("a stale owner got in")
        assert await rig.journal.renew(OWNER, [old.lease], ttl_seconds=TTL) == set()
        assert not await rig.journal.release(old.lease)

    with_rig(check)


def test_an_owner_whose_time_ran_out_writes_nothing_even_when_nobody_took_over(with_rig):
    async def check(rig):
        claim = await rig.claimed(ttl_seconds=0.0)

        with pytest.raises(LeaseLost):
            async with rig.journal.effect(claim.lease):
                pytest.fail("an expired owner got in")

        assert await rig.journal.renew(OWNER, [claim.lease], ttl_seconds=TTL) == {claim.lease.account_id}
        async with rig.journal.effect(claim.lease) as transaction:
            assert transaction.seq == 1

    with_rig(check)


def test_a_released_account_is_free_at_once_and_needs_no_wait(with_rig):
    async def check(rig):
        claim = await rig.claimed()

        assert await rig.journal.release(claim.lease)
        again = await rig.claimed(claim.lease.account_id, owner="host:1")

        assert again.lease.epoch == 2
        assert again.wait_seconds(5.0) == 0.0

    with_rig(check)


def test_the_same_slot_reclaims_its_accounts_without_a_wait(with_rig):
    async def check(rig):
        claim = await rig.claimed()

        others = await rig.journal.claim(OWNER, limit=10, ttl_seconds=TTL)
        again = await rig.journal.claim(OWNER, limit=10, ttl_seconds=TTL, reclaim=True)

        assert others == []
        assert [(row.lease.account_id, row.lease.epoch) for row in again] == [(claim.lease.account_id, 2)]
        assert again[0].wait_seconds(5.0) == 0.0

    with_rig(check)


def test_numbers_of_orders_go_on_under_the_next_owner(with_rig):
    async def check(rig):
        claim = await rig.claimed()
        ids = []
        for _ in range(2):
            async with rig.journal.effect(claim.lease) as transaction:
                ids.append(await transaction.add_intent(intent(claim.lease), risk={}))
        await rig.journal.release(claim.lease)

        again = await rig.claimed(claim.lease.account_id, owner="host:1")
        async with rig.journal.effect(again.lease) as transaction:
            ids.append(await transaction.add_intent(intent(again.lease), risk={}))

        assert again.seq == 2
        assert len(set(ids)) == 3

    with_rig(check)


def test_a_renewal_names_each_account_that_is_still_ours(with_rig):
    async def check(rig):
        mine = [(await rig.claimed(rig.link())).lease for _ in range(3)]
        stale = Lease(**{**{name: getattr(mine[0], name) for name in Lease.__slots__}, "epoch": 99})

        renewed = await rig.journal.renew(OWNER, [stale, *mine[1:]], ttl_seconds=TTL)

        assert renewed == {lease.account_id for lease in mine[1:]}

    with_rig(check)


STEPS = st.lists(
    st.tuples(st.sampled_from(["claim", "reclaim", "renew", "release", "write"]), st.integers(0, 2), st.booleans()),
    max_size=30,
)


@given(steps=STEPS)
def test_no_schedule_gives_an_account_two_effective_owners(steps):
    """Owners claim, renew, pause, expire and write late; only who holds the newest epoch ever gets in.

    Guards: a fence that looks at the owner's name but not at the epoch lets a reclaimed slot's old process write.
    """

    async def check():
        async with memory_rig(None) as rig:
            account_id = rig.link()
            newest = 0
            held: list[tuple[str, Lease]] = []
            for action, slot, is_long in steps:
                owner, ttl = f"host:{slot}", TTL if is_long else 0.0
                if action in {"claim", "reclaim"}:
                    claims = await rig.journal.claim(owner, limit=1, ttl_seconds=ttl, reclaim=action == "reclaim")
                    for claim in claims:
                        assert claim.lease.epoch == newest + 1
                        newest = claim.lease.epoch
                        held.append((owner, claim.lease))
                elif action == "renew":
                    mine = [lease for name, lease in held if name == owner]
                    renewed = await rig.journal.renew(owner, mine, ttl_seconds=ttl)
                    assert not renewed or any(lease.epoch == newest for lease in mine)
                elif action == "release" and held:
                    assert await rig.journal.release(held[-1][1]) in {True, False}
                writers = []
                for _, lease in held:
                    try:
                        async with rig.journal.fenced(lease):
                            writers.append(lease.epoch)
                    except LeaseLost:
                        continue
                assert set(writers) <= {newest}
            assert account_id

    asyncio.run(check())


def test_a_lease_of_an_unknown_account_writes_nothing_in_postgres(database):
    async def check():
        async with RIGS["postgres"](database) as rig:
            lease = (await rig.claimed()).lease
            foreign = Lease(uuid.uuid4(), lease.user_id, lease.owner, lease.epoch, 1, "paper", "paper")
            with pytest.raises(LeaseLost):
                async with rig.journal.effect(foreign):
                    pytest.fail("an unknown account was written to")

    asyncio.run(check())
