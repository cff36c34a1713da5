"""M0, the trader that everybody writes first: it retries on a timeout and records after success.

Not a patch of ours but the other design, so that the soak is seen to tell the two apart. It holds the lease, writes the
same tables and uses the same adapter.
"""

import asyncio
import random
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING

from tests.acceptance.soak.brokers import broker_of
from tests.acceptance.soak.venue import LEVELS, SYMBOLS
from tradesentry.core.broker.base_broker import Accepted, OrderRequest, Unknown
from tradesentry.core.domain.errors import BrokerError, JournalUnavailable
from tradesentry.core.domain.live_orders import OrderIntent, OrderStatus, client_order_id
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.execution.journal import AttemptKind, Claim, OrderRecord, Transition
from tradesentry.core.execution.lease import SelfFence

if TYPE_CHECKING:
    from tests.acceptance.soak.agent import Life


class NaiveSession:
    """Sends an entry every bar."""

    n_tries = 3

    def __init__(self, life: "Life", claim: Claim, fence: SelfFence) -> None:
        self._life, self._lease, self._next = life, claim.lease, claim.seq
        self._broker = broker_of(life.given, claim.lease.account_id, life.clock)

    async def run(self) -> None:
        """Send, retry, record."""
        rng = random.Random(f"{self._life.given.sender}{self._lease.epoch}")
        with suppress(BrokerError):
            await self._broker.connect()
        self._life.log.write("active", self._lease.account_id)
        while True:
            await asyncio.sleep(self._life.given.soak.times.bar)
            self._next += 1
            symbol = rng.choice(SYMBOLS)
            stop = round(LEVELS[symbol] * 0.99, 5)
            client = client_order_id(self._lease.instance, self._next)
            asked = OrderRequest(client, symbol, Side.BUY, Decimal(1_000), OrderType.MARKET, stop)
            for _ in range(self.n_tries):
                outcome = await self._broker.place_order(asked)
                if not isinstance(outcome, Unknown):
                    break
            if isinstance(outcome, Accepted):
                with suppress(JournalUnavailable):
                    await self._record(asked, outcome)

    async def _record(self, asked: OrderRequest, outcome: Accepted) -> None:
        account = str(self._lease.account_id)
        intent = OrderIntent(account, 0, asked.symbol, asked.side, asked.units, stop_loss=asked.stop_loss)
        async with self._life.journal.effect(self._lease) as transaction:
            client = await transaction.add_intent(intent, risk={})
            await transaction.add_attempt(transaction.seq, AttemptKind.PLACE, {"units": str(asked.units)})
            await transaction.add_transition(
                transaction.seq, Transition(OrderStatus.NEW, OrderStatus.FILLED, "recorded")
            )
            venue_ids = (outcome.order.venue_order_id,) if outcome.order else ()
            await transaction.put_order(
                OrderRecord(client, transaction.seq, asked.symbol, asked.side, intent.effect, OrderStatus.FILLED,
                            asked.units, asked.units, venue_order_ids=venue_ids)
            )  # fmt: skip
            await transaction.add_events(outcome.events)
            await transaction.add_fills([f for e in outcome.events for f in self._broker.facts(e).fills])

    async def stop(self) -> None:
        """Leave."""
        await self._broker.close()


class HastySession(NaiveSession):
    """M2: sends once, but journals only when it knows what became of it."""

    n_tries = 1
