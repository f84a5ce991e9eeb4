"""OKX's error codes with their HTTP status, and the one exception that carries them.

Codes are text. Most describe the request as a whole; those of `PER_ORDER` stand in `data[i].sCode` of an answer
whose own code is `1` ("All operations failed"), with HTTP 200. Source: OKX's v5 error code pages.
"""

from __future__ import annotations

ALL_FAILED = "1"
SOME_FAILED = "2"

# code: (HTTP status, message)
ERRORS: dict[str, tuple[int, str]] = {
    "404": (404, "Not Found"),
    "50000": (400, "Body for POST request cannot be empty."),
    "50001": (503, "Service temporarily unavailable. Try again later."),
    "50002": (400, "JSON syntax error"),
    "50004": (400, "API endpoint request timeout (does not mean that the request was successful or failed)."),
    "50006": (400, 'Invalid Content-Type, please use "application/json" format'),
    "50011": (429, "Too Many Requests"),
    "50013": (429, "Systems are busy. Please try again later."),
    "50014": (400, "Parameter {} cannot be empty."),
    "50015": (400, "Either parameter {} is required"),
    "50024": (200, "Parameter {} cannot exist at the same time"),
    "50026": (500, "System error. Try again later"),
    "50030": (200, "You don't have permission to use this API endpoint"),
    "50035": (403, "This endpoint requires that APIKey must be bound to IP"),
    "50036": (200, "The expTime can't be earlier than the current system time. Please adjust and try again."),
    "50037": (200, "Order expired."),
    "50040": (200, "Too frequent operations, please try again later"),
    "50061": (200, "Order failed. The order rate limit of this account is reached."),
    "50071": (200, "{} already exists"),
    "50101": (401, "APIKey does not match current environment."),
    "50102": (401, "Timestamp request expired."),
    "50103": (401, 'Request header "OK-ACCESS-KEY" cannot be empty.'),
    "50104": (401, 'Request header "OK-ACCESS-PASSPHRASE" cannot be empty.'),
    "50105": (401, 'Request header "OK-ACCESS-PASSPHRASE" incorrect.'),
    "50106": (401, 'Request header "OK-ACCESS-SIGN" cannot be empty.'),
    "50107": (401, 'Request header "OK-ACCESS-TIMESTAMP" cannot be empty.'),
    "50110": (401, "Your IP {} is not included in your API key's IP whitelist."),
    "50111": (401, "Invalid OK-ACCESS-KEY."),
    "50112": (401, "Invalid OK-ACCESS-TIMESTAMP."),
    "50113": (401, "Invalid signature."),
    "50115": (405, "Invalid request method."),
    "50119": (200, "API key doesn't exist"),
    "50120": (200, "This API key doesn't have permission to use this function"),
    "51000": (400, "Parameter {} error"),
    "51001": (200, "Instrument ID, Instrument ID code, or Spread ID doesn't exist."),
    "51005": (200, "Your order amount exceeds the max order amount."),
    "51006": (200, "Order price is not within the price limit."),
    "51008": (200, "Order failed. Insufficient {} balance in account"),
    "51011": (200, "Order ID already exists."),
    "51016": (200, "Client order ID already exists."),
    "51020": (200, "Your order should meet or exceed the minimum order amount."),
    "51024": (200, "Order failed. Your account is blocked."),
    "51065": (200, "algoClOrdId already exists."),
    "51094": (200, "You can't place TP limit orders in spot, margin, or options trading."),
    "51277": (200, "TP trigger price cannot be higher than the last price."),
    "51278": (200, "SL trigger price cannot be lower than the last price."),
    "51279": (200, "TP trigger price cannot be lower than the last price."),
    "51280": (200, "SL trigger price cannot be higher than the last price."),
    "51281": (200, "Trigger order do not support the tgtCcy parameter."),
    "51415": (200, "Order failed. Spot trading only supports using the last price as trigger price."),
    "51121": (200, "Order quantity must be a multiple of the lot size."),
    "51400": (200, "Cancellation failed as the order has been filled, canceled or does not exist."),
    "51503": (200, "Order modification failed as the order has been filled, canceled or does not exist."),
    "51603": (200, "Order does not exist"),
}
# Codes of single orders; everything else refuses the request.
_PER_ORDER_BESIDES_51 = frozenset({"50037", "50061", "50071"})
_REQUEST_LEVEL_51 = frozenset({"51000"})


class OkxError(Exception):
    """One error code. `detail` goes into the gap of the code's message; `message` replaces it."""

    def __init__(self, code: str, detail: str = "", message: str | None = None) -> None:
        status, text = ERRORS.get(code, (200, "Unknown error"))
        self.code = code
        self.status = status
        self.message = text.replace("{}", detail) if message is None else message
        super().__init__(f"{code} {self.message}")

    @property
    def per_order(self) -> bool:
        """Whether OKX says it in the row of an order, not about the whole request."""
        of_orders = self.code.startswith("51") and self.code not in _REQUEST_LEVEL_51
        return of_orders or self.code in _PER_ORDER_BESIDES_51


def invalid(field: str) -> OkxError:
    """The error for a parameter that cannot be taken."""
    return OkxError("51000", field)
