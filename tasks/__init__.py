"""Tasks: one folder each, found by name; see docs/adding_a_task.md."""
