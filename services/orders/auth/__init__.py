"""Authenticate callers by API key, and decide what they may do."""

from services.orders.auth.authenticator import Authenticator, Signed
from services.orders.auth.interceptor import AuthInterceptor, current_caller
from services.orders.auth.keys import StoredKey, create_key, list_keys, revoke_key
from services.orders.auth.roles import METHODS, Role, needed_role

__all__ = [
    "METHODS",
    "AuthInterceptor",
    "Authenticator",
    "Role",
    "Signed",
    "StoredKey",
    "create_key",
    "current_caller",
    "list_keys",
    "needed_role",
    "revoke_key",
]
