"""The replay engine: polls sources, paces, publishes; a child process of the replay server."""
