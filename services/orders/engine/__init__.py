"""From commands to the wire: placing, routing, amending, cancelling."""
