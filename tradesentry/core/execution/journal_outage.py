"""What an account does while the database is away: send nothing, hear everything, tell somebody, come back.

From the first failed commit until `recover` has ended nothing is sent, not even a cancel: what would be sent could not
be accounted for. Stops and targets at the venue go on working and the strategy is not stopped. The alert goes out
directly, because the outbox is in the database.
"""

from collections.abc import Callable
from typing import Final

from tradesentry.core.domain.clock import Clock
from tradesentry.core.domain.errors import JournalUnavailable
from tradesentry.core.execution.event_follower import EventBuffer
from tradesentry.core.execution.gate_view import VenueWatch
from tradesentry.core.execution.journal_messages import lease_lost
from tradesentry.core.execution.journal_port import Journal
from tradesentry.core.execution.journal_rows import Lease
from tradesentry.core.execution.lease import TTL_SECONDS, SelfFence

FIRST_PAUSE_SECONDS: Final = 0.25
LAST_PAUSE_SECONDS: Final = 5.0
ALERT_SECONDS: Final = 60.0


class JournalOutage:
    """Watches whether the journal answers, for one account.

    Args:
        journal: The journal.
        lease: On the account.
        fence: Renewed with the lease.
        clock: Time.
        watch: Told that nothing may be sent.
        alert: Tells people directly, past the outbox.
        ttl_seconds: Length of a lease.
    """

    def __init__(
        self,
        journal: Journal,
        lease: Lease,
        fence: SelfFence,
        clock: Clock,
        *,
        watch: VenueWatch,
        alert: Callable[[str, str], None],
        ttl_seconds: float = TTL_SECONDS,
    ) -> None:
        self._journal, self._lease, self._fence, self._clock = journal, lease, fence, clock
        self._watch, self._alert, self._ttl_seconds = watch, alert, ttl_seconds
        self.since_ns: int | None = None
        """When the first commit failed; None: the journal is there."""
        self._told_at = self._lost_at = 0.0

    @property
    def is_away(self) -> bool:
        """Whether nothing may be sent."""
        return self.since_ns is not None

    def lost(self) -> None:
        """Note a commit that failed or was not confirmed; from now on nothing is sent.

        The order store has told of the commit that failed first; here it is told again while it lasts.
        """
        self._watch.is_journal_up = False
        if self.since_ns is None:
            self.since_ns, self._told_at = self._clock.now_ns(), self._clock.monotonic()
            self._lost_at = self._told_at

    async def wait(self, buffer: EventBuffer) -> None:
        """Wait until the journal answers and the lease is renewed; sending stays forbidden until `answers`.

        Args:
            buffer: What is heard meanwhile, for the alerts.

        Raises:
            LeaseLost: The account is another's now; claim it again, then recover.
        """
        pause = FIRST_PAUSE_SECONDS
        while True:
            asked = self._fence.ask()
            try:
                renewed = await self._journal.renew(self._lease.owner, [self._lease], ttl_seconds=self._ttl_seconds)
            except JournalUnavailable as error:
                self._remind(error, buffer)
                await self._clock.sleep(pause)
                pause = min(2 * pause, LAST_PAUSE_SECONDS)
                continue
            if self._lease.account_id not in renewed:
                self._fence.lose()
                raise lease_lost(self._lease)
            self._fence.renewed(asked)
            return

    def answers(self) -> None:
        """Note that the journal is read and written again; RECONCILING holds everything but stops back from now on."""
        self._watch.is_journal_up = True

    def ended(self) -> None:
        """Note that the account was recovered after an outage."""
        if self.since_ns is not None:
            # Wall time may be that of a replay, and is corrected now and then.
            away = self._clock.monotonic() - self._lost_at
            self._alert("journal_back", f"The database answers again after {away:.0f} s; the account is reconciled.")
        self.since_ns = None

    def _remind(self, error: JournalUnavailable, buffer: EventBuffer) -> None:
        if self._clock.monotonic() - self._told_at >= ALERT_SECONDS:
            self._told_at = self._clock.monotonic()
            text = f"{error} {len(buffer)} events wait. Start PostgreSQL, or flatten with the break-glass command."
            self._alert("journal_away", text)
