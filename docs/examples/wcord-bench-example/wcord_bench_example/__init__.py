"""A baseline and a task for WCoRD-Bench."""
