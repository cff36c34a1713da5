"""The HTTP client of OANDA: its headers, its silence, its name. Everything else is `http_client`."""

from collections.abc import Mapping
from typing import Final

from tradesentry.core.broker.http_client import HttpClient, Reply
from tradesentry.core.domain.clock import Clock

CONNECTS_PER_SECOND: Final = 2.0
"""OANDA's own hosts refuse more; a fake on loopback speaks plain HTTP and takes any number."""
__all__ = ["OandaClient", "Reply"]


class OandaClient(HttpClient):
    """One account's connections to OANDA.

    Args:
        base_url: Of the REST host.
        stream_url: Of the stream host.
        token: Personal access token.
        clock: For deadlines and silence.
        timeout_seconds: How long a reply is awaited.
        dead_seconds: Silence after which a stream counts as dead, by stream.
    """

    def __init__(
        self,
        *,
        base_url: str,
        stream_url: str,
        token: str,
        clock: Clock,
        timeout_seconds: float = 10.0,
        dead_seconds: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(
            "OANDA",
            base_url=base_url,
            stream_url=stream_url,
            headers={"Authorization": f"Bearer {token}", "Accept-Datetime-Format": "RFC3339"},
            clock=clock,
            timeout_seconds=timeout_seconds,
            dead_seconds=dead_seconds,
            connects_per_second=CONNECTS_PER_SECOND if base_url.startswith("https:") else None,
        )
