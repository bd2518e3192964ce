"""Callers of the orders server: as the desk knows them, and those who sign their requests."""

from services.orders.auth.callers import GETTING_OUT, SERVICE, caller_of, current_caller, orders_needs
from services.orders.auth.signed import Signed, SignedRequests

__all__ = ["GETTING_OUT", "SERVICE", "Signed", "SignedRequests", "caller_of", "current_caller", "orders_needs"]
