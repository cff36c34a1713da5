"""An order that was filled beyond its size blocks its instrument until a person has looked, whoever is the owner."""

import re
from dataclasses import replace

from tests.support.order_rigs import enter, order_rig, play
from tradesentry.core.domain.live_orders import Evidence
from tradesentry.core.execution.live_gates import LiveGates
from tradesentry.core.execution.order_manager import OrderManager


async def fill_beyond(rig, *, units=4_000):
    """Let the venue tell of a second fill of the order, beyond its size."""
    await rig.submit(enter())
    event = next(e for e in rig.rows.events.values() if e.kind.value == "order_filled")
    more = {**event.payload, "units": str(units)}
    await rig.orders.ingest([replace(event, seq=rig.book.cursor + 1, payload=more)], evidence=Evidence.STREAM)


def test_the_block_of_an_over_fill_outlives_the_process_that_saw_it():
    """Seen to fail: with the block only where the fill was heard, the next owner traded on."""

    async def case():
        async with order_rig() as rig:
            await fill_beyond(rig)
            parts = (rig.broker, rig.journal, rig.lease, rig.fence, rig.clock)
            instruments = dict(rig.venue.instruments)
            later = OrderManager(*parts, instruments=instruments, gates=LiveGates(), alert=lambda code, text: None)
            await later.load()
            blocked = later.gates.watch.blocked
            await later.close()
            return blocked

    blocked = play(case())

    assert set(blocked) == {"EURUSD"}
    assert re.search(r"filled 14000(\.0)? of 10000", blocked["EURUSD"])


def test_what_a_person_has_freed_stays_free_when_the_journal_is_read_again():
    """Seen to fail: with every reading of the journal blocking anew."""

    async def case():
        async with order_rig() as rig:
            await fill_beyond(rig)
            rig.gates.watch.free_all(but="")
            await rig.orders.load()
            return rig.gates.watch.blocked

    assert play(case()) == {}
