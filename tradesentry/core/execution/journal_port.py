"""The port of the journal: what execution may ask of it, whatever stores it.

All writes happen inside a transaction that first proves the lease: `effect` also allocates the number of a new order,
`fenced` does not. Leaving the block commits; an error inside it leaves nothing behind. Implementations:
`MemoryJournal` here, PostgreSQL in `database.repositories.journal`. One suite runs over both.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol
from uuid import UUID

from tradesentry.core.domain.events import BrokerEvent, Fill
from tradesentry.core.domain.live_orders import OrderIntent
from tradesentry.core.execution.journal_rows import (
    AccountJournal,
    AccountRecord,
    AttemptKind,
    BookAccount,
    Claim,
    Durability,
    EquityRecord,
    Lease,
    OrderRecord,
    PositionRecord,
    Reservation,
    SavedState,
    StoredIntent,
    Transition,
)

COMMIT_SECONDS: Final = 2.0
"""Without a confirmed commit after that long nothing is sent (J2)."""


class JournalTransaction(Protocol):
    """Writes that become facts together. The lease row is locked first, then the book, then the rest."""

    @property
    def lease(self) -> Lease:
        """Whose transaction this is."""

    @property
    def seq(self) -> int:
        """The newest number allocated by `effect` and `allocate`; in `fenced` the last one given."""

    @property
    def client_order_id(self) -> str:
        """The id of the order `seq`."""

    async def allocate(self) -> str:
        """Take the number after `seq` for a further order of this transaction; return its client order id."""

    async def raise_seq(self, least: int) -> None:
        """Let the next order's number be above `least`, because the venue knows numbers that the journal does not."""

    async def lock_book(self) -> Sequence[Reservation]:
        """Lock the exposure book of the user and environment; return its open reservations, all accounts."""

    async def read_book(self) -> Sequence[BookAccount]:
        """Return the other accounts of the book; call `lock_book` first."""

    async def add_intent(self, intent: OrderIntent, *, risk: Mapping[str, Any]) -> str:
        """Store an intent with its first transition, to NEW; return its client order id.

        Raises:
            UsageError: That run decided that bar and index before (`duplicate_decision`).
        """

    async def add_attempt(self, seq: int, kind: AttemptKind, request: Mapping[str, Any]) -> int:
        """Store a request about to be sent; return its number, from 1.

        Raises:
            UsageError: A placement while the order is not NEW (`already_sent`): it may have reached the venue.
        """

    async def add_transition(self, seq: int, transition: Transition) -> int:
        """Store a step of an order; return its number, from 1."""

    async def add_events(self, events: Sequence[BrokerEvent]) -> list[BrokerEvent]:
        """Store what the venue said, ignoring what is known; return the new ones in the order given."""

    async def advance_cursor(self, log_id: str, *, start: int = 0) -> int:
        """Move the cursor over contiguous events and return it; `start` is where a new log begins."""

    async def add_fills(self, fills: Sequence[Fill]) -> list[Fill]:
        """Store fills, ignoring known ones; return the new ones."""

    async def put_order(self, order: OrderRecord) -> None:
        """Store what an order is now."""

    async def put_position(self, position: PositionRecord) -> None:
        """Store what a trade is now."""

    async def put_changes(
        self,
        steps: Sequence[tuple[int, Transition]],
        *,
        orders: Sequence[OrderRecord],
        positions: Sequence[PositionRecord],
        released: Sequence[int],
    ) -> None:
        """Store what follows from a change together: steps of orders (seq, step) in the order given, what orders and
        trades are now, and whose headroom is given back."""

    async def reserve(self, reservation: Reservation) -> None:
        """Take headroom for an intent, anew when it was given back."""

    async def release_reservation(self, seq: int) -> None:
        """Give the headroom of a terminal intent back; twice is no error."""

    async def put_account(self, account: AccountRecord) -> None:
        """Store trading state and marks, with a row of history."""

    async def save_state(self, state: SavedState) -> None:
        """Store a strategy's memory."""

    async def add_equity(self, point: EquityRecord) -> None:
        """Store an equity point, ignoring a known instant."""

    async def announce(
        self, topic: str, subject: str, payload: Mapping[str, Any], *, dedupe_key: str | None = None
    ) -> None:
        """Put an event or alert into the outbox."""


class Journal(Protocol):
    """Leases, transactions and reads of all accounts. Any method may raise `JournalUnavailable`."""

    async def claim(
        self,
        owner: str,
        *,
        limit: int,
        ttl_seconds: float,
        reclaim: bool = False,
        brokers: Sequence[str] | None = None,
        accounts: Sequence[UUID] | None = None,
    ) -> list[Claim]:
        """Take accounts that are wanted and free, of these brokers and among these where named.

        `reclaim` also takes those of a dead process of the same slot.
        """

    async def renew(self, owner: str, leases: Sequence[Lease], *, ttl_seconds: float) -> set[UUID]:
        """Prolong leases; an account that is missing from the answer is lost."""

    async def release(self, lease: Lease) -> bool:
        """Give an account back cleanly; False when it was not ours any more."""

    def turn(self, lease: Lease) -> AbstractAsyncContextManager[None]:
        """Wait until no other account of this process is about to lock the book of the lease's user.

        Taken before the transaction begins: accounts of one user decide on the same bar, and one that waits for the
        lock itself would hold its lease and a connection meanwhile.
        """

    def effect(self, lease: Lease) -> AbstractAsyncContextManager[JournalTransaction]:
        """Begin a transaction that may place an order: durable, and a number is allocated.

        Raises:
            LeaseLost: The epoch is not the newest, or the lease ran out.
            JournalUnavailable: No commit was confirmed within 2 s; it may or may not have happened.
        """

    def fenced(self, lease: Lease, *, is_durable: bool = True) -> AbstractAsyncContextManager[JournalTransaction]:
        """Begin a transaction that places nothing; `is_durable=False` for what the venue can repeat.

        Raises:
            LeaseLost: The epoch is not the newest, or the lease ran out.
            JournalUnavailable: No commit was confirmed within 2 s.
        """

    async def read_account(self, lease: Lease) -> AccountJournal:
        """Return all that recovery starts from."""

    async def read_intent(self, lease: Lease, client_order_id: str) -> StoredIntent | None:
        """Return an intent: how a commit whose confirmation was lost is read back."""

    async def read_files(
        self, lease: Lease, order_keys: Sequence[str], trade_refs: Sequence[str]
    ) -> tuple[list[OrderRecord], list[PositionRecord]]:
        """Return orders and trades by their keys, open or not; those never stored are missing."""

    async def read_events(self, lease: Lease, log_id: str, *, after: int, limit: int) -> list[BrokerEvent]:
        """Return events with a higher number, in order."""

    async def read_fills(self, lease: Lease) -> list[Fill]:
        """Return all fills of an account, oldest first."""

    async def read_state(self, lease: Lease, run_id: UUID, market: str) -> SavedState | None:
        """Return a strategy's saved memory."""

    async def durability(self) -> Durability:
        """Return whether a confirmed commit survives a crash."""
