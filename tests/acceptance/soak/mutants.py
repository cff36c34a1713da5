"""Traders with one fault each, which the soak has to catch by the column named; M- is the unpatched one.

A fault is planted in the child after the fork, in the product's own functions. Where a mutant names faults of its own,
they only bring it out sooner.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.acceptance.soak import plants
from tests.acceptance.soak.agent import live
from tests.acceptance.soak.naive import HastySession, NaiveSession
from tests.acceptance.soak.sessions import session_of
from tests.acceptance.soak.settings import AgentSettings, Chaos, SoakSettings


@dataclass(frozen=True)
class Mutant:
    """One faulty trader."""

    what: str
    columns: tuple[str, ...]
    """It is caught when one of these shows violations."""
    agent: Callable[[AgentSettings], None]
    soak: Callable[[SoakSettings], SoakSettings] = lambda settings: settings
    """Faults that bring it out sooner."""
    brokers: tuple[str, ...] = ("oanda", "gateway", "paper")
    """Where it can be: what is another trader altogether needs a venue of its own."""


def planted(plant: Callable[[], None]) -> Callable[[AgentSettings], None]:
    """Return an agent with a fault in it."""

    def agent(given: AgentSettings) -> None:
        plant()
        live(given, session_of(given))

    return agent


def _with(wire: str = "", **chaos: float) -> Callable[[SoakSettings], SoakSettings]:
    """Return how a soak is changed: lines of wire faults that come first, other chaos."""

    def change(settings: SoakSettings) -> SoakSettings:
        changed: Chaos = replace(settings.chaos, **chaos)
        return replace(settings, wire=wire + settings.wire, chaos=changed)

    return change


def _busy_hands(settings: SoakSettings) -> SoakSettings:
    return replace(_leisurely(_calm(settings)), manual_per_second=4.0, manual_actions=("unstop",))


def _leisurely(settings: SoakSettings) -> SoakSettings:
    """Return a soak of few orders, where trades live for seconds and pages of events are short."""
    return replace(settings, apps=1, runless=1, draws=1, times=replace(settings.times, bar=0.1), requests=0)


def _calm(settings: SoakSettings) -> SoakSettings:
    chaos = replace(settings.chaos, life_seconds=6.0, young=0.0, crash_points=0.0, postmaster_seconds=1e6, halts=False)
    return replace(settings, manual_per_second=0.0, chaos=chaos, wire="", trading="")


def _narrow(settings: SoakSettings) -> SoakSettings:
    return replace(_calm(settings), currency_net=0.2)


def _late_stops(settings: SoakSettings) -> SoakSettings:
    return replace(_calm(settings), wire="late:0.3-0.55 40% on protect\n", protects=0.8)


def _cut_fills(settings: SoakSettings) -> SoakSettings:
    wire = "lose_reply 60% on place\nstream_drop 40% on events\npage_incomplete 40%\n"
    # A page of a life's first look is whole again soon; what is cut has to be heard in the middle of a life.
    chaos = replace(settings.chaos, life_seconds=3.0, young=0.0, crash_points=0.0)
    slower = replace(_leisurely(settings), chaos=chaos)
    return replace(slower, wire=wire, trading="partial:0.5 90% on place\n", manual_per_second=0.0)


def _long_outages(settings: SoakSettings) -> SoakSettings:
    chaos = replace(settings.chaos, postmaster_seconds=4.0, armed=0.0, away_seconds=1.5, life_seconds=6.0, young=0.0,
                    crash_points=0.0, halts=False)  # fmt: skip
    return replace(settings, chaos=chaos, times=replace(settings.times, ttl=5.0))


MUTANTS = {
    "M-": Mutant("the trader as it is", (), lambda given: live(given, session_of(given))),
    "M0": Mutant(
        "retries on timeout, records after success", ("duplicates", "lost"), lambda given: live(given, NaiveSession),
        brokers=("oanda", "gateway"),
    ),
    "M1": Mutant(
        "resends when the first query finds nothing", ("duplicates",), planted(plants.resend),
        _with("late:0.3-0.6 60% on place\n", postmaster_seconds=30.0, life_seconds=3.0, young=0.0, crash_points=0.0),
    ),
    "M2": Mutant(
        "journals after the send", ("lost",), lambda given: live(given, HastySession), brokers=("oanda", "gateway")
    ),
    "M3": Mutant(
        "takes a timeout for a refusal, ignores late evidence", ("lost",), planted(plants.refuse_silence),
        _with("lose_reply 20% on place\n"),
    ),
    "M4": Mutant(
        "cursor = last id in the page", ("fill mismatches",), planted(plants.jump),
        _with("page_incomplete 60%\nstream_drop 40% on events\nlose_reply 25% on place, close\n"),
    ),
    "M5": Mutant("does not dedupe events by id", ("fill mismatches",), planted(plants.count_again)),
    "M6": Mutant(
        "effect without the epoch check", ("stale writes",), planted(plants.unfenced),
        _with(zombies=0.6, delayed_restarts=0.6, young=0.0, crash_points=0.0, life_seconds=0.8),
    ),
    "M7": Mutant(
        "takes what the old owner was sending for not placed", ("duplicates", "false absences"),
        planted(plants.forget_sending), _with("slow:0.2 60% on place\n", crash_points=1.0, young=0.0),
    ),
    "M8": Mutant(
        "synchronous_commit = off on SENDING", ("lost",), planted(plants.lazy_commit),
        _with(postmaster_seconds=1.5, armed=1.0, young=0.0, crash_points=0.0, life_seconds=2.0),
    ),
    "M9": Mutant(
        "sends while the database is away", ("sent while away",), planted(plants.careless), _long_outages),
    "M10": Mutant(
        "drops a fill after CANCELED", ("fill mismatches",), planted(plants.drop_late_fills), _cut_fills),
    "M11": Mutant(
        "no protective check", ("naked",), planted(plants.unguarded), _busy_hands
    ),
    "M12": Mutant("reserves outside the book lock", ("limits",), planted(plants.stale_book), _narrow),
    "M13": Mutant(
        "lets a late replace loosen a stop", ("loosened",), planted(plants.overtake), _late_stops),
}  # fmt: skip
