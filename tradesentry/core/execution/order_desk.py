"""What the parts of the order manager share: the account's broker, store, gates and sender, and its background work.

No decision is made here. Background work is what follows from an outcome or a fill and must not hold up whoever caused
it: retries, groups, first stops. Its errors end it; those of the journal, the lease and the venue have been told
already, and recovery takes up what was left.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from tradesentry.core.broker.base_broker import BaseBroker
from tradesentry.core.domain.clock import NS_PER_SECOND, Clock
from tradesentry.core.domain.errors import BrokerError
from tradesentry.core.domain.live_account import LiveTrade, Wish
from tradesentry.core.execution.account_book import AccountBook
from tradesentry.core.execution.journal_rows import Lease, LiveState
from tradesentry.core.execution.lease import MAX_SEND_SECONDS
from tradesentry.core.execution.live_gates import LiveGates
from tradesentry.core.execution.order_gates import EntryGates
from tradesentry.core.execution.order_requests import OrderSettings, Sent
from tradesentry.core.execution.order_sending import OrderSender
from tradesentry.core.execution.order_store import AlertSink, OrderStore


@dataclass(slots=True)
class OrderDesk:
    """The parts of one account's order manager."""

    broker: BaseBroker
    lease: Lease
    clock: Clock
    settings: OrderSettings
    gates: LiveGates
    entry_gates: EntryGates
    store: OrderStore
    alert: AlertSink
    sender: OrderSender = field(init=False)
    set_state: Callable[[LiveState, str], Coroutine[Any, Any, None]] = field(init=False)
    """Stores a trading state before it takes effect."""
    act: Callable[[Sequence[Wish]], Coroutine[Any, Any, list[Sent]]] = field(init=False)
    """Carries out what protects the account, whatever the strategies do."""
    changed_ns: dict[str, int] = field(default_factory=dict)
    """When the terms of `order SEQ` or `trade REF` were last asked to change."""
    _unsettled: dict[str, float] = field(default_factory=dict)
    """Until when a request to move a trade's stop may still be executed by the venue, monotonic seconds."""
    _started: tuple[float, int] = field(init=False)
    """Monotonic and wall time at which this owner began."""
    _exits: dict[str, list[int]] = field(default_factory=dict)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._started = (self.clock.monotonic(), self.clock.now_ns())

    @property
    def book(self) -> AccountBook:
        """The account from inside."""
        return self.store.book

    def seconds_since(self, ts_ns: int) -> float:
        """Return how long ago an instant was, by the wall clock."""
        return (self.clock.now_ns() - ts_ns) / NS_PER_SECOND

    def note_protection(self, trade_ref: str, *, is_open: bool, is_known: bool) -> None:
        """Remember whether a request to move a trade's stop may still be executed.

        Args:
            trade_ref: The trade.
            is_open: Whether it has no outcome yet.
            is_known: Whether its outcome is definite.
        """
        if is_known:
            self._unsettled.pop(trade_ref, None)
            return
        most = MAX_SEND_SECONDS if is_open else 0.0
        self._unsettled[trade_ref] = self.clock.monotonic() + most + self.broker.capabilities.absence_horizon_seconds

    def unsettled_seconds(self, trade: LiveTrade) -> float:
        """Return how long an earlier request may still move a trade's stop: a late one would loosen a newer stop.

        What an earlier owner asked for is not known here, so a trade that was open before waits for one horizon.
        """
        began, began_ns = self._started
        until = self._unsettled.get(trade.trade_ref, 0.0)
        if trade.entry_ts_ns < began_ns:
            until = max(until, began + self.broker.capabilities.absence_horizon_seconds)
        return max(0.0, until - self.clock.monotonic())

    def note_exit(self, trade_ref: str) -> None:
        """Count an attempt to close a trade."""
        self._exits.setdefault(trade_ref, []).append(self.clock.now_ns())

    def n_exits(self, trade_ref: str) -> int:
        """Return the attempts to close a trade within the window."""
        recent = [at for at in self._exits.get(trade_ref, ())
                  if self.seconds_since(at) < self.settings.exit_window_seconds]  # fmt: skip
        self._exits[trade_ref] = recent
        return len(recent)

    def spawn(self, name: str, work: Coroutine[Any, Any, object]) -> None:
        """Do something in the background."""
        task = asyncio.create_task(self._guarded(name, work), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, name: str, work: Coroutine[Any, Any, object]) -> None:
        try:
            await work
        except BrokerError:
            return
        except Exception as error:
            self.alert("order_work_failed", f"{name} ended with {type(error).__name__}: {error}. Look at the account.")
            raise

    async def settle(self) -> None:
        """Wait until nothing is sent and nothing is done in the background."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))
        await self.sender.drain()

    async def close(self) -> None:
        """Wait for commands under way, and give up what waits for a later time."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.sender.drain()
