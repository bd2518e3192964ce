"""One HTTP exchange at a time: what was sent, what was answered, what is unknown."""

from clients.http.http11_transport import Http11Transport
from clients.http.timeouts import Timeouts
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
    "Http11Transport",
    "HttpRequest",
    "HttpResponse",
    "HttpTransport",
    "NotSent",
    "ResponseLost",
    "Timeouts",
    "TransportError",
]
