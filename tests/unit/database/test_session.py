"""Connecting to a database: what a canceled attempt leaves behind."""

import asyncio
import gc

import pytest

from tradesentry.core.domain.errors import JournalUnavailable
from tradesentry.database.session import create_pool

MOST_STEPS = 60
"""Steps of the event loop within which the driver has connected and asked for the server's kind."""


def test_an_attempt_that_is_canceled_at_any_step_leaves_no_error_that_nobody_takes():
    """A server that dies makes the trader cancel what waits for a connection, at whatever step that is.

    Seen to fail: with the driver's own `connect` some of the sixty steps report a `ConnectionError` that was never
    retrieved.
    """

    async def play():
        told = []
        asyncio.get_running_loop().set_exception_handler(lambda _, said: told.append(said["message"]))
        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        url = f"postgresql://u:p@127.0.0.1:{server.sockets[0].getsockname()[1]}/none"
        for n_steps in range(MOST_STEPS):
            attempt = asyncio.ensure_future(create_pool(url, timeout_seconds=1.0))
            for _ in range(n_steps):
                await asyncio.sleep(0)
            attempt.cancel()
            await asyncio.gather(attempt, return_exceptions=True)
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)
        gc.collect()
        server.close()
        return told

    told = asyncio.run(play())

    assert told == []


def test_a_server_that_hangs_up_is_an_unavailable_journal():
    async def play():
        async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
            url = f"postgresql://u:p@127.0.0.1:{server.sockets[0].getsockname()[1]}/none"
            await create_pool(url, timeout_seconds=1.0)

    with pytest.raises(JournalUnavailable, match="Is PostgreSQL running"):
        asyncio.run(play())


async def hang_up(reader, writer):
    """Be a server that ends every connection."""
    await reader.read(100)
    writer.close()
