"""The journal: what was decided, sent, answered and filled, so that nothing is lost and nothing is sent twice.

The port and its values, and the implementation in memory for tests and for paper accounts without a database.
"""

from tradesentry.core.execution.journal_memory import MemoryJournal
from tradesentry.core.execution.journal_port import COMMIT_SECONDS, Journal, JournalTransaction
from tradesentry.core.execution.journal_rows import (
    LOCAL,
    AccountJournal,
    AccountRecord,
    Attempt,
    AttemptKind,
    BookAccount,
    Claim,
    Durability,
    EquityRecord,
    Lease,
    LiveState,
    OrderRecord,
    PositionRecord,
    Reservation,
    SavedState,
    StoredIntent,
    Transition,
)

__all__ = [
    "COMMIT_SECONDS",
    "LOCAL",
    "AccountJournal",
    "AccountRecord",
    "Attempt",
    "AttemptKind",
    "BookAccount",
    "Claim",
    "Durability",
    "EquityRecord",
    "Journal",
    "JournalTransaction",
    "Lease",
    "LiveState",
    "MemoryJournal",
    "OrderRecord",
    "PositionRecord",
    "Reservation",
    "SavedState",
    "StoredIntent",
    "Transition",
]
