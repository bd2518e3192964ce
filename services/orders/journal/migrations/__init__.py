"""Revisions of the orders database, oldest first; run by `prepare_orders_database`."""
