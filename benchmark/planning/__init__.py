"""Settings -> specs: what a command consists of, as plain values; no tensor, no loaded data."""
