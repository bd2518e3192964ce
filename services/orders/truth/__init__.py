"""Finding out what is true: unknown outcomes, confirmations, user streams, reconciliation."""
