"""What a plugin sees: the types that baselines and tasks are written against."""

from benchmark.contracts.distiller import (
    IGNORE,
    Activations,
    Batch,
    Choice,
    Context,
    Distiller,
    NotApplicable,
    Prelude,
    Progress,
    Range,
    Shapes,
    supervised_cross_entropy,
)
from benchmark.contracts.task import (
    Data,
    DatasetCard,
    Modality,
    Pair,
    Preset,
    Recipe,
    Samples,
    Task,
)

__all__ = [
    "IGNORE",
    "Activations",
    "Batch",
    "Choice",
    "Context",
    "Data",
    "DatasetCard",
    "Distiller",
    "Modality",
    "NotApplicable",
    "Pair",
    "Prelude",
    "Preset",
    "Progress",
    "Range",
    "Recipe",
    "Samples",
    "Shapes",
    "Task",
    "supervised_cross_entropy",
]
