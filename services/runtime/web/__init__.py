"""HTTP beside gRPC, or alone: an ASGI application on one port, inside the event loop of its process."""

from services.runtime.web.face import WebFace
from services.runtime.web.guard import WebGuard
from services.runtime.web.limits import WebLimits
from services.runtime.web.running import run_web
from services.runtime.web.streams import stream_refusal
from services.runtime.web.websocket_server import WebsocketServer

__all__ = ["WebFace", "WebGuard", "WebLimits", "WebsocketServer", "run_web", "stream_refusal"]
