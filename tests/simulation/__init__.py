"""The production wiring in virtual time, driven by one seed: see README of this folder in ARCHITECTURE.md, "Simulation"."""
