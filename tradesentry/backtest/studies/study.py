"""Run the plays of a study: look up what is finished, play the rest, file it, and say how far it is.

Shared by sweep, optimizer and walk-forward. The order in which plays finish is never seen outside: outcomes come back
under the digest of their job, so executor, chunking and number of threads cannot change a result.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tradesentry.backtest.executor import CHUNK_BARS, Job, Runner, chunks_of
from tradesentry.backtest.runner import new_arena
from tradesentry.backtest.studies.outcome import Outcome
from tradesentry.backtest.studies.stage import Stages
from tradesentry.backtest.studies.store import Store

STORE_FOLDER = ".work"
CHUNKS_PER_WORKER = 4


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a study is."""

    done: int
    """Plays finished, those found finished included."""
    total: int
    """Plays known so far; an optimizer learns of more as it goes."""
    reused: int
    """Plays found finished."""
    bars: int
    """Bars played in this process."""
    seconds: float


Report = Callable[[Progress], None]


class Study:
    """Where the plays of one study run and are kept.

    Args:
        stages: Stages of the study.
        runner: Executor, entered.
        runs: Folder of results; finished plays are kept under it.
        report: Told after every chunk.
        chunk_bars: Bars of a chunk.
    """

    def __init__(
        self,
        stages: Stages,
        runner: Runner,
        *,
        runs: Path,
        report: Report | None = None,
        chunk_bars: int = CHUNK_BARS,
    ) -> None:
        self.stages = stages
        self._runner = runner
        self._root = runs / STORE_FOLDER
        self._report = report or (lambda _progress: None)
        self._chunk_bars = chunk_bars
        self._started = time.perf_counter()
        self._done = self._total = self._reused = self._bars = 0
        self._stores: dict[str, Store] = {}
        self._is_warm = False

    def expect(self, n_plays: int) -> None:
        """Say that this many plays more will be asked for."""
        self._total += n_plays

    def outcomes(self, jobs: Sequence[Job], *, is_expected: bool = False) -> Iterator[tuple[Job, Outcome]]:
        """Yield the outcome of every job, each once, as it is found or played.

        Args:
            jobs: Plays; equal ones are played once.
            is_expected: They were announced with `expect`.
        """
        wanted = {job.digest: job for job in jobs}
        if not is_expected:
            self._total += len(wanted)
        missing = dict(wanted)
        for digest, outcome in self._found(wanted.values()):
            del missing[digest]
            self._done += 1
            self._reused += 1
            yield wanted[digest], outcome
        self._tell()
        if missing:
            yield from self._played(list(missing.values()))

    def again(self, job: Job) -> Outcome:
        """Return the outcome of a job that the study has had before; it is not counted twice."""
        for _, outcome in self._found([job]):
            return outcome
        return self.stages[job.stage].play(job.variant.config, job.window, cost_scale=job.cost_scale)

    @property
    def progress(self) -> Progress:
        """Return how far the study is."""
        seconds = time.perf_counter() - self._started
        return Progress(self._done, max(self._total, self._done), self._reused, self._bars, seconds)

    def _found(self, jobs: Iterable[Job]) -> Iterator[tuple[str, Outcome]]:
        by_stage: dict[str, list[str]] = {}
        for job in jobs:
            by_stage.setdefault(job.stage, []).append(job.digest)
        for stage, digests in by_stage.items():
            yield from self._store(stage).read(digests)

    def _played(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Outcome]]:
        if not self._is_warm:
            # One thread loads the compiled loops, so that the others do not do it too.
            new_arena(self.stages.base, lanes=[]).warm_up()
            self._is_warm = True
        by_digest = {job.digest: job for job in jobs}
        used = {job.stage: self.stages[job.stage] for job in jobs}
        # Few plays are spread thinner, so that every worker has something to do.
        share = sum(job.n_bars for job in jobs) // (CHUNKS_PER_WORKER * self._runner.workers)
        chunks = chunks_of(jobs, chunk_bars=min(self._chunk_bars, share))
        for done in self._runner.run(used, chunks):
            if not done:
                continue
            self._store(by_digest[next(iter(done))].stage).write(done)
            self._done += len(done)
            self._bars += sum(by_digest[digest].n_bars for digest in done)
            self._tell()
            for digest, outcome in done.items():
                yield by_digest[digest], outcome

    def _store(self, stage: str) -> Store:
        if stage not in self._stores:
            self._stores[stage] = Store(self._root, self.stages[stage].digest)
        return self._stores[stage]

    def _tell(self) -> None:
        self._report(self.progress)
