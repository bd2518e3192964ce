"""The REST face."""

from services.orders.rest.app import orders_app

__all__ = ["orders_app"]
