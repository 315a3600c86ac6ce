"""WCoRD-Bench: knowledge distillation methods compared under one recipe; the names that a plugin imports.

Names are exported lazily, so that `benchmark.reporting` can be imported where torch is not installed.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "Activations": "benchmark.contracts",
    "Batch": "benchmark.contracts",
    "Choice": "benchmark.contracts",
    "Context": "benchmark.contracts",
    "Distiller": "benchmark.contracts",
    "NotApplicable": "benchmark.contracts",
    "Prelude": "benchmark.contracts",
    "Progress": "benchmark.contracts",
    "Range": "benchmark.contracts",
    "Shapes": "benchmark.contracts",
    "Data": "benchmark.contracts",
    "DatasetCard": "benchmark.contracts",
    "Modality": "benchmark.contracts",
    "Pair": "benchmark.contracts",
    "Preset": "benchmark.contracts",
    "Recipe": "benchmark.contracts",
    "Request": "benchmark.contracts",
    "Samples": "benchmark.contracts",
    "Target": "benchmark.contracts",
    "Task": "benchmark.contracts",
    "UserError": "benchmark.errors",
    "baseline": "benchmark.plugins",
    "task": "benchmark.plugins",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'benchmark' has no attribute {name!r}")
