"""Save and restore what one strategy on one market remembers, so that another process goes on as if nothing happened.

The memory of a lane is more than the strategy's STATE: its book (days, locks, bars seen), the quotes that it reads and
the account that it is sized by. All of them are bytes; saved with the intents of the bar that they come from, they make
the next decision the same as without a restart. What the venue did meanwhile comes from the journal, not from here.
"""

import hashlib
import json
import zlib
from functools import cache
from typing import Any, Final

import numpy as np

from tradesentry.core.domain.errors import StateMismatch
from tradesentry.core.domain.records import ACCOUNT, BOOK, QUOTE
from tradesentry.core.execution.journal_rows import SavedState
from tradesentry.core.strategy.decision_memory import DecisionMemory
from tradesentry.core.strategy.live_books import Resting
from tradesentry.core.utils.kernel import layout_digest

LEVEL: Final = 1
"""Of compression; most of a book is empty."""


@cache
def state_digest(state: np.dtype[Any]) -> str:
    """Return the digest of all layouts that the snapshot of a lane with this STATE holds."""
    dtypes = (state, BOOK, QUOTE, ACCOUNT)
    return hashlib.sha256("".join(layout_digest(dtype) for dtype in dtypes).encode()).hexdigest()[:32]


def save_lane(memory: DecisionMemory, lane: int, bar_close_ns: int) -> SavedState:
    """Return the memory of a lane after the bar that closed at `bar_close_ns`."""
    place, book = memory.lanes[lane], memory.books[lane]
    rows = memory.rows_of(lane)
    head = {
        "entries": [
            [number, entry.seq, entry.is_queued, entry.stop_loss, entry.take_profit]
            for number, entry in book.entries.items()
        ],
        "trades": book.trades,
        "stops": [[number, *prices] for number, prices in book.stops.items()],
        "closing": {ref: str(left) for ref, left in memory.closing(lane).items()},
        "n_quotes": len(rows),
    }
    text = json.dumps(head).encode()
    parts = (
        place.state,
        memory.book_records[lane : lane + 1],
        memory.quotes[rows],
        memory.account,
    )
    raw = len(text).to_bytes(8, "little") + text + b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
    return SavedState(place.run, place.symbol, bar_close_ns, state_digest(place.state.dtype), zlib.compress(raw, LEVEL))


def restore_lane(memory: DecisionMemory, lane: int, saved: SavedState, *, with_account: bool) -> None:
    """Put a saved lane back; entries that had not been sent are left out, the journal knows them if they were.

    Args:
        memory: Fresh memory of the same runs.
        lane: Row of the lane.
        saved: What `save_lane` returned.
        with_account: Also restore the account; of several lanes, the one saved last has the newest.

    Raises:
        StateMismatch: The snapshot was written with another layout of the records.
    """
    place, rows = memory.lanes[lane], memory.rows_of(lane)
    if saved.dtype_digest != state_digest(place.state.dtype):
        raise StateMismatch(
            f"The saved state of {place.strategy.name} on {saved.market} was written by another version "
            "of its code or of TradeSentry. Let that version close its trades, or stop this run and start a new one."
        )
    raw = zlib.decompress(saved.snapshot)
    n_head = int.from_bytes(raw[:8], "little")
    head = json.loads(raw[8 : 8 + n_head])
    at = 8 + n_head
    for target, dtype, count in (
        (place.state, place.state.dtype, 1),
        (memory.book_records[lane : lane + 1], BOOK, 1),
        (None, QUOTE, head["n_quotes"]),
        (memory.account if with_account else None, ACCOUNT, 1),
    ):
        values = np.frombuffer(raw, dtype, count, at)
        at += values.nbytes
        if dtype is QUOTE:
            memory.quotes[rows] = values
        elif target is not None:
            target[:] = values
    _name_rows(memory, lane, head)


def _name_rows(memory: DecisionMemory, lane: int, head: dict[str, Any]) -> None:
    """Say again what the rows of a restored book are called outside."""
    book = memory.books[lane]
    book.entries = {number: Resting(*terms) for number, *terms in head["entries"]}
    book.trades = dict(head["trades"])
    book.stops = {number: (stop, target) for number, stop, target in head["stops"]}
    memory.set_closing(lane, head["closing"])
    for number in [number for number, entry in book.entries.items() if entry.seq is None]:
        book.drop(number)
