"""How fast a live order goes out and comes back: a real journal in PostgreSQL, a fake OANDA that adds nothing (A10).

One account in a process of its own machine part: entries are submitted one after the other, as an orchestrator does on
a closed bar. `to_wire` is from the closed bar to the arrival of the request at the venue, gates and the commit of
intent and request included; `to_journal` from there until the outcome is journaled. `ingest` journals 10,000 events
that were missed. Times of both processes are of one clock.
"""

import asyncio
import json
import sys
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import tradesentry
from tests.acceptance.soak.agent import Life
from tests.acceptance.soak.evidence import read_venue
from tests.acceptance.soak.trader import TraderSession
from tests.support.live_hosts import LiveSite, quiet
from tradesentry.core.domain.live_account import Enter
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.execution.lease import SelfFence
from tradesentry.database.repositories.journal import PostgresJournal
from tradesentry.database.session import create_pool

N_ORDERS, N_WARM, N_EVENTS = 200, 20, 10_000
ACCOUNT = "001-001-1234567-001"


async def _trade(site: LiveSite) -> tuple[list[tuple[int, int]], float]:
    """Submit entries; return (bar closed, outcome journaled) of each, ns, and the seconds of the ingest."""
    given = replace(site._template, slot=9)
    pool = await create_pool(given.database_url, n_connections=6)
    life = Life(given, TraderSession)
    life.journal = PostgresJournal(pool)
    fence = SelfFence(life.clock.monotonic, ttl_seconds=600.0)
    fence.renewed(fence.ask())
    claim = (await life.journal.claim("bench", limit=1, ttl_seconds=600.0))[0]
    parts = TraderSession(life, claim, fence)._parts
    await parts.recovery.recover()
    spans = []
    for n in range(N_ORDERS + N_WARM):
        quote = await parts.broker.quote("EURUSD")
        parts.orders.note_quote(quote)
        side = Side.BUY if n % 2 else Side.SELL
        stop = round(quote.opening(side) - side * 0.004, 5)
        wish = Enter("EURUSD", side, Decimal(100), OrderType.MARKET, stop, risk=Decimal(1), number=n)
        closed_ns = time.time_ns()
        await parts.orders.submit([wish], run=None, bar_close_ns=0)
        spans.append((closed_ns, time.time_ns()))
        if n % 40 == 39:
            await parts.orders.flatten("bench")
        await asyncio.sleep(0.05)
    await parts.orders.flatten("bench")
    await parts.orders.catch_up()
    site.venue.tell("bulk", account=ACCOUNT, trades=0, events=N_EVENTS)
    began = time.perf_counter()
    await parts.orders.catch_up()
    seconds = time.perf_counter() - began
    await parts.broker.close()
    await pool.close()
    return spans, seconds


def main() -> None:
    """Print percentiles as one JSON line."""
    soak = quiet(ttl=600.0, currency_net=50.0, open_risk=0.5)
    with LiveSite(1, soak) as site:
        spans, seconds = asyncio.run(_trade(site))
        requests = [r for r in read_venue(site.folder / "venue.jsonl")[0][ACCOUNT].requests if r["method"] == "POST"]
    at = [r["at"] for r in requests][: len(spans)]
    to_wire = [(wire - closed) / 1e9 for wire, (closed, _) in zip(at, spans, strict=True)][N_WARM:]
    to_journal = [(done - wire) / 1e9 for wire, (_, done) in zip(at, spans, strict=True)][N_WARM:]
    answer = {
        "engine": "TradeSentry",
        "version": tradesentry.__version__,
        "bars": 1,
        "seconds": [float(np.percentile(to_wire, 50))],
        "figures": {
            "to_wire_p50_ms": 1e3 * float(np.percentile(to_wire, 50)),
            "to_wire_p99_ms": 1e3 * float(np.percentile(to_wire, 99)),
            "to_journal_p50_ms": 1e3 * float(np.percentile(to_journal, 50)),
            "to_journal_p99_ms": 1e3 * float(np.percentile(to_journal, 99)),
            "ingest_per_second": N_EVENTS / seconds,
        },
    }
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
