"""The leaderboard: what is submitted to it, the frame that archived records make, and its page."""
