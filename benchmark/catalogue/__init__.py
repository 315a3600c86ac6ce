"""What there is: the list of plugins, and what is found by building every baseline on every pair."""
