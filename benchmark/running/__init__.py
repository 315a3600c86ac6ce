"""Where runs execute and where they leave their records."""
