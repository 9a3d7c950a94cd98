"""Bugs that the simulation has to find, as patches of the source: nothing of them is in production code."""
