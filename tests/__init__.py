"""Tests. Their threads sleep while they wait, and leave the cores to whoever runs beside them."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported
