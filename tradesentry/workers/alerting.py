"""Bring alerts to people from a process that trades: the one way there is.

What the journal stores as an alert is in the outbox and delivered from there, by one process of the installation; here
it is only shown. What cannot be stored, because the database is away or the account is another's, is shown and goes to
the notifier at once. Account numbers are masked in both.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tradesentry.backtest.commands.terminal import say
from tradesentry.core.domain.clock import Clock
from tradesentry.core.monitoring.alerts import AlertSink, direct_alerts, masked, safe_text
from tradesentry.core.monitoring.metrics_collector import MetricsCollector
from tradesentry.core.utils.notifier import Notifier
from tradesentry.settings import Settings
from tradesentry.workers.relay import deliver_alerts


def show(code: str, text: str) -> None:
    """Show an alert on this process's own terminal."""
    say(f"{code}: {text}")


class Alerting:
    """Who is told by this process.

    Args:
        notifier: Sends what cannot wait for the outbox.
        shown: Where all alerts are shown (code, text).
    """

    def __init__(self, notifier: Notifier, shown: AlertSink = show) -> None:
        self._notifier, self._shown = notifier, shown
        self._told: set[str] = set()

    def is_first(self, key: str) -> bool:
        """Say whether this process has not been asked about `key` before: what is told once in its life."""
        is_new = key not in self._told
        self._told.add(key)
        return is_new

    def direct(self, account: str = "") -> AlertSink:
        """Return a sink for what is not in the outbox: it is shown and sent.

        Args:
            account: The venue's number or the platform's id; empty: it is about the whole process.
        """
        tell, showing = direct_alerts(self._notifier, account), self.stored(account)

        def both(code: str, text: str) -> None:
            showing(code, text)
            tell(code, text)

        return both

    def stored(self, account: str = "") -> AlertSink:
        """Return a sink for what is in the outbox as well: it is only shown, for it is delivered from there.

        Args:
            account: As `direct`.
        """

        def showing(code: str, text: str) -> None:
            said = safe_text(text, accounts=(account,))
            self._shown(code, f"{said} ({masked(account)})" if account else said)

        return showing


@asynccontextmanager
async def delivered(
    url: str, notifier: Notifier, clock: Clock, *, settings: Settings, metrics: MetricsCollector
) -> AsyncIterator[None]:
    """Deliver the outbox's alerts for the length of a block, as the one process of the installation that does.

    Args:
        url: Address of the database for `ts_relay`.
        notifier: Where alerts go.
        clock: Time.
        settings: Say whether anybody is to be told; without an address nothing is delivered.
        metrics: Told how many alerts wait.
    """
    if not settings.notify_urls:
        yield
        return
    task = asyncio.ensure_future(deliver_alerts(url, notifier, clock, on_pending=metrics.set_alerts_pending))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
