"""Simulators of the outside world, as servers."""
