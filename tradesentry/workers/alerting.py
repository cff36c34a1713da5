"""Bring alerts to people from a process that trades: the outbox's by the one process that delivers, others at once.

What the journal stores as an alert is in the outbox; this process only shows it then. What cannot be stored, because
the database is away or the account is another's, goes to the notifier directly.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tradesentry.backtest.commands.terminal import say
from tradesentry.core.domain.clock import Clock
from tradesentry.core.monitoring.metrics_collector import MetricsCollector
from tradesentry.core.utils.notifier import Notifier
from tradesentry.settings import Settings
from tradesentry.workers.monitors import deliver_alerts


def show(code: str, text: str) -> None:
    """Show an alert on this process's own terminal."""
    say(f"{code}: {text}")


@asynccontextmanager
async def delivered(
    url: str, notifier: Notifier, clock: Clock, *, settings: Settings, metrics: MetricsCollector
) -> AsyncIterator[Callable[[str, str], None] | None]:
    """Deliver the outbox's alerts for the length of a block; yields how to show them here.

    Args:
        url: Address of the database for `ts_relay`.
        notifier: Where alerts go.
        clock: Time.
        settings: Say whether anybody is to be told; without an address nothing is delivered and None is yielded.
        metrics: Told how many alerts wait.
    """
    if not settings.notify_urls:
        yield None
        return
    task = asyncio.ensure_future(deliver_alerts(url, notifier, clock, on_pending=metrics.set_alerts_pending))
    try:
        yield show
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
