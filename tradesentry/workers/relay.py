"""`tradesentry relay`: bring what the outbox holds to those who wait for it; today alerts to people.

One process of an installation does it, by a lock in the database; a second one waits until the first is gone. Separate
from the agents, so that a slow webhook costs no trader a moment and an alert about a dead trader is delivered at once.
"""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import asyncpg

from tradesentry.backtest.commands.terminal import say
from tradesentry.core.domain.clock import Clock, SystemClock
from tradesentry.core.domain.errors import JournalUnavailable
from tradesentry.core.monitoring.alerts import AlertDelivery
from tradesentry.core.utils.logger import configure_logging, get_logger
from tradesentry.core.utils.notifier import Notifier
from tradesentry.database.repositories.outbox import PostgresOutbox
from tradesentry.database.roles import RELAY
from tradesentry.database.server import open_server
from tradesentry.database.session import create_pool, driver_errors
from tradesentry.settings import Settings, load_settings
from tradesentry.workers.lifeline import end_with_supervisor
from tradesentry.workers.options import HomeOption

_log = get_logger(__name__)
REFRESH_SECONDS: Final = 1.0
AWAY_SECONDS: Final = 5.0
"""Until a database that went away is asked again."""
DRAIN_SECONDS: Final = 3.0
"""How long what was handed over may take to arrive at the end."""


async def deliver_alerts(
    url: str,
    notifier: Notifier,
    clock: Clock,
    *,
    second: Notifier | None = None,
    on_pending: Callable[[int], None] | None = None,
    drain_seconds: float = 0.0,
) -> None:
    """Deliver the outbox's alerts until canceled, as the one process of the installation that does; others wait.

    Args:
        url: Address of the database for `ts_relay`.
        notifier: The first channel.
        clock: Time.
        second: The channel for what nobody acknowledges.
        on_pending: Told how many alerts wait: `MetricsCollector.set_alerts_pending`.
        drain_seconds: At the end what was handed over is sent and marked for that long; 0: it is sent again later.
    """
    pool = await _patient_pool(url, clock)
    outbox = PostgresOutbox(pool)
    delivery = AlertDelivery(outbox, notifier, clock, second=second, on_pending=on_pending)
    try:
        while True:
            try:
                async with outbox.alone() as is_alone:
                    while is_alone():
                        await delivery.deliver_due()
                        await clock.sleep(REFRESH_SECONDS)
            except JournalUnavailable as error:
                await _wait_for_outbox(clock, error)
    finally:
        if drain_seconds > 0:
            with suppress(JournalUnavailable):
                await delivery.close(drain_seconds)
        pool.terminate()


async def _patient_pool(url: str, clock: Clock) -> "asyncpg.Pool[Any]":
    """Return connections to the outbox, however long the database is away."""
    while True:
        try:
            return await create_pool(url, n_connections=3)
        except JournalUnavailable as error:
            await _wait_for_outbox(clock, error)


async def _wait_for_outbox(clock: Clock, error: JournalUnavailable) -> None:
    _log.warning("outbox_unreadable", code=error.code)
    await clock.sleep(AWAY_SECONDS)


def relay(home: HomeOption = None) -> None:
    """Deliver the alerts of this installation until Ctrl-C."""
    settings = load_settings()
    configure_logging(settings.log_level, file=settings.log_file)
    end_with_supervisor()
    url = None if settings.database_url is None else settings.database_url.get_secret_value()
    folder = (home or settings.home).absolute()
    with open_server(folder, database_url=url, bin_dir=settings.pg_bin) as server, driver_errors():
        asyncio.run(_deliver(server.url(RELAY), settings))


async def _deliver(url: str, settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    n_targets = len(settings.notify_urls)
    say(
        f"alerts are delivered to {n_targets} addresses; Ctrl-C ends it cleanly"
        if n_targets
        else "no address is set in TRADESENTRY_NOTIFY_URLS, so alerts stay in the database: `tradesentry status`"
    )
    notifier = Notifier([one.get_secret_value() for one in settings.notify_urls])
    delivering = asyncio.ensure_future(deliver_alerts(url, notifier, SystemClock(), drain_seconds=DRAIN_SECONDS))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({delivering, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if delivering.done():
            delivering.result()
    finally:
        for task in (delivering, stopping):
            task.cancel()
        await asyncio.gather(delivering, stopping, return_exceptions=True)
        await asyncio.to_thread(notifier.close)
