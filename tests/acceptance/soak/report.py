"""Run a soak with the trader that was asked for, judge it, and print the table of section 15.4."""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tests.acceptance.soak.account_checks import Bounds, given_up
from tests.acceptance.soak.checker import check
from tests.acceptance.soak.evidence import Claim, Evidence
from tests.acceptance.soak.lives import deaths
from tests.acceptance.soak.mutants import MUTANTS
from tests.acceptance.soak.settings import MUST_STRIKE, AgentSettings, SoakSettings, Times
from tests.acceptance.soak.supervisor import Outcome, Soak

SHOWN = 12
STANDING = 3.0
"""Horizons after which an order that looks lost is lost."""
MOST_OUTRUN = 2
"""More of these, and the machine is too slow for the scaled times: the soak proves nothing."""


@dataclass(frozen=True)
class Verdict:
    """A judged soak."""

    settings: SoakSettings
    outcome: Outcome
    found: Mapping[str, Sequence[str]]
    outrun: Sequence[str]
    """Orders that this machine let the venue execute later than the horizon allows; rare, and nobody's violation."""
    n_orders: int
    n_takeovers: int
    n_kills: int
    too_few: Sequence[str]
    """What happened too seldom for the soak to prove anything."""

    @property
    def is_passed(self) -> bool:
        """Whether every invariant held and enough happened."""
        return not self.too_few and not any(self.found.values()) and len(self.outrun) <= MOST_OUTRUN


def say(text: str = "") -> None:
    """Write a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def takeovers(claims: Sequence[Claim]) -> int:
    """Return how often an account went from one slot to the other."""
    slots: dict[str, str] = {}
    n = 0
    for claim in sorted(claims, key=lambda claim: claim.at_ns):
        slot = claim.sender.split("-")[1]
        n += slots.get(claim.account, slot) != slot
        slots[claim.account] = slot
    return n


def judge(settings: SoakSettings, *, keep: bool = False, until: Sequence[str] = ()) -> Verdict:
    """Soak and judge.

    Args:
        settings: Of the soak.
        keep: Leave its files.
        until: Columns; the soak ends when a violation in one of them has stood for three horizons.
    """
    agent: Callable[[AgentSettings], None] = MUTANTS[settings.mutant or "M-"].agent
    bounds = bounds_of(settings)
    since: dict[str, float] = {}

    def is_enough(evidence: Evidence) -> bool:
        """Say whether a violation has stood for so long that it will stay; what is under way looks wrong at first."""
        found, now = check(evidence, bounds), time.monotonic()
        seen = {text for column in until for text in found[column]}
        known = {text: since.get(text, now) for text in seen}
        since.clear()
        since.update(known)
        return any(now - at >= STANDING * settings.times.horizon for at in known.values())

    soak = Soak(settings, agent, say=say, is_enough=is_enough if until else None)
    try:
        outcome = soak.run()
        outrun = [found.text for found in given_up(outcome.evidence, bounds) if found.is_venues]
        return verdict_of(settings, outcome, check(outcome.evidence, bounds), outrun)
    finally:
        if not keep:
            soak.clean()
        else:
            say(f"files: {soak.folder}")


def bounds_of(settings: SoakSettings) -> Bounds:
    """Return what a soak allows."""
    return Bounds(
        currency_net=settings.currency_net,
        open_risk=settings.open_risk,
        max_send_seconds=settings.times.max_send,
        horizon_seconds=settings.times.horizon,
        naked_seconds=2.0 * settings.times.ttl / Times().ttl,
    )


def verdict_of(
    settings: SoakSettings, outcome: Outcome, found: Mapping[str, Sequence[str]], outrun: Sequence[str]
) -> Verdict:
    """Return the verdict on an outcome; arguments as the fields of `Verdict`."""
    evidence, least = outcome.evidence, settings.minimums
    n_orders = sum(t["kind"] == "order_accepted" for v in evidence.venue.values() for t in v.transactions)
    n_takeovers = takeovers(evidence.claims)
    n_kills = deaths(outcome.kills)
    counts = {
        "kills": (n_kills, least.kills),
        "venue orders": (n_orders, least.orders),
        "takeovers": (n_takeovers, least.takeovers),
        "postmaster kills": (outcome.kills["postmaster"], least.postmaster_kills),
        **{name: (evidence.hits[name], least.hits) for name in MUST_STRIKE},
    }
    too_few = [f"{name}: {n} of {wanted}" for name, (n, wanted) in counts.items() if n < wanted]
    return Verdict(settings, outcome, found, outrun, n_orders, n_takeovers, n_kills, too_few)


def print_report(verdict: Verdict) -> None:
    """Print what happened and what was violated."""
    outcome, hits = verdict.outcome, verdict.outcome.evidence.hits
    where = f"{os.cpu_count()} cores, PostgreSQL {outcome.pg_version}, {outcome.commits_per_second:,.0f} commits/s"
    say(f"seed {verdict.settings.seed}, {verdict.settings.seconds:g} s, {verdict.settings.broker}, {where}")
    rows = [("kills", verdict.n_kills), ("takeovers", verdict.n_takeovers), ("venue orders", verdict.n_orders)]
    rows += sorted(outcome.kills.items())
    rows += [(f"fault {name}", n) for name, n in sorted(hits.items())]
    for name, n in rows:
        say(f"  {name:<28}{n:>8,}")
    say("violations")
    for column, texts in verdict.found.items():
        say(f"  {column:<28}{len(texts):>8,}")
    for texts in verdict.found.values():
        for text in texts[:SHOWN]:
            say(f"    {text}")
        if len(texts) > SHOWN:
            say(f"    and {len(texts) - SHOWN:,} more")
    for text in verdict.outrun:
        say(f"  the venue was later than its horizon: {text}")
    for text in verdict.too_few:
        say(f"  too few {text}")
    say("passed" if verdict.is_passed else "FAILED")


def run_mutants(settings: SoakSettings, names: Sequence[str], *, controls: bool = False) -> int:
    """Run mutants, each until it is caught or its time is over; return 1 when one survives or a control fails.

    Args:
        settings: Of all soaks; each mutant adds faults of its own.
        names: Mutants; all when empty.
        controls: Whether the trader as it is runs through the same faults afterwards, and has to pass.
    """
    chosen = names or [name for name, it in MUTANTS.items() if name != "M-" and settings.broker in it.brokers]
    survivors = [name for name in chosen if not is_caught(settings, name)]
    say(f"survived: {', '.join(survivors)}" if survivors else "all caught")
    faults: dict[SoakSettings, list[str]] = {}
    for name in chosen if controls else ():
        faults.setdefault(MUTANTS[name].soak(settings), []).append(name)
    failed = [", ".join(of) for soak, of in faults.items() if not is_clean(soak, of)]
    if controls:
        say(f"the trader as it is failed at the faults of {'; '.join(failed)}" if failed else "all controls passed")
    return 1 if survivors or failed else 0


def is_caught(settings: SoakSettings, name: str) -> bool:
    """Run one mutant and say whether one of its columns shows it."""
    mutant, began = MUTANTS[name], time.monotonic()
    short = replace(settings.times, settle=0.5 * settings.times.settle)
    soak = mutant.soak(replace(settings, times=short))
    verdict = judge(replace(soak, mutant=name), until=mutant.columns)
    caught = Counter({column: len(texts) for column, texts in verdict.found.items() if texts})
    is_shown = any(caught[column] for column in mutant.columns)
    shown = ", ".join(f"{column} {n}" for column, n in caught.items()) or "nothing"
    went = f"{_went(verdict)}, {time.monotonic() - began:.0f} s"
    say(f"{name:<4} {mutant.what:<52} {'caught' if is_shown else 'SURVIVED'}: {shown} ({went})")
    return is_shown


def is_clean(soak: SoakSettings, names: Sequence[str]) -> bool:
    """Run the trader as it is through the faults of mutants, and say whether it passes."""
    verdict = judge(soak)
    found = {column: list(texts) for column, texts in verdict.found.items() if texts}
    said = "passed" if verdict.is_passed else "FAILED"
    say(f"M-   the trader as it is, faults of {', '.join(names):<25} {said} ({_went(verdict)})")
    for column, texts in found.items():
        say(f"       {column}: {'; '.join(texts[:3])}")
    for text in () if verdict.is_passed else verdict.outrun:
        say(f"       the venue was later than its horizon: {text}")
    return verdict.is_passed


def _went(verdict: Verdict) -> str:
    return f"{verdict.n_kills} kills, {verdict.n_takeovers} takeovers, {verdict.n_orders} orders"
