"""The soak's throw-away PostgreSQL: accounts are linked in it, and it is killed while orders go out."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

import psycopg

from tests.acceptance.soak.evidence import Span
from tests.support.postgres import DatabaseForTest, cloned, home_folder, memory_folder, provisioned
from tradesentry.database.embedded import EmbeddedPostgres
from tradesentry.database.roles import ADMIN

LINKED_AS = {"oanda": ("oanda", "demo"), "gateway": ("mt5", "demo"), "paper": ("paper", "paper")}
"""Broker and environment in the journal."""


class Database:
    """The throw-away server and the account rows in it."""

    def __init__(self, stack: ExitStack) -> None:
        home = stack.enter_context(home_folder(memory_folder()))
        self.server = stack.enter_context(EmbeddedPostgres(home))
        provisioned(self.server)
        self.database: DatabaseForTest = cloned(self.server)
        # What is not flushed stays in memory for long, so that a commit that only claims to be durable is lost.
        with psycopg.connect(self.server.url(ADMIN, "postgres"), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
            connection.execute("SELECT pg_reload_conf()")
        self.user = self.database.user()
        self.outages: list[Span] = []

    def link(self, account: str, *, broker: str = "oanda") -> tuple[Any, Any]:
        """Link an account and launch its run; return both ids."""
        name, environment = LINKED_AS[broker]
        account_id = self.database.link(self.user, broker=name, environment=environment)
        return account_id, self.database.run(self.user, account_id)

    def let_go(self) -> None:
        """Forget in a child that this process runs the server."""
        if self.server._lock is not None:
            self.server._lock.close()

    def more_runs(self, account_id: Any, n: int) -> tuple[Any, ...]:
        """Launch further runs on an account and return their ids."""
        return tuple(self.database.run(self.user, account_id, strategy=f"app{i}") for i in range(1, n + 1))

    def kill(self, operation: Callable[[int], None], *, away_seconds: float) -> None:
        """Let the server die by `operation`, start it again, remember how long it was away."""
        operation(self.server.pid)
        deadline = time.monotonic() + 5.0
        while self.server.is_running and time.monotonic() < deadline:
            time.sleep(0.001)
        started = time.time_ns()
        time.sleep(away_seconds)
        self.server.stop()
        self.server.start()
        self.outages.append(Span(started, time.time_ns()))

    def kill_backend(self) -> None:
        """Kill one session of an agent; the server throws all others out and recovers by itself."""
        with psycopg.connect(self.server.url(ADMIN, "postgres"), autocommit=True) as connection:
            row = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE usename = 'ts_agent' ORDER BY random() LIMIT 1"
            ).fetchone()
        if row is None:
            return
        started = time.time_ns()
        with suppress(ProcessLookupError):
            os.kill(row[0], signal.SIGKILL)
        for _ in range(1_000):
            with suppress(psycopg.OperationalError):
                psycopg.connect(self.server.url(ADMIN, "postgres"), connect_timeout=2).close()
                break
            time.sleep(0.02)
        self.outages.append(Span(started, time.time_ns()))

    def commits_per_second(self, *, seconds: float = 1.0) -> float:
        """Return how many transactions are confirmed durable in a second, one after the other."""
        with psycopg.connect(self.database.url(ADMIN), autocommit=True) as connection:
            connection.execute("CREATE TABLE public.commits (n int)")
            started, n = time.monotonic(), 0
            while time.monotonic() - started < seconds:
                connection.execute("INSERT INTO public.commits VALUES (1)")
                n += 1
            connection.execute("DROP TABLE public.commits")
        return n / seconds

    def version(self) -> str:
        """Return the server's version."""
        return str(self.database.rows("SHOW server_version", role=ADMIN)[0][0])
