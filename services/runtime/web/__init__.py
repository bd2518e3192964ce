"""HTTP beside gRPC, or alone: an ASGI application on one port, inside the event loop of its process."""

from services.runtime.web.face import WebFace
from services.runtime.web.running import run_web

__all__ = ["WebFace", "run_web"]
