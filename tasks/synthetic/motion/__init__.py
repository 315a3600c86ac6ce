"""Draws people in motion: a jointed figure, what it performs, and what cameras and microphones record."""
