"""The journals under test, and the database that the one in PostgreSQL is tested on."""

import asyncio

import pytest

from tests.conformance.journal.rigs import RIGS
from tests.support.postgres import database, postgres

__all__ = ["database", "postgres"]


@pytest.fixture(params=list(RIGS))
def with_rig(request):
    """Run an asynchronous test on a journal."""
    database = request.getfixturevalue("database") if request.param == "postgres" else None

    def run(test):
        async def work():
            async with RIGS[request.param](database) as rig:
                await test(rig, await rig.lease())

        asyncio.run(work())

    return run
