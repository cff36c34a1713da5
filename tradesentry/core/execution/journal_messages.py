"""The refusals of a journal in words, so that every implementation says the same."""

from tradesentry.core.domain.errors import LeaseLost, UsageError
from tradesentry.core.domain.live_orders import OrderIntent
from tradesentry.core.execution.journal_rows import Lease


def lease_lost(lease: Lease) -> LeaseLost:
    """Return the error of a write whose epoch is not the newest or whose lease ran out."""
    return LeaseLost(
        f"The lease on account {lease.account_id} is lost: epoch {lease.epoch} of {lease.owner} is over or its time "
        "ran out. Close its connections, forget its state, and claim again."
    )


def duplicate_decision(intent: OrderIntent) -> UsageError:
    """Return the error of deciding a bar twice."""
    return UsageError(
        f"Run {intent.run} has decided intent {intent.intent_index} of the bar closed at {intent.bar_close_ns} ns "
        "before; a bar is decided once. Load the saved state and go on with the next bar.",
        code="duplicate_decision",
    )


def already_sent(seq: int) -> UsageError:
    """Return the error of placing an order that may have been sent."""
    return UsageError(
        f"Order {seq} is not NEW: it may have reached the venue, and an entry is sent at most once. Resolve it by the "
        "venue's evidence; after NOT_PLACED the strategy decides anew, with a new intent.",
        code="already_sent",
    )


def unknown_order(seq: int) -> UsageError:
    """Return the error of writing about an order without an intent."""
    return UsageError(
        f"Order {seq} has no intent in the journal. Add the intent first, in the same transaction.", code="no_intent"
    )
