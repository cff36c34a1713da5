"""Fence oneself: stop acting before anybody else may, judged by the monotonic clock alone.

The database refuses stale epochs, but it cannot call back a byte that has left. An owner therefore counts from *before*
it asked for the last successful renewal and changes nothing past 0.8 of the lease; the rest is the margin for clocks
of different speed and for being scheduled late.
"""

from collections.abc import Callable
from typing import Final

TTL_SECONDS: Final = 10.0
MAX_SEND_SECONDS: Final = 5.0
SAFE_FRACTION: Final = 0.8


class SelfFence:
    """Says whether a lease may still be acted on.

    Args:
        monotonic: The clock, seconds.
        ttl_seconds: Length of the lease.
    """

    def __init__(self, monotonic: Callable[[], float], *, ttl_seconds: float = TTL_SECONDS) -> None:
        self._monotonic = monotonic
        self._ttl_seconds = ttl_seconds
        self._asked_at: float | None = None

    @property
    def renewal_seconds(self) -> float:
        """How often a lease is renewed."""
        return self._ttl_seconds / 3

    def ask(self) -> float:
        """Return the time to hand to `renewed`; call it before the claim or renewal is sent."""
        return self._monotonic()

    def renewed(self, asked_at: float) -> None:
        """Note that a claim or renewal asked for at `asked_at` succeeded; an older one changes nothing."""
        self._asked_at = asked_at if self._asked_at is None else max(asked_at, self._asked_at)

    def lose(self) -> None:
        """Close the fence for good: the lease is another's."""
        self._asked_at = None

    @property
    def left_seconds(self) -> float:
        """How long the fence stays open; 0 when it is closed."""
        if self._asked_at is None:
            return 0.0
        return max(0.0, self._asked_at + SAFE_FRACTION * self._ttl_seconds - self._monotonic())

    @property
    def is_open(self) -> bool:
        """Whether orders may be opened, changed and canceled now."""
        return self.left_seconds > 0.0
