"""What processes of one session tell each other through Redis: written by one, read by all."""
