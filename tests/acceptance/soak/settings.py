"""What a soak is made of: scaled times, the fault mix, how often who dies. One value travels to every process."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

WIRE: Final = """
reset_before 6% on place
lose_reply 6% on place
late:0.05-0.6 4% on place
slow:0.4 4% on place
double_reply 4% on place
status:503 1% on place
reset_before 3% on close, protect, replace, cancel
lose_reply 4% on close, protect, replace, cancel
late:0.05-0.6 4% on close, protect, replace, cancel
double_reply 2% on close, protect, replace, cancel
reset_before 0.5% on read
status:502 0.5% on read
page_reversed 20%
page_repeated 20%
page_incomplete 20%
page_dropped 5%
page_ahead 2%
stream_closed 0.5% on events
stream_drop 3% on events
stream_double 3% on events
stream_split 2% on events
stream_garbage 1% on events
"""
"""Between trader and venue, per request, page and line of a stream."""
TRADING: Final = """
reject:INSUFFICIENT_MARGIN 5% on place
halted 3% on place
requote 2% on place
partial:0.5 25% on place
"""
"""At the venue, per order."""
TERMINAL: Final = """
lose_reply 3% on place, close, protect
late:0.05-0.3 2% on place
reset_before 2% on place, close
terminal_restart 0.02% on read, events
placed:0.05-0.3 5% on place
history_lag:0.05-0.3 4% on place
"""
"""Between a gateway and its terminal, per call, and at the terminal's server, per order."""
MUST_STRIKE: Final = (
    "reset_before", "lose_reply", "late", "slow", "double_reply", "reject", "partial", "page_reversed",
    "page_repeated", "page_incomplete", "page_dropped",
)  # fmt: skip
"""Faults of section 15.4; each has to strike at least `min_hits` times."""


@dataclass(frozen=True)
class Times:
    """Scaled times, seconds; the horizon exceeds the latest execution plus `max_send`."""

    ttl: float = 0.6
    max_send: float = 0.2
    timeout: float = 0.25
    horizon: float = 1.0
    commit: float = 2.0
    bar: float = 0.06
    settle: float = 8.0
    """How long the traders may put things in order once the faults have stopped."""

    def slowed(self, factor: float) -> "Times":
        """Return times for a machine that is that much slower; bars keep their length."""
        names = ("ttl", "max_send", "timeout", "horizon", "settle")
        return replace(self, **{name: factor * getattr(self, name) for name in names})


@dataclass(frozen=True)
class Chaos:
    """Who dies how often. Shares of all kills."""

    life_seconds: float = 0.4
    """Mean time for which a process trades before it is killed, counted from when it has recovered an account."""
    deaths_per_second: float = 0.0
    """Deaths wanted; lives are shortened while there are fewer. 0: none in particular."""
    young: float = 0.3
    """Share of lives that end before that, at any instant of their start."""
    start_seconds: float = 0.3
    """Longest such life."""
    delayed_restarts: float = 0.3
    """Share of kills after which the slot stays away past the TTL, so that the other one takes over."""
    crash_points: float = 0.4
    """Share of lives that are to die at a named point."""
    stops: float = 0.04
    """Share of kills that are SIGSTOP past the TTL, then SIGCONT."""
    zombies: float = 0.03
    """Share of kills that make a process neither renew nor fence itself."""
    postmaster_seconds: float = 7.5
    """Between two kills of the database."""
    armed: float = 0.5
    """Share of these kills that come at the very moment when an order was executed."""
    away_seconds: float = 0.2
    """How long the database stays away before it is started again."""
    backend_seconds: float = 14.0
    gateway_seconds: float = 8.0
    """Mean time that a gateway lives, where there are gateways."""
    halts: bool = True
    """Halt an account by hand in between and re-arm it."""


@dataclass(frozen=True)
class Minimums:
    """What a soak must have gone through to count; a quiet one proves nothing."""

    kills: int = 150
    orders: int = 600
    takeovers: int = 20
    postmaster_kills: int = 5
    hits: int = 5


@dataclass(frozen=True)
class SoakSettings:
    """One soak."""

    seconds: float = 60.0
    requests: int = 0
    """Fewest requests to the venue; on a slow machine the soak lasts longer until there were so many."""
    patience: float = 6.0
    """Longest duration, in multiples of `seconds`."""
    seed: int = 1
    broker: str = "oanda"
    mutant: str = ""
    wire: str = WIRE
    trading: str = TRADING
    terminal: str = TERMINAL
    manual_per_second: float = 1.0
    manual_actions: tuple[str, ...] = ("deposit", "trade", "close", "unstop", "unstop")
    """What hands do, drawn evenly."""
    apps: int = 3
    """Strategies of an account, each with a run of its own."""
    draws: int = 3
    """What a strategy wants at most on one bar."""
    runless: int = 2
    """Further ones without a run, which store nothing of their own."""
    protects: float = 0.0
    """Share of bars on which, if there is a trade, its stop is moved and nothing else."""
    times: Times = Times()
    chaos: Chaos = Chaos()
    minimums: Minimums = Minimums()
    currency_net: float = 0.6
    """Limits of the book, so low that they are met all the time."""
    open_risk: float = 0.006


@dataclass(frozen=True)
class AgentSettings:
    """What one life of an agent is given."""

    soak: SoakSettings
    database_url: str
    accounts: Mapping[str, str]
    """Address of the venue by account."""
    account_ids: Mapping[uuid.UUID, str]
    """Account at the venue by the journal's id."""
    runs: Mapping[uuid.UUID, uuid.UUID]
    """Run of the first strategy by the journal's account."""
    log: Path
    calm_file: Path
    """Nothing new is wanted once this file exists."""
    slot: int = 0
    life: int = 0
    crash_point: str = ""
    may_reclaim: bool = False
    more_runs: Mapping[uuid.UUID, tuple[uuid.UUID, ...]] = field(default_factory=dict)
    """Runs of the other strategies."""

    @property
    def owner(self) -> str:
        """Name of the slot in the lease."""
        return f"soak:{self.slot}"

    @property
    def sender(self) -> str:
        """Name of this very process at the venue."""
        return f"soak-{self.slot}-{self.life}"
