"""Read an OANDA order with its fill: the order names the transaction that filled it, which knows price and units."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tradesentry.core.broker.base_broker import OrderReport
from tradesentry.core.broker.oanda_client import OandaClient
from tradesentry.core.broker.oanda_messages import need, read_order
from tradesentry.core.domain.money import decimal_of


async def read_filled_order(client: OandaClient, path: str, said: Mapping[str, Any]) -> OrderReport:
    """Return an order; price and units of its fill are read from the transaction that it names.

    Args:
        client: Connections of the account.
        path: Of the account.
        said: The order.

    Raises:
        BrokerError: The transaction cannot be read.
    """
    report, number = read_order(said), said.get("fillingTransactionID")
    if number is None:
        return report
    fill = need(await client.get(f"{path}/transactions/{number}"), "transaction")
    return replace(report, average_price=float(need(fill, "price")), filled_units=abs(decimal_of(need(fill, "units"))))
