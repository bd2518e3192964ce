"""One websocket that comes back: reconnects with bounds, heartbeats, rotation, and receive times taken at the socket."""

from clients.sockets.budget import ConnectBudget
from clients.sockets.errors import AuthRefused, NotConnected, OpenFailed, SocketError, SubscriptionRefused
from clients.sockets.events import Connected, Disconnected, Dropped, Event, Message, Stale
from clients.sockets.link import Dialer, Link, LinkHandler, Target
from clients.sockets.policy import Heartbeat, Overflow, ProtocolPing, SocketPolicy, TextPing
from clients.sockets.resilient import ResilientSocket
from clients.sockets.session import Session
from clients.sockets.status import SocketState, SocketStatus

__all__ = [
    "AuthRefused",
    "ConnectBudget",
    "Connected",
    "Dialer",
    "Disconnected",
    "Dropped",
    "Event",
    "Heartbeat",
    "Link",
    "LinkHandler",
    "Message",
    "NotConnected",
    "OpenFailed",
    "Overflow",
    "ProtocolPing",
    "ResilientSocket",
    "Session",
    "SocketError",
    "SocketPolicy",
    "SocketState",
    "SocketStatus",
    "Stale",
    "SubscriptionRefused",
    "Target",
    "TextPing",
]
