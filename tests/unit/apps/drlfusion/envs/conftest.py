"""A quarter of two made markets and their mirrors, observed once for all tests of the environment."""

import pytest

from tests.support.simulation import made_run
from tradesentry.apps.drlfusion.envs.market_data import market_data


@pytest.fixture(scope="session")
def run():
    """EURUSD and USDJPY, H1, default costs, no limits: nothing halts an account before a test is over."""
    return made_run(("EURUSD", "USDJPY"), limits="off")


@pytest.fixture(scope="session")
def data(run):
    """Their bars and features, each followed by its mirror."""
    return market_data(run)
