"""Find out how orders really are: unknown outcomes, confirmations, user streams, comparison of the books."""
