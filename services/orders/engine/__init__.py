"""From commands to the wire: the ledger, placing, routing, amending, cancelling."""
