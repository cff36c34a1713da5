"""Run a soak: start venue, database and two agent slots, kill what is to be killed, let it calm down, collect evidence.

Synchronous on purpose: it forks its children, so it runs no event loop and no thread. It imports and compiles what they
need and opens nothing that they could share.
"""

import asyncio
import importlib
import math
import os
import pickle
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg

from tests.acceptance.soak.evidence import (
    Evidence,
    VenueFile,
    read_journal,
    read_numbers,
    read_paper_logs,
    read_venue,
)
from tests.acceptance.soak.gateways import GatewaySettings, free_port, run_gateway
from tests.acceptance.soak.lives import LifeNotes, Pace, RequestCount, Slot, deaths
from tests.acceptance.soak.paper_trader import PRICES
from tests.acceptance.soak.server import Database
from tests.acceptance.soak.settings import AgentSettings, SoakSettings
from tests.acceptance.soak.venue import SYMBOLS, VenueProcess, VenueSettings
from tests.support.processes import end, fork, is_alive
from tradesentry.core.broker.http_client import HttpClient
from tradesentry.core.domain.clock import SystemClock
from tradesentry.core.utils.crash_points import POINTS
from tradesentry.database.roles import OWNER

ACCOUNTS = {
    "oanda": ("001-001-1234567-001", "001-001-1234567-002"),
    "gateway": ("5000001", "5000002"),
    "paper": ("paper-1", "paper-2"),
}
TICK_SECONDS = 0.01
LOOK_SECONDS = 2.0
"""Between two looks at the evidence while the soak runs."""


@dataclass
class Gateway:
    """One gateway and its process."""

    given: GatewaySettings
    pid: int = 0
    die_at: float = math.inf


@dataclass
class Outcome:
    """What a soak went through, besides its evidence."""

    evidence: Evidence
    kills: Counter[str]
    commits_per_second: float
    pg_version: str
    folder: Path


class Soak:
    """One run.

    Args:
        settings: Of the soak.
        agent: What a life of an agent does.
        say: Takes lines of progress.
        is_enough: Looks at the evidence so far every few seconds, and says whether the rage may end.
    """

    def __init__(
        self,
        settings: SoakSettings,
        agent: Callable[[AgentSettings], None],
        *,
        say: Callable[[str], None] = print,
        is_enough: Callable[[Evidence], bool] | None = None,
    ) -> None:
        self.settings, self._agent, self._say, self._is_enough = settings, agent, say, is_enough
        self._random = random.Random(settings.seed)
        self.folder = Path(tempfile.mkdtemp(prefix="ts-soak-"))
        self.kills: Counter[str] = Counter()
        self.slots = [Slot(0), Slot(1)]
        self.accounts = ACCOUNTS[settings.broker]
        self._lives = LifeNotes(self.folder / "lives.jsonl")
        self._pace = Pace(settings.chaos.life_seconds, settings.chaos.deaths_per_second)
        self._requests = RequestCount(self.folder / "venue.jsonl")
        self._began = 0.0

    def run(self) -> Outcome:
        """Soak; return what happened."""
        warm()
        with ExitStack() as stack:
            self.gateways = [Gateway(item) for item in self._gateway_settings()]
            self.venue = VenueProcess(self._venue_settings())
            stack.callback(self._end_all)
            self.database = Database(stack)
            speed = self.database.commits_per_second()
            ids = {account: self.database.link(account, broker=self.settings.broker) for account in self.accounts}
            self.account_ids = {account: account_id for account, (account_id, _) in ids.items()}
            self.template = AgentSettings(
                soak=self.settings,
                database_url=self.database.database.agent_url(),
                accounts={
                    account: self.venue.urls.get(account, self.venue.urls.get(PRICES, "")) for account in self.accounts
                },
                account_ids={account_id: account for account, account_id in self.account_ids.items()},
                runs=dict(ids.values()),
                more_runs={
                    account_id: self.database.more_runs(account_id, self.settings.apps - 1)
                    for account_id in self.account_ids.values()
                },
                log=self._lives.path,
                calm_file=self.folder / "calm",
            )
            self._begin()
            self._rage()
            self._calm_down()
            evidence = self.evidence()
            (self.folder / "evidence.pickle").write_bytes(pickle.dumps(evidence))
            return Outcome(evidence, self.kills, speed, self.database.version(), self.folder)

    def evidence(self) -> Evidence:
        """Return what venue, journal and processes have said so far."""
        venue, hits = read_venue(self.folder / "venue.jsonl")
        if self.settings.broker == "paper":
            venue.pop(PRICES, None)
            logs = asyncio.run(read_paper_logs(self.database.database.url(OWNER), self.account_ids))
            for account, transactions in logs.items():
                venue.setdefault(account, VenueFile()).transactions = transactions
        for gateway in self.gateways:
            account = str(gateway.given.login)
            venue[account].numbers = read_numbers(gateway.given.logs / "events.jsonl")
        journal = asyncio.run(read_journal(self.database.database.url(OWNER), self.account_ids))
        claims, active, rearmed = self._lives.read()
        return Evidence(venue, journal, claims, active, self.database.outages, rearmed, hits)

    def clean(self) -> None:
        """Remove the files of this soak."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _venue_settings(self) -> VenueSettings:
        soak = self.settings
        if soak.broker == "paper":
            return VenueSettings(self.folder / "venue.jsonl", (PRICES,), seed=soak.seed)
        return VenueSettings(
            self.folder / "venue.jsonl", self.accounts, wire=soak.wire, trading=soak.trading, seed=soak.seed,
            manual_per_second=soak.manual_per_second, manual_actions=soak.manual_actions, terminal=soak.terminal,
            terminal_seconds=soak.times.timeout,
            gateways={str(gateway.given.login): gateway.given.port for gateway in self.gateways},
        )  # fmt: skip

    def _gateway_settings(self) -> list[GatewaySettings]:
        logins = [int(account) for account in self.accounts] if self.settings.broker == "gateway" else []
        return [GatewaySettings(login, free_port(), SYMBOLS, self.folder) for login in logins]

    # Gateways

    def _tend_gateways(self, *, now: float = 0.0) -> None:
        """Kill gateways whose time is over, and start what is not there."""
        for gateway in self.gateways:
            if gateway.pid and not is_alive(gateway.pid):
                gateway.pid = 0
            if gateway.pid and now >= gateway.die_at:
                end(gateway.pid)
                gateway.pid = 0
                self.kills["gateway"] += 1
            if not gateway.pid:
                given = gateway.given
                gateway.pid = fork(lambda given=given: self._be_gateway(given))
                gateway.die_at = time.monotonic() + self._random.expovariate(1.0 / self.settings.chaos.gateway_seconds)

    def _be_gateway(self, given: GatewaySettings) -> None:
        self.database.let_go()
        run_gateway(given)

    # Lives

    def _start(self, slot: Slot, *, is_calm: bool = False) -> None:
        slot.life += 1
        point = ""
        if not is_calm and self._random.random() < self.settings.chaos.crash_points:
            point = f"{self._random.choice(POINTS)}:{self._random.randrange(1, 4)}"
        given = replace(self.template, slot=slot.number, life=slot.life, crash_point=point, may_reclaim=True)

        def work() -> None:
            self.database.let_go()
            self._agent(given)

        slot.wake_at, slot.die_at, slot.is_zombie = 0.0, math.inf, False
        if not is_calm and self._random.random() < self.settings.chaos.young:
            slot.die_at = time.monotonic() + self._random.uniform(0.0, self.settings.chaos.start_seconds)
        slot.pid = fork(work)

    def _buried(self, slot: Slot) -> None:
        """Note that a process is dead and reaped."""
        self._lives.note("dead", sender=f"soak-{slot.number}-{slot.life}")
        if self._began:
            self._pace.counted(deaths(self.kills), time.monotonic() - self._began)
        slot.pid, slot.wake_at = 0, 0.0
        chaos, ttl = self.settings.chaos, self.settings.times.ttl
        is_late = self._random.random() < chaos.delayed_restarts
        slot.start_at = time.monotonic() + (ttl + self._random.uniform(0.02, 0.2) if is_late else 0.0)
        if is_late:
            self.kills["delayed restart"] += 1

    def _tend(self, slot: Slot, *, is_calm: bool = False) -> None:
        """Reap a dead process, start the next life when it is time, wake a sleeper."""
        now = time.monotonic()
        if slot.pid and not is_alive(slot.pid):
            self.kills["crash point or own end"] += 1
            self._buried(slot)
        if slot.pid and 0.0 < slot.wake_at <= now:
            os.kill(slot.pid, signal.SIGCONT)
            slot.wake_at, slot.die_at = 0.0, now + self.settings.times.ttl
        if not slot.pid and slot.start_at <= now:
            self._start(slot, is_calm=is_calm)

    # Chaos

    def _begin(self) -> None:
        """Let the traders connect to both accounts; what happened at the venue before is in no journal."""
        deadline, seen = time.monotonic() + 30.0, set()
        while time.monotonic() < deadline and len(seen) < len(self.accounts):
            self._tend_gateways(now=-math.inf)
            for slot in self.slots:
                self._tend(slot, is_calm=True)
            seen |= {said["account"] for said in self._lives.news() if said["what"] == "active"}
            time.sleep(TICK_SECONDS)
        for slot in self.slots:
            slot.die_at = time.monotonic() + self._random.uniform(0.2, 1.0)
        self.venue.tell("begin")

    def _rage(self) -> None:
        chaos, began = self.settings.chaos, time.monotonic()
        self._began = began
        due = {
            "postmaster": began + chaos.postmaster_seconds * self._random.uniform(0.3, 0.7),
            "backend": began + chaos.backend_seconds * self._random.uniform(0.3, 0.7),
            "look": began + LOOK_SECONDS if self._is_enough else math.inf,
        }
        told = began
        while not self._is_over(now := time.monotonic()):
            self._tend_gateways(now=now)
            self._let_live_and_die()
            if now >= due["postmaster"]:
                self._strike_database()
                due["postmaster"] = time.monotonic() + chaos.postmaster_seconds * self._random.uniform(0.6, 1.2)
            if now >= due["backend"]:
                self.database.kill_backend()
                self.kills["backend"] += 1
                due["backend"] = time.monotonic() + chaos.backend_seconds * self._random.uniform(0.6, 1.2)
            if now >= due["look"]:
                if self._has_enough():
                    break
                due["look"] = time.monotonic() + LOOK_SECONDS
            if now >= told + 10.0:
                told = now
                self._say(f"  {now - began:5.0f} s  kills {sum(self.kills.values())}")
            time.sleep(TICK_SECONDS)

    def _has_enough(self) -> bool:
        # The database may be on its way back from a kill; then there is another look.
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return self._is_enough is not None and self._is_enough(self.evidence())
        return False

    def _is_over(self, now: float) -> bool:
        """Say whether there was enough; a slow machine takes longer until there was."""
        soak, lasted = self.settings, now - self._began
        if lasted < soak.seconds:
            return False
        return lasted >= soak.patience * soak.seconds or self._requests.read() >= soak.requests

    def _let_live_and_die(self) -> None:
        """Start who is missing, decide how long those live that have begun, strike those whose time is over."""
        for slot in self.slots:
            self._tend(slot)
        self._give_time()
        for slot in self.slots:
            if slot.pid and time.monotonic() >= slot.die_at:
                slot.die_at = math.inf
                self._strike(slot)

    def _give_time(self) -> None:
        """Decide how long those have that have just begun to trade."""
        for said in self._lives.news():
            of_it = (slot for slot in self.slots if said.get("sender") == f"soak-{slot.number}-{slot.life}")
            for slot in of_it if said["what"] == "active" else ():
                if slot.die_at == math.inf and not slot.wake_at:
                    slot.die_at = time.monotonic() + self._random.expovariate(1.0 / self._pace.mean_seconds)

    def _strike(self, slot: Slot) -> None:
        chaos, draw = self.settings.chaos, self._random.random()
        if draw < chaos.stops:
            os.kill(slot.pid, signal.SIGSTOP)
            slot.wake_at = time.monotonic() + self.settings.times.ttl * self._random.uniform(1.5, 2.5)
            self.kills["stopped past the TTL"] += 1
        elif draw < chaos.stops + chaos.zombies:
            os.kill(slot.pid, signal.SIGUSR1)
            # It has to be there when its lease is over, and to be killed some time.
            slot.die_at = time.monotonic() + 2.0 * self.settings.times.ttl
            slot.is_zombie = True
            self.kills["zombie"] += 1
        else:
            end(slot.pid)
            self.kills["SIGKILL"] += 1
            self._buried(slot)

    def _strike_database(self) -> None:
        """Kill the server at once, or at the very moment when an order has just been executed."""
        self.kills["postmaster"] += 1
        away = self.settings.chaos.away_seconds
        if self._random.random() >= self.settings.chaos.armed:
            self.database.kill(lambda pid: os.kill(pid, signal.SIGKILL), away_seconds=away)
        else:
            self.database.kill(self._arm, away_seconds=away)

    def _arm(self, pid: int) -> None:
        self.venue.tell("arm", pid=pid)
        deadline = time.monotonic() + 2.0
        while self.database.server.is_running and time.monotonic() < deadline:
            self._let_live_and_die()
            time.sleep(0.002)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def _calm_down(self) -> None:
        """Stop all faults, let the traders put everything in order, stop them cleanly."""
        self.venue.tell("calm")
        (self.folder / "calm").touch()
        for slot in self.slots:
            # One that will never hold an account again would keep its place from one that does.
            if slot.pid and slot.is_zombie:
                end(slot.pid)
                self._buried(slot)
        quiet, seconds = time.monotonic(), self.settings.times.settle
        is_frozen = False
        while time.monotonic() < quiet + seconds:
            self._tend_gateways(now=-math.inf)
            for slot in self.slots:
                self._tend(slot, is_calm=True)
            if not is_frozen and time.monotonic() > quiet + 0.6 * seconds:
                self.venue.tell("freeze")
                is_frozen = True
            time.sleep(TICK_SECONDS)
        for slot in self.slots:
            if slot.pid:
                end(slot.pid, signal.SIGTERM)
                self._lives.note("dead", sender=f"soak-{slot.number}-{slot.life}")
                slot.pid = 0
        for gateway in self.gateways:
            end(gateway.pid, signal.SIGTERM)
            gateway.pid = 0
        self.venue.stop()

    def _end_all(self) -> None:
        for slot in self.slots:
            if slot.pid:
                end(slot.pid)
        for gateway in self.gateways:
            if gateway.pid:
                end(gateway.pid)
        end(self.venue.pid)


def warm() -> None:
    """Load what agents load on their first request, so that a life of 0.4 s does something."""
    for name in ("anyio._backends._asyncio", "httpcore", "asyncpg.pool"):
        importlib.import_module(name)

    async def open_and_close() -> None:
        await HttpClient("warm", base_url="http://127.0.0.1", stream_url="", headers={}, clock=SystemClock()).close()

    asyncio.run(open_and_close())
