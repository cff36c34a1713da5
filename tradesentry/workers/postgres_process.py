"""Keep the embedded PostgreSQL as a supervisor keeps everything: noticed when it dies, started again, ended last.

It is no child with a command of its own: this process holds the lock of HOME and knows port and passwords. It comes
back on its old port, so that nobody else has to be started again; only when that port is taken they have to learn the
new one.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from tradesentry.core.domain.clock import Clock
from tradesentry.core.utils.logger import get_logger
from tradesentry.database.embedded import EmbeddedPostgres

_log = get_logger(__name__)
LOOK_SECONDS: Final = 0.1


class PostgresProcess:
    """The embedded server; a `Kept`.

    Args:
        server: Started or not.
        clock: For the looks at it.
        on_moved: Told when the server came back on another port.
    """

    name: Final = "postgres"
    stage: Final = 0

    def __init__(self, server: EmbeddedPostgres, clock: Clock, *, on_moved: Callable[[], None]) -> None:
        self._server, self._clock, self._on_moved = server, clock, on_moved
        self.log_file = server.placement.log_file

    @property
    def pid(self) -> int | None:
        """Its process id; None while it does not run."""
        return self._server.pid if self._server.is_running else None

    async def start(self) -> None:
        """Start it unless it runs; from the main thread, with which it dies.

        Raises:
            DatabaseError: It ended while starting; the message holds its last words.
        """
        if self._server.is_running:
            return
        port = self._server.port
        await self._server.revive(self._clock.sleep)
        if self._server.port != port:
            _log.warning("postgres_moved", old_port=port, port=self._server.port)
            self._on_moved()

    async def wait(self) -> int:
        """Wait for its end and return its exit code."""
        while (code := self._server.exit_code()) is None:
            await self._clock.sleep(LOOK_SECONDS)
        return code

    def ask_to_end(self) -> None:
        """Do nothing: it ends last, by `stop`."""

    async def stop(self, seconds: float) -> None:  # noqa: ARG002 - PostgreSQL has times of its own
        """Stop it: fast, after 10 s at once; HOME is free then."""
        await asyncio.to_thread(self._server.stop)
