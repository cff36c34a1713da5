"""Look at a venue once and consistently, and prove that it is the account that was linked.

Orders, trades and money are separate reads; in between the account may move. A look counts only when no event came
while it was taken, judged by the venue's own numbering before and after.
"""

from dataclasses import dataclass
from typing import Final

from tradesentry.core.broker.base_broker import BaseBroker
from tradesentry.core.domain.errors import AccountMismatch
from tradesentry.core.domain.venue import AccountState
from tradesentry.core.execution.repairs import VenueReport

LOOKS: Final = 5


@dataclass(frozen=True, slots=True)
class AccountLink:
    """What an account was when it was linked; None: not to be checked."""

    account: str | None = None
    environment: str | None = None
    currency: str | None = None
    is_hedging: bool | None = None


def check_link(link: AccountLink, state: AccountState) -> None:
    """Prove that the venue shows the linked account.

    Raises:
        AccountMismatch: It does not; the message names what differs, but no account number in full.
    """
    pairs = (
        ("account", _masked(link.account), _masked(state.account), link.account in (None, state.account)),
        ("environment", link.environment, state.environment, link.environment in (None, state.environment)),
        ("currency", link.currency, state.currency, link.currency in (None, state.currency)),
        ("hedging", link.is_hedging, state.is_hedging, link.is_hedging in (None, state.is_hedging)),
    )
    for name, wanted, shown, is_same in pairs:
        if not is_same:
            raise AccountMismatch(
                f"The venue shows another account than was linked: {name} is {shown!r}, not {wanted!r}. Nothing is "
                "sent. Log in to the linked account, or link this one anew."
            )


def _masked(account: str | None) -> str | None:
    return None if account is None else f"...{account[-3:]}"


async def take_report(broker: BaseBroker, *, with_trades: bool = True, tries: int = LOOKS) -> VenueReport | None:
    """Return a consistent look at the venue; None when events came during each of `tries`.

    Args:
        broker: The venue.
        with_trades: False looks at the resting orders only.
        tries: Most looks.

    Raises:
        BrokerError: The venue could not be read.
    """
    before = await broker.get_balance()
    for _ in range(tries):
        orders = tuple(await broker.open_orders())
        trades = tuple(await broker.open_trades()) if with_trades else None
        after = await broker.get_balance()
        if (before.log_id, before.last_seq) == (after.log_id, after.last_seq):
            return VenueReport(after, orders, trades)
        before = after
    return None
