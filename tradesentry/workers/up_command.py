"""`tradesentry up`: everything that an installation needs, from one command, until Ctrl-C.

Order: lock HOME → PostgreSQL, roles, tables → the demonstration of an empty installation → relay and agents side by
side → READY, once each of them has shown itself in the database. At the end the other way round. What runs is one list,
`children_of`; nothing here trades, delivers or decides.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import psutil
import typer

from tradesentry.backtest.commands.terminal import say
from tradesentry.core.domain.clock import NS_PER_SECOND, Clock, SystemClock
from tradesentry.core.utils.logger import configure_logging
from tradesentry.database.accounts import Accounts
from tradesentry.database.embedded import EmbeddedPostgres
from tradesentry.database.roles import APP
from tradesentry.database.server import Server, open_server, server_of
from tradesentry.database.session import driver_errors
from tradesentry.settings import Settings, load_settings
from tradesentry.workers.child_process import Child, Kept
from tradesentry.workers.demo import Demo, find_demo, seed_demo
from tradesentry.workers.installation import Installation
from tradesentry.workers.lifeline import installation_id
from tradesentry.workers.options import HomeOption
from tradesentry.workers.postgres_process import PostgresProcess
from tradesentry.workers.readiness import Readiness
from tradesentry.workers.supervisor import ProcessState, RestartPolicy, Supervisor
from tradesentry.workers.up_detached import start_detached
from tradesentry.workers.up_report import ready_text

STOP_SECONDS: Final = 8.0
"""Time of all processes but PostgreSQL to end; with its fast stop they stay under 10 s."""
NOTE_SECONDS: Final = 10.0
"""How often is said what an installation that is slow to start waits for."""


@dataclass(slots=True)
class Started:
    """What was asked for and what is there before any process was started."""

    installation: Installation
    server: Server
    embedded: EmbeddedPostgres | None
    """None: the database is somebody else's."""
    demo: Demo | None
    n_agents: int
    began_ns: int
    """When this process was started, by the wall clock: what a person waits for begins there."""
    ready_seconds: float | None = None
    seen: dict[str, int] = field(default_factory=dict)
    """Starts of each process that were told."""

    @property
    def owners(self) -> tuple[str, ...]:
        """How the agents sign their leases."""
        host = installation_id(self.installation.home)
        return tuple(f"{host}:{slot}" for slot in range(self.n_agents))

    def document(self, states: Sequence[ProcessState]) -> dict[str, Any]:
        """Return how it stands as JSON values."""
        processes = [
            {"name": s.name, "pid": s.pid, "started_ns": s.started_ns, "starts": s.n_starts, "last_code": s.last_code}
            for s in states
        ]
        return {
            "home": str(self.installation.home),
            "pid": os.getpid(),
            "began_ns": self.began_ns,
            "ready_seconds": self.ready_seconds,
            "database": "embedded" if self.embedded is not None else "DATABASE_URL",
            "processes": processes,
            "demo": None if self.demo is None else self.demo.document(),
            "logs": str(self.installation.logs),
        }


def children_of(home: Path, n_agents: int) -> list[Child]:
    """Return the processes of an installation besides its database.

    Args:
        home: Its folder.
        n_agents: How many trade.
    """
    line = (sys.executable, "-m", "tradesentry.workers.entry")
    place = {"TRADESENTRY_HOME": str(home)}
    relay = Child("relay", (*line, "relay", "--home", str(home)), place, stage=1)
    agents = [
        Child(f"agent-{n}", (*line, "agent", "--managed", "--slot", str(n), "--home", str(home)), place, stage=2)
        for n in range(n_agents)
    ]
    return [relay, *agents]


def up(
    home: HomeOption = None,
    agents: Annotated[int, typer.Option(help="Processes that trade.", min=1, max=64)] = 1,
    database_url: Annotated[str | None, typer.Option(help="A real server instead of the embedded one.")] = None,
    no_demo: Annotated[bool, typer.Option("--no-demo", help="Leave an empty installation empty.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Go on in the background once it is ready.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document when it is ready.")] = False,
) -> None:
    """Start everything and keep it alive until Ctrl-C or `tradesentry down`."""
    settings = load_settings()
    folder = (home or settings.home).absolute()
    if database_url is not None:
        # The processes that are started read it, and a command line is seen by everybody.
        os.environ["DATABASE_URL"] = database_url
        settings = load_settings()
    if detach:
        options = ["--agents", str(agents), *(["--no-demo"] if no_demo else [])]
        code = start_detached(Installation(folder), options, as_json=as_json)
    else:
        code = _run(folder, settings, agents, no_demo=no_demo, as_json=as_json)
    if code:
        raise typer.Exit(code)


def _run(folder: Path, settings: Settings, n_agents: int, *, no_demo: bool, as_json: bool) -> int:
    clock = SystemClock()
    began_ns = round(psutil.Process().create_time() * NS_PER_SECOND)
    with Installation(folder) as installation:
        say(f"starting TradeSentry in {folder} ...")
        with _logging(settings, installation.logs), driver_errors(), _database(folder, settings) as (server, embedded):
            server.initialize()
            demo = _demo(server, is_wanted=not no_demo)
            started = Started(installation, server, embedded, demo, n_agents, began_ns)
            code = asyncio.run(_keep_alive(started, clock, as_json=as_json))
        say("stopped")
    return code


@contextmanager
def _logging(settings: Settings, logs: Path) -> Iterator[None]:
    """Log to a file: on the terminal there is only what people want to know."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        configure_logging(settings.log_level, file=logs / "supervisor.log", stream=nowhere)
        yield


@contextmanager
def _database(folder: Path, settings: Settings) -> Iterator[tuple[Server, EmbeddedPostgres | None]]:
    """Lend the database, started here unless it is somebody else's; stopped at the latest when the block ends."""
    if settings.database_url is not None:
        with open_server(folder, database_url=settings.database_url.get_secret_value()) as server:
            yield server, None
        return
    with EmbeddedPostgres(folder, bin_dir=settings.pg_bin) as embedded:
        yield server_of(embedded), embedded


def _demo(server: Server, *, is_wanted: bool) -> Demo | None:
    """Return the demonstration, made if the installation is empty; None where there is none."""
    accounts = Accounts(server.url(APP))
    if is_wanted and not accounts.all():
        return seed_demo(accounts)
    return find_demo(accounts)


async def _keep_alive(started: Started, clock: Clock, *, as_json: bool) -> int:
    """Start the processes, say when they are ready, and keep them alive until a signal."""
    stop = _stop_on_signals()
    kept: list[Child | Kept] = list(children_of(started.installation.home, started.n_agents))
    if started.embedded is not None:
        kept.insert(0, PostgresProcess(started.embedded, clock, on_moved=lambda: supervisor.restart(from_stage=1)))
    supervisor = Supervisor(
        kept, started.installation.logs, clock,
        policy=RestartPolicy(stop_seconds=STOP_SECONDS), on_change=lambda: _note(started, supervisor),
    )  # fmt: skip
    demo = started.demo if started.demo is not None and started.demo.is_wanted else None
    readiness = Readiness(started.server, started.owners, demo, clock)
    running = asyncio.create_task(supervisor.run(stop))
    waiting = asyncio.create_task(readiness.wait())
    telling = asyncio.create_task(_tell_of_waiting(readiness, clock))
    try:
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        telling.cancel()
        if waiting.done() and not running.done():
            started.ready_seconds = round((clock.now_ns() - started.began_ns) / NS_PER_SECOND, 1)
            _note(started, supervisor)
            document = started.document(list(supervisor.states.values()))
            typer.echo(json.dumps(document) if as_json else ready_text(document))
        return await running
    finally:
        for task in (waiting, telling):
            task.cancel()
        await asyncio.gather(waiting, telling, return_exceptions=True)


def _stop_on_signals() -> asyncio.Event:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def ask() -> None:
        if not stop.is_set():
            say("stopping: agents give their accounts back, stops stay at the venues ...")
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):
            loop.add_signal_handler(number, ask)
    return stop


async def _tell_of_waiting(readiness: Readiness, clock: Clock) -> None:
    """Say from time to time what is missing."""
    while True:
        await clock.sleep(NOTE_SECONDS)
        with suppress(Exception):
            missing = await asyncio.to_thread(readiness.missing)
            say(f"still waiting for {', '.join(missing)} (the first start compiles for a minute or two)")


def _note(started: Started, supervisor: Supervisor) -> None:
    """Write how the processes stand where others look, and tell of one that had to be started again."""
    states = list(supervisor.states.values())
    started.installation.write(started.document(states))
    for state in states:
        if state.pid is not None and state.n_starts > max(1, started.seen.get(state.name, 1)):
            say(f"{state.name} {_ended(state.last_code)} and was started again (process {state.pid})")
        started.seen[state.name] = state.n_starts if state.pid is not None else started.seen.get(state.name, 1)


def _ended(code: int | None) -> str:
    """Return how a process ended, in words."""
    if code is not None and code < 0:
        with suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
    return f"ended with code {code}"
