"""The deals listener as a process."""
