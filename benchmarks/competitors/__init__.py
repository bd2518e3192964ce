"""What a user would write instead. Each does the same work as ours, as fast as its tools allow, and gives the same bytes."""
