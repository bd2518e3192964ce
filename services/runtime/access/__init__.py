"""Who calls, and what they may do: one table of roles, authenticators behind one port, one gate for every listener."""

from services.runtime.access.gate import AccessGate
from services.runtime.access.identity import Authenticator, Credentials, Identity
from services.runtime.access.roles import METHODS, Role, needed_role

__all__ = ["METHODS", "AccessGate", "Authenticator", "Credentials", "Identity", "Role", "needed_role"]
