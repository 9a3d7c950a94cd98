"""Python's cycle collector."""

import gc

COLLECTOR_THRESHOLDS = (50_000, 20, 100)
"""Containers made and not yet freed, and collections of the younger generation, before a generation is collected."""


def calm_collector() -> None:
    """Lets Python's cycle collector look less often: rows die by themselves, and looking through a full buffer costs a sixth
    of all the work (measured on a backlog)."""
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
