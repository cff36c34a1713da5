"""Say where plays run: threads of this process, processes of this machine, or a Ray cluster. The results are the same.

A job is one variant in one window on one stage, named by the digest of all that goes into it. Jobs are grouped into
chunks that take about a second; a chunk is pure, so it may run anywhere, twice, or in any order. Kernels release the
GIL, so threads are the default; processes serve strategies that hold it; Ray serves more than one machine.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from types import TracebackType
from typing import Any, Protocol, Self

from tradesentry.backtest.source_code import code_digest
from tradesentry.backtest.studies.outcome import Outcome
from tradesentry.backtest.studies.stage import Stage, Window
from tradesentry.backtest.studies.variants import Variant
from tradesentry.core.domain.errors import TradeSentryError, UsageError
from tradesentry.core.utils.kernel import IS_COMPILED

CHUNK_BARS = 2_000_000
"""Bars of a chunk: about a second, so that a cluster's overhead is small and a killed study loses little."""
IN_FLIGHT = 3
"""Chunks handed out per worker."""


@dataclass(frozen=True, slots=True)
class Job:
    """One play."""

    digest: str
    """Address of its outcome."""
    stage: str
    """Key of its stage."""
    variant: Variant
    window: Window
    cost_scale: float | None
    n_bars: int


Chunk = Sequence[Job]
Done = Mapping[str, Outcome]
"""Outcomes by digest."""


def new_job(key: str, stage: Stage, variant: Variant, window: Window, *, cost_scale: float | None = None) -> Job:
    """Return the job of a variant in a window.

    Args:
        key: Key of the stage in its study.
        stage: Bars, calendar and costs.
        variant: Parameters.
        window: Part of the period.
        cost_scale: Multiple of the costs; the settings' when None.
    """
    params = stage.params_digest(variant.config, variant.key)
    text = f"{stage.digest} {variant.key} {params} {window.start_ns} {window.end_ns} {cost_scale}"
    digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return Job(digest, key, variant, window, cost_scale, stage.n_bars(window))


def chunks_of(jobs: Iterable[Job], *, chunk_bars: int = CHUNK_BARS) -> Iterator[list[Job]]:
    """Yield jobs in order, grouped into chunks of one stage and about `chunk_bars` bars."""
    chunk: list[Job] = []
    bars = 0
    for job in jobs:
        if chunk and (job.stage != chunk[0].stage or bars + job.n_bars > chunk_bars):
            yield chunk
            chunk, bars = [], 0
        chunk.append(job)
        bars += job.n_bars
    if chunk:
        yield chunk


def play_chunk(stages: Mapping[str, Stage], chunk: Chunk, is_stopped: Callable[[], bool] | None = None) -> Done:
    """Play the jobs of a chunk and return their outcomes; fewer when told to stop.

    Args:
        stages: By key.
        chunk: Jobs.
        is_stopped: Asked before every job.
    """
    done = {}
    for job in chunk:
        if is_stopped is not None and is_stopped():
            break
        stage = stages[job.stage]
        done[job.digest] = stage.play(job.variant.config, job.window, cost_scale=job.cost_scale)
    return done


class Runner(AbstractContextManager["Runner"], Protocol):
    """Where chunks run."""

    @property
    def workers(self) -> int:
        """Return how many chunks run at a time."""

    def run(self, stages: Mapping[str, Stage], chunks: Iterable[Chunk]) -> Iterator[Done]:
        """Yield the outcomes of chunks as they are done, in any order."""


class _Pool:
    """What thread and process pools share: a few chunks in flight, and a clean stop."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._stop = threading.Event()

    @property
    def workers(self) -> int:
        """Return how many chunks run at a time."""
        return self._workers

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()

    def _drain(
        self, pool: Executor, submit: Callable[[Chunk], "Future[Done]"], chunks: Iterable[Chunk]
    ) -> Iterator[Done]:
        waiting: set[Future[Done]] = set()
        source = iter(chunks)
        is_empty = False
        try:
            while waiting or not is_empty:
                while not is_empty and len(waiting) < IN_FLIGHT * self.workers:
                    chunk = next(source, None)
                    is_empty = chunk is None
                    if chunk is not None:
                        waiting.add(submit(chunk))
                if waiting:
                    finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in finished:
                        yield future.result()
        finally:
            self._stop.set()
            pool.shutdown(wait=True, cancel_futures=True)


class Threads(_Pool):
    """Threads of this process over shared bars."""

    def run(self, stages: Mapping[str, Stage], chunks: Iterable[Chunk]) -> Iterator[Done]:
        """Yield the outcomes of chunks as they are done, in any order."""
        self._stop.clear()
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="play")
        yield from self._drain(pool, lambda chunk: pool.submit(play_chunk, stages, chunk, self._stop.is_set), chunks)


_STAGES: dict[str, Stage] = {}
"""Stages of a worker process, handed over once when it starts."""


def _start_process(stages: Mapping[str, Stage]) -> None:
    import signal

    # Ctrl-C is the parent's business: it stops handing out chunks and waits for those that run.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _STAGES.update(stages)


def _end_with_parent() -> None:
    """End this process when its parent is gone, also by SIGKILL: a worker without one would wait for work for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _play_in_process(chunk: Chunk) -> Done:
    return play_chunk(_STAGES, chunk)


class Processes(_Pool):
    """Processes of this machine, each with its own copy of the stages; for strategies that hold the GIL."""

    def run(self, stages: Mapping[str, Stage], chunks: Iterable[Chunk]) -> Iterator[Done]:
        """Yield the outcomes of chunks as they are done, in any order."""
        pool = ProcessPoolExecutor(
            self.workers, mp_context=get_context("spawn"), initializer=_start_process, initargs=(stages,)
        )
        yield from self._drain(pool, lambda chunk: pool.submit(_play_in_process, chunk), chunks)


class Ray:
    """A Ray cluster: bars travel once to every node, chunks go where there is room.

    Args:
        address: `ray://host:10001`, `auto` for the cluster of this machine, or None to start one here.
    """

    def __init__(self, address: str | None) -> None:
        self.address = address
        self._is_mine = False

    def __enter__(self) -> Self:
        ray = _ray()
        if not ray.is_initialized():
            try:
                ray.init(address=self.address, log_to_driver=False, logging_level="error", include_dashboard=None)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise TradeSentryError(
                    f"No Ray cluster answers at {self.address or 'this machine'}: {error}. Start one with "
                    "`ray start --head`, or leave --executor out.",
                    code="no_cluster",
                ) from error
            self._is_mine = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_mine:
            _ray().shutdown()
            self._is_mine = False

    @property
    def workers(self) -> int:
        """Return the processors of the cluster."""
        return max(1, int(_ray().cluster_resources().get("CPU", 1)))

    def run(self, stages: Mapping[str, Stage], chunks: Iterable[Chunk]) -> Iterator[Done]:
        """Yield the outcomes of chunks as they are done, in any order."""
        ray = _ray()
        remote = ray.remote(num_cpus=1, max_retries=5)(_play_remotely)
        code = {key: code_digest(stage.run.strategy) for key, stage in stages.items()}
        handles = {key: ray.put(stage) for key, stage in stages.items()}
        most = IN_FLIGHT * self.workers
        waiting: list[Any] = []
        source = iter(chunks)
        chunk = next(source, None)
        try:
            while waiting or chunk is not None:
                while chunk is not None and len(waiting) < most:
                    key = chunk[0].stage
                    waiting.append(remote.remote(key, handles[key], list(chunk), code[key]))
                    chunk = next(source, None)
                finished, waiting = ray.wait(waiting, num_returns=1)
                yield from ray.get(finished)
        finally:
            for one in waiting:
                ray.cancel(one)


def _play_remotely(key: str, stage: Stage, chunk: Chunk, code: str) -> Done:
    own = code_digest(stage.run.strategy)
    if own != code:
        raise TradeSentryError(
            f"A node of the cluster runs other code (digest {own}) than this machine ({code}), so its results would "
            "differ. Install the same version of TradeSentry and of the strategy on every node.",
            code="node_version",
        )
    return play_chunk({key: stage}, chunk)


def _ray() -> Any:
    """Return the package, or say how to get it; `Any` because it carries no types."""
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            "--executor ray needs the package ray, which is not installed. Install `trade-sentry-ai[ray]`.",
            code="no_ray",
        ) from error
    return ray


def new_runner(name: str, *, workers: int | None = None, ray_address: str | None = None) -> Runner:
    """Return the executor of a name.

    Args:
        name: `local` (threads), `processes`, `ray`, or `ray://host:port`.
        workers: Threads or processes; the machine's processors when None.
        ray_address: Cluster that plain `ray` means.

    Raises:
        UsageError: There is no executor of that name.
    """
    wanted = workers if workers is not None else (os.cpu_count() or 1)
    if wanted < 1:
        raise UsageError(f"--workers {wanted} cannot work. Give at least 1.")
    if name == "local":
        # Without the compiler plays hold the GIL and keep their memory in one table: one at a time.
        return Threads(wanted if IS_COMPILED else 1)
    if name == "processes":
        return Processes(wanted)
    if name == "ray" or name.startswith("ray://"):
        return Ray(ray_address if name == "ray" else name)
    raise UsageError(f"There is no executor {name!r}. Known: local, processes, ray, ray://HOST:PORT.")
