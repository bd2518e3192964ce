"""Exchange clients inside a server: opened with all policies, watched, and reported."""
