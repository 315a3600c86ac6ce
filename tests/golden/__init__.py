"""Reference values of the baselines' losses, and the command that checks ours against them."""
