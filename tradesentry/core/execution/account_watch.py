"""Look after an account's money: read it as of the book's own newest event, judge it, store and obey what follows.

Separate from recovery, which asks the same questions before it lets an account go. A judgment is stored before it takes
effect, and only if nobody stored another state since it was made.
"""

from dataclasses import replace
from decimal import Decimal
from typing import Final

from tradesentry.core.broker.base_broker import BaseBroker
from tradesentry.core.domain.clock import NS_PER_SECOND, Clock
from tradesentry.core.domain.errors import (
    AccountMismatch,
    BrokerAuthError,
    BrokerError,
    JournalUnavailable,
    LeaseLost,
    ReconciliationFailed,
)
from tradesentry.core.domain.live_orders import Effect, OrderStatus
from tradesentry.core.domain.money import ZERO
from tradesentry.core.domain.venue import AccountState
from tradesentry.core.execution.account_limits import AccountLimits, Judgment, causes_of, clears_entries, settled_state
from tradesentry.core.execution.journal_rows import AccountRecord, EquityRecord, LiveState
from tradesentry.core.execution.order_manager import OrderManager

FINAL: Final = (AccountMismatch, BrokerAuthError, LeaseLost)
"""Errors that no repetition heals."""
_READINGS: Final = 5
_ROW_SECONDS: Final = 60
"""An account that does not change leaves a row of its marks, and an equity point, that often."""
_RISE: Final = Decimal("0.001")
"""A new highest equity is stored at once when it is that much higher, fraction."""


class AccountWatch:
    """The money of one account.

    Args:
        broker: The venue.
        orders: The account's orders.
        clock: Time.
        limits: What the account may lose.
    """

    def __init__(self, broker: BaseBroker, orders: OrderManager, clock: Clock, limits: AccountLimits) -> None:
        self._broker, self._orders, self._clock, self._limits = broker, orders, clock, limits
        self._store, self._gates = orders.store, orders.gates
        self._has_told_hole = False

    async def read(self) -> AccountState | None:
        """Return the account's money as of the book's own newest event; None when it cannot be read so.

        A reading that contains a payment which the book has not heard of would look like a profit. The newest number
        that the venue has given out comes with it, so this also finds events that no stream told of.

        Raises:
            BrokerError: The venue could not be read, or does not show its events completely.
        """
        book, watch = self._store.book, self._gates.watch
        for _ in range(_READINGS):
            reading = await self._broker.get_balance()
            is_behind = reading.last_seq > book.cursor
            watch.note_hole(is_open=is_behind, now_ns=self._clock.now_ns(), found_by="newest")
            if is_behind or book.has_hole or reading.log_id != book.log_id:
                await self._orders.catch_up()
            if reading.last_seq <= book.cursor and not book.has_hole:
                watch.note_hole(is_open=False, now_ns=self._clock.now_ns(), found_by="newest")
            if reading.last_seq == book.cursor and not book.has_hole:
                return reading
        return None

    async def look(self) -> LiveState:
        """Judge the account by a fresh reading, store what follows and act on it; return the state.

        Raises:
            JournalUnavailable: The judgment could not be stored.
            ReconciliationFailed: The venue numbers its events anew; recover.
        """
        reading: AccountState | None = None
        failure: BrokerError | None = None
        try:
            reading = await self.read()
        except (*FINAL, JournalUnavailable, ReconciliationFailed):
            raise
        except BrokerError as error:
            failure = error
        if reading is not None:
            self._orders.note_account(reading)
        before = self._store.record
        if before is not None:
            judgment = self._limits.judge(before, reading, flows=before.flows)
            if judgment is not None and (judgment.new_causes or judgment.warning or self._is_news(before, judgment)):
                await self.settle(judgment, reading, before=before)
        await self._tell_of_hole()
        if failure is not None:
            raise failure
        await self.obey()
        return self._store.state

    def judge(self, record: AccountRecord | None, reading: AccountState) -> Judgment:
        """Return the judgment of a reading.

        Raises:
            ReconciliationFailed: Its numbers are none.
        """
        self._orders.note_account(reading)
        judgment = self._limits.judge(record, reading, flows=record.flows if record is not None else ZERO)
        if judgment is None:
            raise ReconciliationFailed(f"The venue says that the equity is {reading.equity}; no limit can be judged.")
        return judgment

    async def settle(self, judgment: Judgment, reading: AccountState | None, *, before: AccountRecord | None) -> bool:
        """Store a judgment before it takes effect, then act on it.

        Args:
            judgment: What to store.
            reading: Where it comes from; None: no equity point is stored.
            before: The record that was judged.

        Returns:
            False when the record is no longer the one judged: somebody stored another state meanwhile; judge again.
        """
        record = judgment.record
        async with self._store.writing() as writing:
            if self._store.record is not before:
                return False
            await writing.transaction.put_account(record)
            if reading is not None:
                point = EquityRecord(record.as_of_ns, reading.balance, reading.equity, reading.margin_used)
                await writing.transaction.add_equity(point)
            if judgment.warning:
                writing.alert("drawdown_warning", judgment.warning)
            for code in judgment.new_causes:
                text = f"The account is {settled_state(record).value}: {causes_of(record.reason)[code]}."
                writing.alert(code, f"{text} See docs/runbooks/kill_switch.md.")
        self._store.record = record
        await self.obey()
        return True

    async def obey(self) -> None:
        """Do what the stored state asks for, as often as it takes: a process may die between the state and its effect.

        Resting entries are taken back after a loss and in HALTED; after a deep drawdown trades are closed where that is
        set. All of it names absolute targets, so asking again does no harm.
        """
        record, book = self._store.record, self._store.book
        if record is None or record.state is LiveState.RECONCILING or self._store.is_away:
            return
        rests = (OrderStatus.ACCEPTED, OrderStatus.PARTLY_FILLED)
        entries = (
            order for order in book.open_orders.values() if order.effect is Effect.OPEN and order.seq is not None
        )
        if clears_entries(record) and any(order.status in rests for order in entries):
            await self._orders.cancel_entries(record.reason)
        is_deep = record.state is LiveState.HALTED and "drawdown_halt" in causes_of(record.reason)
        ours = any(trade.seq is not None for trade in book.trades.values())
        if is_deep and ours and self._limits.settings.flatten_on_halt:
            await self._orders.flatten(record.reason)

    async def _tell_of_hole(self) -> None:
        """Alert once about a hole in the events that has become old enough to block entries."""
        age, bound = self._gates.watch.hole_seconds(self._clock.now_ns()), self._gates.settings.max_hole_seconds
        is_old, was_old = age > bound, self._has_told_hole
        self._has_told_hole = is_old
        if is_old and not was_old:
            text = f"Events after number {self._store.book.cursor} have been missing for {age:.0f} s. Nothing is opened"
            await self._store.announce("event_hole", f"{text} until the venue shows them; look whether it answers.")

    @staticmethod
    def _is_news(before: AccountRecord, judgment: Judgment) -> bool:
        """Say whether a judgment is worth a row: a change, or a minute since the last one."""
        record = judgment.record
        same = replace(record, as_of_ns=before.as_of_ns, equity=before.equity, high_water_mark=before.high_water_mark)
        rise = record.high_water_mark - before.high_water_mark
        age = record.as_of_ns - before.as_of_ns
        return same != before or rise > _RISE * abs(before.equity) or age >= _ROW_SECONDS * NS_PER_SECOND
