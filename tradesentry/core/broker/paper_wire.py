"""What the wire between us and the paper venue can do: delays, and what each fault leaves us knowing."""

import asyncio
import hashlib
import math
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

from tradesentry.core.broker.base_broker import Capabilities, EventPage, RefusalClass, is_contiguous
from tradesentry.core.broker.faults import Fault, FaultKind
from tradesentry.core.domain.clock import Clock
from tradesentry.core.domain.events import BrokerEvent, StreamDown
from tradesentry.core.market.bars import BarArray

PAGE: Final = 1_000
CAPABILITIES: Final = Capabilities(
    hedging=True,
    brackets=True,
    partial_close=True,
    replace=True,
    replace_keeps_id=False,
    native_trailing=False,
    native_exits=True,
    min_poll_seconds=0.0,
    dedupe_scope="pending_orders_and_open_trades",
    absence_horizon_seconds=0.0,
)
DEAD_SECONDS: Final = 20.0
BEFORE: Final = {FaultKind.RESET_BEFORE: "connection_reset", FaultKind.STATUS: "server_error"}
AFTER: Final = {
    FaultKind.LOSE_REPLY: "connection_reset",
    FaultKind.STATUS_AFTER: "server_error",
    FaultKind.TRUNCATED: "unreadable_reply",
    FaultKind.NOT_JSON: "unreadable_reply",
    FaultKind.WRONG_TYPE: "unreadable_reply",
}
REFUSALS: Final = {
    "REQUOTE": RefusalClass.REQUOTE,
    "MARKET_HALTED": RefusalClass.BACK_OFF,
    "ORDER_DOESNT_EXIST": RefusalClass.GONE,
    "TRADE_DOESNT_EXIST": RefusalClass.GONE,
}
History = Callable[[str, str, int, int], BarArray]


@dataclass(frozen=True, slots=True)
class Latency:
    """How long a command travels: log-normal, drawn from (seed, count)."""

    median_ms: float = 80.0
    p99_ms: float = 400.0
    seed: int = 0

    def seconds(self, count: int) -> float:
        """Return the delay of the command number `count`, seconds."""
        digest = hashlib.blake2b(f"{self.seed}:{count}".encode(), digest_size=8).digest()
        chance = (int.from_bytes(digest) + 0.5) / 2.0**64
        sigma = math.log(self.p99_ms / self.median_ms) / NormalDist().inv_cdf(0.99)
        return self.median_ms / 1e3 * math.exp(sigma * NormalDist().inv_cdf(chance))


def disturbed_page(
    events: list[BrokerEvent], fault: Fault | None, *, after: int, last_seq: int, log_id: str
) -> EventPage:
    """Return a page of events as it comes through a wire that a fault meets.

    Args:
        events: All events after `after`, at most a page.
        fault: Of the page; None: it arrives.
        after: Number that was asked for.
        last_seq: Newest number of the venue.
        log_id: Of the venue's log.
    """
    kind = fault.kind if fault else None
    if kind is FaultKind.PAGE_REPEATED:
        events = events + events
    elif kind is FaultKind.PAGE_REVERSED:
        events = events[::-1]
    elif kind is FaultKind.PAGE_INCOMPLETE and events:
        events = events[: len(events) // 2] + events[len(events) // 2 + 1 :]
    elif kind is FaultKind.PAGE_DROPPED:
        events = []
    elif kind is FaultKind.PAGE_AHEAD:
        last_seq += 1
    return EventPage(tuple(events), last_seq, log_id, is_contiguous(events, after=after, last_seq=last_seq))


async def disturbed(
    event: BrokerEvent, fault: Fault | None, queue: "asyncio.Queue[BrokerEvent | None]", *, clock: Clock
) -> AsyncIterator[BrokerEvent | StreamDown]:
    """Yield an event as it comes through a stream that a fault meets.

    Args:
        event: What the venue sent.
        fault: Of the stream; None: it arrives.
        queue: What comes after it, lost with a broken stream.
        clock: Time.
    """
    kind = fault.kind if fault else None
    if kind in (FaultKind.STREAM_STALL, FaultKind.STREAM_CLOSED):
        if kind is FaultKind.STREAM_STALL:
            await clock.sleep(DEAD_SECONDS)
        while not queue.empty():
            queue.get_nowait()
        yield StreamDown("events", "stalled" if kind is FaultKind.STREAM_STALL else "closed", clock.now_ns())
    elif kind is FaultKind.STREAM_DOUBLE:
        yield event
        yield event
    elif kind is not FaultKind.STREAM_DROP:
        yield event
