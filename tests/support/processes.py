"""Processes for acceptance tests: forked from a parent that has loaded everything and opened nothing.

A fork of a warmed parent works within milliseconds, so that a life of 0.4 s does something. The parent must run no
event loop and no thread when it forks. A child dies with its parent and never returns into the parent's code.
"""

import ctypes
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress

_DIE_WITH_PARENT = 1


def fork(work: Callable[[], None]) -> int:
    """Run `work` in a child and return its process id."""
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() == parent:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            work()
            code = 0
    except BaseException:  # noqa: BLE001 - the last stop before the process ends
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def is_alive(pid: int) -> bool:
    """Say whether a child has not ended; one that has is reaped."""
    try:
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return False


def end(pid: int, number: int = signal.SIGKILL, *, seconds: float = 10.0) -> None:
    """Send a child a signal and wait until it has ended; the hard way when it does not."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
        os.kill(pid, number)
    deadline = time.monotonic() + seconds
    while is_alive(pid):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Return two ends that talk to each other, for a parent and its child."""
    ours, theirs = socket.socketpair()
    return ours, theirs
