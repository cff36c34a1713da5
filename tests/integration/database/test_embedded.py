"""The embedded PostgreSQL as it is really run: started, killed, left behind, shut out, out of room."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.support.postgres import asked_major, home_folder
from tradesentry.core.domain.errors import DatabaseError
from tradesentry.database.embedded import EmbeddedPostgres
from tradesentry.database.postmaster import leftover_pid
from tradesentry.database.roles import ADMIN

IS_ROOT = os.geteuid() == 0


@pytest.fixture(scope="module")
def home():
    with home_folder() as folder:
        yield folder


@pytest.fixture
def server(home):
    """A durable server with a table, started; data stay for the next test."""
    with EmbeddedPostgres(home, major=asked_major()) as started:
        with connected(started) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS written (n int PRIMARY KEY)")
        yield started


def connected(server):
    return psycopg.connect(server.url(ADMIN, "postgres"), autocommit=True)


def test_it_listens_on_loopback_asks_for_a_password_and_loses_no_commit(server):
    names = ("listen_addresses", "unix_socket_directories", "fsync", "full_page_writes", "data_checksums", "TimeZone")
    with connected(server) as connection:
        values = [connection.execute(f"SHOW {name}").fetchone()[0] for name in names]

    assert values == ["127.0.0.1", "", "on", "on", "on", "UTC"]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.url(ADMIN, "postgres").replace(server.passwords[ADMIN], "wrong"))


def test_secrets_are_readable_by_their_owner_only(server):
    assert server.placement.password_file.stat().st_mode & 0o777 == 0o600
    assert server.placement.password_file.parent.stat().st_mode & 0o777 == 0o700
    assert server.placement.data.stat().st_mode & 0o077 == 0
    assert server.passwords[ADMIN] not in " ".join(psutil.Process(server.pid).cmdline())


@pytest.mark.skipif(not IS_ROOT, reason="only root has to drop its rights")
def test_root_runs_it_as_an_account_without_rights(server):
    assert psutil.Process(server.pid).uids().real == server.placement.run_as.uid != 0


def test_confirmed_commits_survive_a_kill_and_clients_find_it_at_the_same_address(server):
    url, port = server.url(ADMIN, "postgres"), server.port
    with connected(server) as connection:
        connection.execute("INSERT INTO written SELECT generate_series(1, 500) ON CONFLICT DO NOTHING")
        os.kill(server.pid, signal.SIGKILL)
    server.stop()

    began = time.monotonic()
    server.start()

    assert time.monotonic() - began < 30.0
    assert server.port == port
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM written").fetchone() == (500,)


def test_one_killed_session_does_not_end_the_server(server):
    with connected(server) as connection:
        pid = connection.info.backend_pid
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            with connected(server) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
                break
        except psycopg.OperationalError:
            continue
    assert server.is_running


def test_a_second_start_on_the_same_home_says_who_has_it(server, home):
    with pytest.raises(DatabaseError, match=rf"pid {os.getpid()}\) runs the database of .* Stop it with") as caught:
        EmbeddedPostgres(home).start()

    assert caught.value.code == "already_running"
    assert server.is_running


def test_a_port_that_is_taken_costs_a_try_not_the_start(home):
    with EmbeddedPostgres(home, major=asked_major()) as first:
        port = first.port
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        with EmbeddedPostgres(home) as second:
            assert second.port != port


CHILD = """
import sys, os
from pathlib import Path
from tradesentry.database.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
if sys.argv[2] == "deaf":
    import tradesentry.database.embedded as embedded
    embedded._dying_with_us = lambda command: command
server.start()
print(server.pid, flush=True)
sys.stdin.read()
"""


def started_elsewhere(home, mode):
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(home), mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    return child, int(child.stdout.readline())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_it_dies_with_the_process_that_started_it(home):
    child, pid = started_elsewhere(home, "normal")
    postmaster = psutil.Process(pid)

    child.kill()
    child.communicate()

    postmaster.wait(30)
    with EmbeddedPostgres(home) as server:
        assert server.pid != pid


def test_a_server_left_behind_is_stopped_and_replaced(home):
    child, pid = started_elsewhere(home, "deaf")
    child.kill()
    child.communicate()
    data = EmbeddedPostgres(home).placement.data
    assert leftover_pid(data) == pid

    with EmbeddedPostgres(home) as server:
        assert not psutil.pid_exists(pid)
        assert server.is_running


def test_a_process_id_file_that_names_somebody_else_is_not_believed(home):
    """Guards: PostgreSQL itself takes any live process of that number for a server and refuses to start."""
    with EmbeddedPostgres(home) as server:
        data = server.placement.data
    sleeper = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    (data / "postmaster.pid").write_text(f"{sleeper.pid}\n{data}\n1\n5432\n\n127.0.0.1\n\n")

    with EmbeddedPostgres(home) as server:
        assert server.is_running
    assert sleeper.poll() is None
    sleeper.communicate()


def test_a_start_that_was_killed_while_making_the_data_begins_anew():
    with home_folder() as home:
        server = EmbeddedPostgres(home, is_durable=False)
        half = server.placement.root / "data.new-dead"
        half.mkdir()
        (half / "PG_VERSION").write_text("18")

        with server:
            assert server.is_running
        assert not half.exists()


def test_lost_passwords_are_said_plainly():
    with home_folder() as home:
        with EmbeddedPostgres(home, is_durable=False) as server:
            path = server.placement.password_file
        text = path.read_text()
        path.unlink()

        with pytest.raises(DatabaseError, match="cannot be read: .*Restore that file from a backup") as caught:
            EmbeddedPostgres(home).start()
        assert caught.value.code == "passwords_lost"

        path.write_text(text.replace(server.passwords[ADMIN], "another"))
        path.chmod(0o600)
        with pytest.raises(DatabaseError, match="does not accept the password"):
            EmbeddedPostgres(home, is_durable=False).start()

        path.chmod(0o644)
        with pytest.raises(DatabaseError, match=r"can be read by others\. Run: chmod 600"):
            EmbeddedPostgres(home).start()


def test_data_of_another_version_are_refused_with_the_way_out(home):
    with pytest.raises(DatabaseError, match="Run `tradesentry db upgrade`") as caught:
        EmbeddedPostgres(home, major=17).start()

    assert caught.value.code == "major_mismatch"


def test_damaged_data_are_reported_with_the_last_words_of_the_server():
    with home_folder() as home:
        with EmbeddedPostgres(home, is_durable=False) as server:
            control = server.placement.data / "global" / "pg_control"
        control.unlink()

        with pytest.raises(DatabaseError, match=r"(?s)ended while starting .*Its last words:.*pg_control") as caught:
            EmbeddedPostgres(home, is_durable=False).start()

        assert caught.value.code == "postgres_start"


def test_a_full_disk_while_making_the_data_leaves_nothing_behind():
    """The disk is filled by the system's own limit on file size, which the programs inherit."""
    import resource

    with home_folder() as home:
        server = EmbeddedPostgres(home)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        server.lock()
        server.stop()
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
        previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            with pytest.raises(DatabaseError, match="Free space and correct permissions") as caught:
                server.start()
        finally:
            signal.signal(signal.SIGXFSZ, previous)
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

        assert caught.value.code in {"initdb", "postgres_copy"}
        assert not server.placement.data.exists()
        assert not list(server.placement.root.glob("data.new-*"))
        with server:
            assert server.is_running


@pytest.mark.skipif(not IS_ROOT, reason="an ordinary user's server runs as that user and needs no other place")
def test_a_home_that_the_servers_account_cannot_enter_moves_the_data_and_says_where():
    with home_folder() as outer:
        closed = outer / "closed"
        closed.mkdir(mode=0o700)
        home, state = closed / "home", outer / "state"

        with EmbeddedPostgres(home, system_state=state, is_durable=False) as server:
            assert server.placement.root.parent == state
        again = EmbeddedPostgres(home, system_state=outer / "elsewhere")

        assert again.placement.root == server.placement.root
        assert closed.stat().st_mode & 0o777 == 0o700


def test_the_lock_is_free_after_a_failed_start():
    with home_folder() as home:
        with pytest.raises(DatabaseError):
            EmbeddedPostgres(home, bin_dir=Path("/nowhere")).start()

        with EmbeddedPostgres(home).placement.lock_file.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
