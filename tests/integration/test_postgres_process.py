"""The embedded database as a supervisor keeps it: killed with a real signal, back on its port, or known on another."""

import asyncio
import os
import signal
import socket

import psycopg
import pytest

from tests.support.postgres import home_folder, memory_folder
from tradesentry.core.domain.clock import SystemClock
from tradesentry.database.embedded import EmbeddedPostgres
from tradesentry.database.roles import ADMIN
from tradesentry.workers.postgres_process import PostgresProcess


@pytest.fixture
def server():
    with home_folder(memory_folder()) as home, EmbeddedPostgres(home, is_durable=False) as running:
        yield running


def answers(server):
    with psycopg.connect(server.url(ADMIN, "postgres"), connect_timeout=5) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


def killed_and_started(server, *, occupy):
    """Kill the server, start it again as a supervisor does, and return (exit code, how often it moved)."""
    moves = []

    async def work():
        process = PostgresProcess(server, SystemClock(), on_moved=lambda: moves.append(server.port))
        await process.start()
        os.kill(process.pid, signal.SIGKILL)
        code = await process.wait()
        with socket.socket() as other:
            if occupy:
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                other.bind(("127.0.0.1", server.port))
                other.listen()
            await process.start()
        return code

    return asyncio.run(work()), moves


def test_a_killed_database_comes_back_on_its_port(server):
    port, pid = server.port, server.pid

    code, moves = killed_and_started(server, occupy=False)

    assert code == -signal.SIGKILL
    assert (server.port, moves) == (port, [])
    assert server.pid != pid
    assert answers(server)


def test_a_database_whose_port_was_taken_says_that_it_has_moved(server):
    """Seen to fail: without the word nobody learned of the new port."""
    port = server.port

    _, moves = killed_and_started(server, occupy=True)

    assert server.port != port
    assert moves == [server.port]
    assert answers(server)
