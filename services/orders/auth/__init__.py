"""Callers of the orders server: by key or by signature, how often, and as the desk knows them."""

from services.orders.auth.authenticator import SERVICE, Authenticator, Signed
from services.orders.auth.interceptor import AuthInterceptor, current_caller

__all__ = ["SERVICE", "AuthInterceptor", "Authenticator", "Signed", "current_caller"]
