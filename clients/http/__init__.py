"""One HTTP exchange at a time: what was sent, what was answered, what is unknown."""

from clients.http.httpx_transport import HttpxTransport, Timeouts
from clients.http.transport import (
    ANSWER_BYTES_MAX,
    HttpRequest,
    HttpResponse,
    HttpTransport,
    NotSent,
    ResponseLost,
    TransportError,
)

__all__ = [
    "ANSWER_BYTES_MAX",
    "HttpRequest",
    "HttpResponse",
    "HttpTransport",
    "HttpxTransport",
    "NotSent",
    "ResponseLost",
    "Timeouts",
    "TransportError",
]
