"""Databases for the ledger's tests."""

from tests.integration.reporting.conftest import database_url, desk, shared_postgres, sqlite_desk

__all__ = ["database_url", "desk", "shared_postgres", "sqlite_desk"]
