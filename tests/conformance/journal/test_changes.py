"""Every journal: what follows from a change of orders and trades is stored in one go."""

from decimal import Decimal

import pytest

from tests.conformance.journal.rigs import intent
from tradesentry.core.domain.live_orders import Effect, OrderStatus
from tradesentry.core.domain.orders import Side
from tradesentry.core.execution.journal import OrderRecord, PositionRecord, Reservation, Transition

SENDING = Transition(OrderStatus.NEW, OrderStatus.SENDING, "released")


@pytest.mark.parametrize("n", [1, 3])
def test_what_follows_from_a_change_is_stored_together(with_rig, n):
    """Steps, orders, trades and headroom given back; one of each, as most often, and several.

    Seen to fail: with statements whose values kept their own numbers the database refused what it was given.
    """

    async def check(rig, lease):
        async with rig.journal.effect(lease) as transaction:
            for seq in range(1, n + 1):
                if seq > 1:
                    await transaction.allocate()
                await transaction.add_intent(intent(lease), risk={})
                await transaction.reserve(Reservation(lease.account_id, seq, "EURUSD", {}, Decimal(10)))
            ids = [f"ts1-{seq}" for seq in range(1, n + 1)]
            rejected = Transition(OrderStatus.SENDING, OrderStatus.REJECTED, "r", "reply")
            orders = [
                OrderRecord(key, seq, "EURUSD", Side.BUY, Effect.OPEN, OrderStatus.REJECTED, Decimal(1000))
                for seq, key in enumerate(ids, 1)
            ]
            trades = [
                PositionRecord(f"t{seq}", seq, "EURUSD", Side.BUY, Decimal(1000), 1.1, 1.09, None, Decimal(10), seq, 1)
                for seq in range(1, n + 1)
            ]
            await transaction.put_changes(
                [(seq, step) for seq in range(1, n + 1) for step in (SENDING, rejected)],
                orders=orders, positions=trades, released=range(1, n + 1),
            )  # fmt: skip
            await transaction.put_changes([], orders=[], positions=[], released=[])
            held = await transaction.lock_book()
            numbers = [await transaction.add_transition(seq, rejected) for seq in range(1, n + 1)]

        stored = await rig.journal.read_files(lease, ids, [trade.trade_ref for trade in trades])

        assert list(held) == []
        assert numbers == [4] * n
        assert stored == (orders, trades)

    with_rig(check)
