"""The power desk: from the exchange and the provider into the database."""
