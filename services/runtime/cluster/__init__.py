"""A Redis Cluster behind the clients of one Redis: every command goes to the node that has the slot of its keys."""
