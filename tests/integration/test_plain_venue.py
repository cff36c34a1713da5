"""A venue without exits of its own: the orchestrator's watcher moves the stops and takes the partial targets.

The paper venue is told not to run exits, so whatever happens to a stop there was asked for by us.
"""

import asyncio
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from uuid import UUID

from tests.support.live_rig import back_test, entries_of, paper_venue, start
from tradesentry.backtest.resolve import RunSettings, resolve_run
from tradesentry.core.broker.paper import PaperBroker
from tradesentry.core.execution.journal import MemoryJournal
from tradesentry.core.strategy.live_memory import LiveRunSpec

HOUR_NS = 3_600_000_000_000
CONFIG = {"symbols": ["EURUSD", "USDJPY"], "be": True, "weekend_lead": 30}


class PlainBroker(PaperBroker):
    """A venue that knows stops and targets and nothing else."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.capabilities = replace(self.capabilities, native_exits=False)

    async def place_order(self, order):
        return await super().place_order(replace(order, ticket=""))


def resolved(period):
    return resolve_run(
        "breakout", config=CONFIG, settings=RunSettings(source="synthetic", from_=period[0], to=period[1])
    )


def fx_week(ts_ns):
    """Number the weeks from Sunday 22:00 UTC, which is 17:00 New York in winter."""
    return ((ts_ns + 2 * HOUR_NS) // (24 * HOUR_NS) + 4) // 7


async def traded(run, *, restart_every):
    """Replay a run at a plain venue, in a new process after every so many bars; return the venue."""
    spec = LiveRunSpec(UUID(int=1), run.strategy, run.config)
    venue = paper_venue(run, spec)
    for book in venue.memory.books:
        book.rules["weekend_flatten"] = False
    journal = MemoryJournal(lambda: 0)
    journal.link()
    is_over, n = False, 0
    while not is_over:
        (claim,) = await journal.claim("host:1", limit=1, ttl_seconds=3_600.0, reclaim=True)
        rig = await start(run, spec, venue, journal, claim, broker=PlainBroker)
        is_over = True
        async for instant in rig.feed.instants():
            await rig.portfolio.play(instant)
            n += 1
            if n % restart_every == 0:
                is_over = False
                break
        await rig.orders.drain()
        await rig.orders.close()
    return venue


def test_stops_only_tighten_break_even_and_half_at_1_r_are_taken_and_no_week_end_is_held():
    """Seen to fail: without the watcher no stop moves."""
    run = resolved(("2018-01-08", "2018-02-10"))

    venue = asyncio.run(traded(run, restart_every=60))

    log = venue.transactions
    stops = defaultdict(list)
    for row in log:
        if row["kind"] == "protection" and row["which"] == "stop_loss" and row["price"] is not None:
            stops[row["trade_id"]].append(row["price"])
    sides = {row["trade_id"]: row["side"] for row in log if row["kind"] == "order_filled" and row["effect"] == "open"}
    moved = {trade: prices for trade, prices in stops.items() if len(prices) > 1}
    assert moved
    for trade, prices in stops.items():
        assert all(sides[trade] * (after - before) > 0 for before, after in pairwise(prices))
    exits = defaultdict(int)
    for row in log:
        if row["kind"] == "order_filled" and row["effect"] == "reduce":
            exits[row["trade_id"]] += 1
    assert max(exits.values()) == 2
    assert entries_of(venue)[0] == back_test(run).entries[0]
    weeks = defaultdict(set)
    for row in log:
        if row["kind"] == "order_filled":
            weeks[row["trade_id"]].add(fx_week(row["ts_ns"]))
    assert all(len(found) == 1 for found in weeks.values())
