"""Traders with one fault each, which the soak has to catch by the column named; M- is the unpatched one."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.acceptance.soak.agent import live
from tests.acceptance.soak.naive import NaiveSession
from tests.acceptance.soak.settings import AgentSettings, SoakSettings
from tests.acceptance.soak.trader import TraderSession


@dataclass(frozen=True)
class Mutant:
    """One faulty trader."""

    what: str
    columns: tuple[str, ...]
    """It is caught when one of these shows violations."""
    agent: Callable[[AgentSettings], None]
    soak: Callable[[SoakSettings], SoakSettings] = lambda settings: settings
    """Faults that bring it out sooner; the unpatched trader has to pass them too."""


MUTANTS = {
    "M-": Mutant("the trader as it is", (), lambda given: live(given, TraderSession)),
    "M0": Mutant("retries on timeout, records after success", ("duplicates",), lambda given: live(given, NaiveSession)),
}
