"""What the wire between us and the paper venue can do: delays, and what each fault leaves us knowing."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

from tradesentry.core.broker.base_broker import RefusalClass
from tradesentry.core.broker.faults import FaultKind
from tradesentry.core.market.bars import BarArray

PAGE: Final = 1_000
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
