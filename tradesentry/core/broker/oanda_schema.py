"""What we send to OANDA: one strict model per request body, rendered as the venue wants it.

Numbers are strings with the instrument's own precision, names are camel case, nothing that is not set is sent, and
nothing that the venue's description does not know can be set. Replies are read leniently, elsewhere.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel

Number = Annotated[str, StringConstraints(pattern=r"^-?[0-9]+(\.[0-9]+)?$")]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]+_[A-Z0-9]+$")]
Time = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T.*Z$")]
ClientId = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class Request(BaseModel):
    """A part of a request body."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", frozen=True, serialize_by_alias=True, validate_by_name=True
    )

    def body(self) -> dict[str, Any]:
        """Return the JSON object to send."""
        return self.model_dump(exclude_none=True)


class ClientExtensions(Request):
    """Our id on an order or trade."""

    id: ClientId


class StopLossDetails(Request):
    """A stop to be made with a fill or set on a trade."""

    price: Number
    time_in_force: Literal["GTC"] = "GTC"


class TakeProfitDetails(Request):
    """A target to be made with a fill or set on a trade."""

    price: Number
    time_in_force: Literal["GTC"] = "GTC"


class EntryRequest(Request):
    """What all entries share."""

    instrument: Name
    units: Number
    position_fill: Literal["DEFAULT", "OPEN_ONLY", "REDUCE_FIRST", "REDUCE_ONLY"] = "DEFAULT"
    client_extensions: ClientExtensions
    trade_client_extensions: ClientExtensions
    stop_loss_on_fill: StopLossDetails
    take_profit_on_fill: TakeProfitDetails | None = None


class MarketOrderRequest(EntryRequest):
    """Fill now, all of it (FOK) or what there is (IOC)."""

    type: Literal["MARKET"] = "MARKET"
    time_in_force: Literal["FOK", "IOC"] = "FOK"
    price_bound: Number | None = None


class RestingOrderRequest(EntryRequest):
    """What limit and stop orders share."""

    price: Number
    time_in_force: Literal["GTC", "GTD"] = "GTC"
    gtd_time: Time | None = None
    trigger_condition: Literal["DEFAULT"] = "DEFAULT"


class LimitOrderRequest(RestingOrderRequest):
    """Fill at a price or better."""

    type: Literal["LIMIT"] = "LIMIT"


class StopOrderRequest(RestingOrderRequest):
    """Become a market order at a price."""

    type: Literal["STOP"] = "STOP"
    price_bound: Number | None = None


class OrderBody(Request):
    """Body of placing and replacing."""

    order: MarketOrderRequest | LimitOrderRequest | StopOrderRequest


class CloseTradeBody(Request):
    """Body of closing a trade: ALL, or units above 0."""

    units: Annotated[str, StringConstraints(pattern=r"^(ALL|[0-9]+(\.[0-9]+)?)$")]


class TradeOrdersBody(Request):
    """Body of setting stop and target of a trade; what is absent stays as it is, and nothing is ever null."""

    stop_loss: StopLossDetails | None = None
    take_profit: TakeProfitDetails | None = None
