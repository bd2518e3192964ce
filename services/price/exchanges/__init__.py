"""Prices of exchanges: streamed where they stream, asked for where they do not, marked stale where neither works."""
