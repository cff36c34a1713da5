"""A process whose lives a test writes down: what a supervisor keeps, on a clock that stands still until it is moved."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tradesentry.core.domain.clock import FakeClock, within


class ScriptedProcess:
    """A `Kept` that lives as long as it is told.

    Args:
        name: Its name.
        folder: Of its log.
        lives: Seconds of each life.
        stage: Higher stages are ended first.
        failures: What the first starts raise.
        stops_after: Seconds that it takes to end when asked to by `stop`.
        order: Gets (name, seconds) when it has been stopped.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        lives: Sequence[float],
        stage: int = 1,
        failures: Sequence[Exception] = (),
        stops_after: float = 0.0,
        order: list[tuple[str, float]] | None = None,
    ) -> None:
        self.name, self.stage, self.log_file = name, stage, folder / f"{name}.log"
        self.clock = FakeClock(0)
        self._lives, self._failures, self._stops_after = list(lives), list(failures), stops_after
        self._order = [] if order is None else order
        self._end = asyncio.Event()
        self.began: list[float] = []
        self.is_ended = False

    @property
    def pid(self) -> int | None:
        """A number while it lives."""
        return None if self.is_ended else 1000 + len(self.began)

    async def start(self) -> None:
        """Begin the next life, or fail as written down."""
        if self._failures:
            raise self._failures.pop(0)
        self._end = asyncio.Event()
        self.began.append(self.clock.monotonic())
        self.is_ended = False

    async def wait(self) -> int:
        """Live."""
        with suppress(TimeoutError):
            await within(self.clock, self._lives.pop(0), self._end.wait())
        self.is_ended = True
        return 1

    def ask_to_end(self) -> None:
        """End this life."""
        self._end.set()

    async def stop(self, seconds: float) -> None:
        """End within the time given, as slowly as written down."""
        began = self.clock.monotonic()
        await self.clock.sleep(min(seconds, self._stops_after))
        self.is_ended = True
        self._order.append((self.name, self.clock.monotonic() - began))
