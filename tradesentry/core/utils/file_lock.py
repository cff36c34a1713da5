"""Lock a file for as long as it is open: how one process of a machine knows that it is the only one.

The system frees the lock when the process dies, however it dies, so a lock says more than a number in a file.
"""

import sys
from typing import IO


def lock_file(file: IO[str]) -> bool:
    """Lock an open file without waiting; it is free again when it is closed or its process has died.

    Args:
        file: Open for writing.

    Returns:
        False when another process has it.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
