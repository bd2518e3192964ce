"""Mutated inputs for everything that reads bytes of others: `python -m tests.support.fuzz`."""
