"""Revisions of the power database, oldest first; run by `prepare_power_database`."""
