"""Tests against real servers, and the checker that compares both sides. Nothing here imports `bridge`."""
