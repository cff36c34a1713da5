"""One thread owns the terminal: one that hung and comes back numbers nothing again."""

import threading

from tests.conformance.brokers.terminal_benches import session_of, terminal_for
from tests.support.terminals import deal
from tests.support.venues import TUESDAY_NS
from tradesentry.core.domain.clock import FakeClock

GRACE = 0.5
"""Real seconds in which a second owner would write, were it not made to wait."""


def test_a_thread_that_takes_over_while_events_are_written_numbers_them_once():
    """Found by a reply that never came. Seen to fail: both threads saw the same deal new and numbered it 1, 2, 3."""
    clock = FakeClock(TUESDAY_NS)
    package = terminal_for(clock)
    session = session_of(package, clock)
    terminal = session.terminal
    terminal.proven(lambda: None)
    package.order_send(deal(sl=1.09))
    append = terminal.log._file.append
    successor = threading.Thread(target=lambda: terminal.proven(terminal.refresh))

    def slowly(*rows):
        if not successor.ident:
            successor.start()
            successor.join(GRACE)
        append(*rows)

    terminal.log._file.append = slowly
    first = terminal.refresh()
    successor.join()

    assert len(first) > 0
    assert [event.seq for event in terminal.log.events] == list(range(1, len(first) + 1))
    terminal.close_logs()
