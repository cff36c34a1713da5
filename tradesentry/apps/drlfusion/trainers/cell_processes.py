"""Run cells in spawned processes: one thread each, progress through a queue, a clean stop, no orphans.

Separate from the cells, which know nothing of processes. A worker ends when its parent does, even by SIGKILL, because
it waits on the parent's sentinel; Ctrl-C belongs to the parent, which asks the workers to stop at their next step.
"""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from multiprocessing import connection, get_context, parent_process
from typing import Any

from tradesentry.apps.drlfusion.trainers.base_trainer import Progress, TrainingProgress
from tradesentry.apps.drlfusion.trainers.cells import Cell, CellStore, train_cell

_LINE: dict[str, Any] = {}
"""Queue and stop event of a worker process, handed over when it starts."""


class _Stopped(Exception):
    """The parent asked this worker to stop."""


def _start(queue: Any, stop: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = "1"
    _LINE.update(queue=queue, stop=stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _train(cell: Cell, store: CellStore) -> str:
    def tell(progress: TrainingProgress) -> None:
        _LINE["queue"].put(progress)
        if _LINE["stop"].is_set():
            raise _Stopped

    if not _LINE["stop"].is_set():
        train_cell(cell, store, tell)
    return cell.key


def trained_in_processes(
    cells: Sequence[Cell], store: CellStore, *, processes: int, progress: Progress
) -> Iterator[Cell]:
    """Yield cells as they are finished.

    Args:
        cells: Unfinished cells.
        store: Where results are kept.
        processes: How many run at a time.
        progress: Told how far each running cell is, in a thread of this process.
    """
    context = get_context("spawn")
    queue, stop = context.Queue(), context.Event()
    listener = threading.Thread(target=_listen, args=(queue, progress), daemon=True)
    listener.start()
    by_key = {cell.key: cell for cell in cells}
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_start, initargs=(queue, stop))
    try:
        waiting = {pool.submit(_train, cell, store) for cell in cells}
        while waiting:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                yield by_key[future.result()]
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
        queue.put(None)
        listener.join()
        queue.close()


def _listen(queue: Any, progress: Progress) -> None:
    while True:
        said = queue.get()
        if said is None:
            return
        progress(said)
