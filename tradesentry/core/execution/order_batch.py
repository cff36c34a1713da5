"""A batch of wishes under way: the headroom it has seen and taken, and the requests it has stored.

Separate from what is written (`order_submission` for entries, `order_changes` for the rest), so that a retry writes its
request the same way.
"""

from dataclasses import dataclass, field, replace
from uuid import UUID

from tradesentry.core.broker.base_broker import Outcome
from tradesentry.core.domain.events import OrderTerms
from tradesentry.core.domain.live_account import Enter
from tradesentry.core.domain.live_orders import Effect
from tradesentry.core.domain.money import ZERO
from tradesentry.core.execution.journal_rows import AttemptKind, Reservation
from tradesentry.core.execution.live_exposure import AccountShare, Exposure
from tradesentry.core.execution.live_gates import Author
from tradesentry.core.execution.order_desk import OrderDesk
from tradesentry.core.execution.order_requests import Command, Sent
from tradesentry.core.execution.order_sending import Job
from tradesentry.core.execution.order_store import Writing
from tradesentry.core.execution.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Prepared:
    """A wish that was committed: what became of it so far, and what is to be sent."""

    sent: Sent
    job: Job | None = None

    def with_outcome(self, outcome: Outcome | None) -> Sent:
        """Return the result with the outcome of the first attempt."""
        return replace(self.sent, outcome=outcome)


@dataclass(slots=True)
class Batch:
    """Wishes of one author that are committed together.

    Args:
        desk: Of the account.
        run: Whose wishes; None: a person's or the platform's own.
        bar_close_ns: The bar that decided them; 0: none.
        author: Who wants them.
    """

    desk: OrderDesk
    run: UUID | None = None
    bar_close_ns: int = 0
    author: Author = "strategy"
    asked: list[tuple[str, int]] = field(default_factory=list)
    """Requests of this batch by order and attempt."""
    withdrawn: frozenset[int] = frozenset()
    """Orders that this batch takes back: nothing else is asked of them."""
    _reserved: list[Reservation] = field(default_factory=list)
    _others: tuple[AccountShare, ...] = ()

    async def lock_book(self, writing: Writing, *, without: int | None = None) -> None:
        """Lock the book and read what it holds, leaving out the order of ours that is asked for again."""
        mine = (self.desk.lease.account_id, without)
        rows = await writing.transaction.lock_book()
        self._reserved = [row for row in rows if (row.account_id, row.seq) != mine]
        self._others = await self.desk.entry_gates.other_shares(writing.transaction, self._reserved)

    async def reserve(self, writing: Writing, seq: int, symbol: str, exposure: Exposure) -> None:
        """Take headroom, so that the next entry of the batch and the next agent see it taken."""
        row = Reservation(self.desk.lease.account_id, seq, symbol, exposure.legs, max(ZERO, exposure.risk))
        await writing.transaction.reserve(row)
        self._reserved.append(row)

    def vet_book(self, wish: Enter) -> tuple[Verdict, Exposure]:
        """Return the book's verdict on an entry that is asked for again; lock the book first."""
        return self.desk.entry_gates.vet_book(wish, self.run, self._reserved, self._others)

    async def ask(
        self,
        writing: Writing,
        seq: int,
        key: str | None,
        kind: AttemptKind,
        command: Command,
        symbol: str,
        *,
        effect: Effect,
        terms: OrderTerms | None = None,
    ) -> Job:
        """Store one request and return the job that sends it. Arguments as `Writing.ask` and `Job`."""
        committed_at = self.desk.sender.committed_at()
        attempt = await writing.ask(seq, key, kind, command, terms=terms)
        if key is not None:
            self.asked.append((key, attempt))
        self.desk.store.sent_ns[seq, attempt] = self.desk.clock.now_ns()
        return Job(seq, key, attempt, kind, command, symbol, effect, committed_at)
