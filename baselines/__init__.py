"""Baselines: one file each, found by name; see docs/adding_a_baseline.md."""

HEADLINE = ("scratch", "kd", "fitnet", "crd", "gckt", "lckt", "wcord", "wcord+kd")
"""What runs when the command line names no baselines."""
