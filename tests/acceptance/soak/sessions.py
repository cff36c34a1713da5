"""Which session trades the accounts of a soak, by its broker."""

from tests.acceptance.soak.agent import OpenSession
from tests.acceptance.soak.paper_trader import PaperSession
from tests.acceptance.soak.settings import AgentSettings
from tests.acceptance.soak.trader import TraderSession


def session_of(given: AgentSettings) -> OpenSession:
    """Return the trader as it is, for the broker of a soak.

    Args:
        given: Of a life.
    """
    return PaperSession if given.soak.broker == "paper" else TraderSession
