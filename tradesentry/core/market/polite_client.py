"""Fetch over HTTP politely: at a limited rate, with patience for a server that is busy, and an end to the patience.

Separate from the vendors' downloads so that waiting and retrying exist once. Time and sleep are given from outside;
tests move the clock instead of waiting.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import httpx

from tradesentry.core.domain.errors import BrokerError, BrokerRejected

BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
MAX_WAIT_SECONDS: Final = 60.0


@dataclass(slots=True)
class PoliteClient:
    """GET requests at a limited rate, retried with doubling waits.

    Args:
        base_url: Address without the path.
        headers: Sent with every request.
        requests_per_second: Upper bound of the rate.
        attempts: Tries of one request before giving up.
        sleep: Waits that many seconds.
        now: Monotonic seconds.
    """

    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    requests_per_second: float = 10.0
    attempts: int = 6
    timeout_seconds: float = 30.0
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.monotonic
    _client: httpx.Client = field(init=False)
    _next_at: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._client = httpx.Client(
            base_url=self.base_url, headers=dict(self.headers), timeout=self.timeout_seconds, follow_redirects=True
        )

    def __enter__(self) -> "PoliteClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, params: Mapping[str, str] | None = None) -> bytes | None:
        """Return the body of a response; None when the server has no such thing (404).

        Raises:
            BrokerRejected: The server refuses the request; asking again would not help.
            BrokerError: No answer after all attempts.
        """
        wait = 1.0
        reason = ""
        for attempt in range(self.attempts):
            if attempt:
                self.sleep(wait)
                wait = min(wait * 2.0, MAX_WAIT_SECONDS)
            self._keep_rate()
            try:
                response = self._client.get(path, params=dict(params or {}))
            except httpx.TransportError as error:
                reason = f"{type(error).__name__}: {error}"
                continue
            if response.status_code == 200:
                return response.content
            if response.status_code == 404:
                return None
            reason = f"{response.status_code} {response.text[:200]}".strip()
            if response.status_code not in BUSY:
                raise BrokerRejected(
                    f"{self.base_url} refused {path}: {reason}. Check the token, the symbol and the period.",
                    code="download_refused",
                )
            wait = max(wait, _retry_after(response))
        raise BrokerError(
            f"{self.base_url} gave no answer for {path} in {self.attempts} attempts; the last was {reason}. What was "
            "downloaded so far is kept: run the same command again to go on.",
            code="download_failed",
        )

    def _keep_rate(self) -> None:
        wait = self._next_at - self.now()
        if wait > 0.0:
            self.sleep(wait)
        self._next_at = max(self.now(), self._next_at) + 1.0 / self.requests_per_second


def _retry_after(response: httpx.Response) -> float:
    text = response.headers.get("Retry-After", "")
    return min(float(text), MAX_WAIT_SECONDS) if text.isdigit() else 0.0
