"""The product's adapters in front of the soak's venue, with its scaled timeout and horizon."""

from dataclasses import replace
from typing import Any

from tests.acceptance.soak.settings import AgentSettings
from tradesentry.core.broker.base_broker import BaseBroker
from tradesentry.core.broker.mt5_gateway_client import Mt5GatewayBroker
from tradesentry.core.broker.mt5_gateway_messages import GatewayLink
from tradesentry.core.broker.oanda import OandaBroker, OandaLink
from tradesentry.core.domain.clock import Clock


def broker_of(given: AgentSettings, account_id: Any, clock: Clock, **options: Any) -> BaseBroker:
    """Return the adapter of an account; its token names this process at the venue.

    Args:
        given: Of this life.
        account_id: Account in the journal.
        clock: Time.
        options: Further ones of the adapter.
    """
    account, timeout = given.account_ids[account_id], given.soak.times.timeout
    url = given.accounts[account]
    broker: OandaBroker | Mt5GatewayBroker
    if given.soak.broker == "gateway":
        link = GatewayLink(url, int(account), "practice", "USD", True, given.sender)
        broker = Mt5GatewayBroker(link, clock, timeout_seconds=timeout, **options)
    else:
        named = OandaLink(account, given.sender, url, url, "practice", "USD", is_hedging=True)
        broker = OandaBroker(named, clock, timeout_seconds=timeout, **options)
    broker.capabilities = replace(broker.capabilities, absence_horizon_seconds=given.soak.times.horizon)
    return broker
