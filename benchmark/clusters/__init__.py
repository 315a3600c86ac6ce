"""Grids on clusters of machines: Ray and Slurm."""
