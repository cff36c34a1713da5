"""Choose the concrete parts: which broker, journal, feed and notifier an account is opened with.

The only place that knows them all. Everybody else is handed ports. An account is opened from its linked row and the
secrets of this installation; what is missing or wrong is said before anything is traded. Replay, paper and real
accounts differ here and nowhere else.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from tradesentry.bootstrap.paper import open_paper, venue_instrument
from tradesentry.bootstrap.parts import AccountFeed, LateRelay, OpenAccount, Opening, Stores, check_clock
from tradesentry.bootstrap.venues import look_at_oanda, mt5_broker, oanda_link, open_mt5, open_oanda
from tradesentry.core.broker.account_settings import paper_settings
from tradesentry.core.broker.base_broker import CommandStamp
from tradesentry.core.broker.commands import CommandGate, Throttle
from tradesentry.core.domain.clock import Clock
from tradesentry.core.domain.errors import ConfigError, nearest
from tradesentry.core.execution.journal_rows import Lease
from tradesentry.core.execution.lease import MAX_SEND_SECONDS, SelfFence
from tradesentry.core.strategy.live_memory import LiveRunSpec
from tradesentry.core.utils.notifier import Notifier
from tradesentry.database.repositories.agents import LinkRecord
from tradesentry.database.session import create_pool, refuse_powerful_role
from tradesentry.settings import Settings

__all__ = [
    "AccountFeed", "OpenAccount", "Stores", "check_clock", "look_at_oanda", "mt5_broker", "notifier_of", "oanda_link",
    "open_account", "open_stores", "venue_instrument",
]  # fmt: skip

NO_RATE = 1e9
LEASE_CONNECTIONS = 2
"""One to renew on while the other looks for work."""


@asynccontextmanager
async def open_stores(url: str, *, n_connections: int = 10) -> AsyncIterator[Stores]:
    """Lend the database of an agent.

    Args:
        url: Address for `ts_agent`.
        n_connections: Largest number for what accounts do; leases have two more of their own.

    Raises:
        DatabaseError: The role is too powerful, or the database is not migrated or cannot be reached.
        JournalUnavailable: It went away.
    """
    await asyncio.to_thread(refuse_powerful_role, url)
    async with _lent_pool(url, n_connections) as pool, _lent_pool(url, LEASE_CONNECTIONS) as leases:
        yield Stores.over(pool, leases=leases)


@asynccontextmanager
async def _lent_pool(url: str, n_connections: int) -> "AsyncIterator[asyncpg.Pool[Any]]":
    pool: asyncpg.Pool[Any] = await create_pool(url, n_connections=n_connections)
    try:
        yield pool
    finally:
        try:
            await asyncio.wait_for(pool.close(), 5.0)
        except TimeoutError:
            pool.terminate()


def notifier_of(settings: Settings) -> Notifier:
    """Return the notifier of this installation; nobody is told when no address is set."""
    return Notifier([url.get_secret_value() for url in settings.notify_urls])


async def open_account(
    link: LinkRecord,
    lease: Lease,
    fence: SelfFence,
    runs: Sequence[LiveRunSpec],
    *,
    stores: Stores,
    settings: Settings,
    clock: Clock,
) -> OpenAccount:
    """Open a linked account with its broker, feed and clock.

    Args:
        link: The account.
        lease: On it.
        fence: Says whether the lease may still be acted on.
        runs: Strategies that trade it.
        stores: The database.
        settings: Secrets of this installation.
        clock: The real clock.

    Raises:
        ConfigError: A secret or setting is missing or wrong.
        BrokerAuthError: The venue does not accept the token or password.
        AccountMismatch: The venue shows another account or environment.
        ClockSkew: The clocks differ too much.
        BrokerUnavailable: The venue does not answer.
    """
    openers = {"paper": open_paper, "oanda": open_oanda, "mt5": open_mt5}
    if link.broker not in openers:
        raise ConfigError(f"There is no broker {link.broker!r}. {nearest(link.broker, openers)}")
    late = LateRelay()
    throttle = Throttle(clock, per_second=NO_RATE, burst=NO_RATE) if is_replayed(link) else None
    gate = CommandGate(
        clock, throttle=throttle, max_send_seconds=MAX_SEND_SECONDS, may_send=_fence_of(lease, fence), on_late=late
    )
    account = await openers[link.broker](Opening(link, lease, runs, gate, stores, settings, clock))
    account.late = late
    return account


def is_replayed(link: LinkRecord) -> bool:
    """Say whether an account lives on known bars, where no venue's rate has to be kept."""
    return link.broker == "paper" and paper_settings(link.settings).is_replay


def _fence_of(lease: Lease, fence: SelfFence) -> Callable[[CommandStamp], bool]:
    return lambda stamp: fence.is_open and stamp.epoch == lease.epoch
