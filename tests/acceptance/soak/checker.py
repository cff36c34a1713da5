"""Judge a soak: every invariant over all evidence, by the columns of its table."""

from collections.abc import Mapping

from tests.acceptance.soak import account_checks, order_checks
from tests.acceptance.soak.account_checks import Bounds
from tests.acceptance.soak.evidence import Evidence, Journal, VenueFile

COLUMNS = (*order_checks.CHECKS, *account_checks.CHECKS)


def check(evidence: Evidence, bounds: Bounds | None = None) -> Mapping[str, list[str]]:
    """Return the violations by column; all lists are empty when every invariant holds."""
    found: dict[str, list[str]] = {column: [] for column in COLUMNS}
    for account in sorted(evidence.venue.keys() | evidence.journal.keys()):
        venue = evidence.venue.get(account, VenueFile())
        journal = evidence.journal.get(account, Journal())
        for column, judge in order_checks.CHECKS.items():
            found[column] += [f"{account[-3:]} {text}" for text in judge(venue, journal)]
    for column, look in account_checks.CHECKS.items():
        found[column] += look(evidence, bounds or Bounds())
    return found
