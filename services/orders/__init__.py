"""The orders server: one API over several exchanges that never places twice and always knows, or says that it does not know."""
