"""What a plugin sees: the types that baselines and tasks are written against.

Names are exported lazily: those of a task need no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark.contracts.comparison import Comparison as Comparison
    from benchmark.contracts.data import IGNORE as IGNORE
    from benchmark.contracts.data import BadSamples as BadSamples
    from benchmark.contracts.data import Data as Data
    from benchmark.contracts.data import DatasetCard as DatasetCard
    from benchmark.contracts.data import Modality as Modality
    from benchmark.contracts.data import Request as Request
    from benchmark.contracts.data import Samples as Samples
    from benchmark.contracts.data import Source as Source
    from benchmark.contracts.data import Stored as Stored
    from benchmark.contracts.data import Target as Target
    from benchmark.contracts.data import TeacherData as TeacherData
    from benchmark.contracts.data import deferred as deferred
    from benchmark.contracts.distiller import Activations as Activations
    from benchmark.contracts.distiller import Batch as Batch
    from benchmark.contracts.distiller import Context as Context
    from benchmark.contracts.distiller import Distiller as Distiller
    from benchmark.contracts.distiller import LearnsFrom as LearnsFrom
    from benchmark.contracts.distiller import Need as Need
    from benchmark.contracts.distiller import NotApplicable as NotApplicable
    from benchmark.contracts.distiller import Progress as Progress
    from benchmark.contracts.distiller import Shapes as Shapes
    from benchmark.contracts.distiller import Stage as Stage
    from benchmark.contracts.distiller import supervised_cross_entropy as supervised_cross_entropy
    from benchmark.contracts.search import Choice as Choice
    from benchmark.contracts.search import Range as Range
    from benchmark.contracts.task import Optimizer as Optimizer
    from benchmark.contracts.task import Pair as Pair
    from benchmark.contracts.task import Preset as Preset
    from benchmark.contracts.task import PublishedSettings as PublishedSettings
    from benchmark.contracts.task import Recipe as Recipe
    from benchmark.contracts.task import Schedule as Schedule
    from benchmark.contracts.task import Task as Task

_NAMES = {
    "comparison": ("Comparison",),
    "data": (
        "BadSamples",
        "Data",
        "DatasetCard",
        "IGNORE",
        "Modality",
        "Request",
        "Samples",
        "Source",
        "Stored",
        "Target",
        "deferred",
        "TeacherData",
    ),
    "distiller": (
        "Activations",
        "Batch",
        "Context",
        "Distiller",
        "LearnsFrom",
        "Need",
        "NotApplicable",
        "Progress",
        "Shapes",
        "Stage",
        "supervised_cross_entropy",
    ),
    "search": ("Choice", "Range"),
    "task": ("Optimizer", "Pair", "Preset", "PublishedSettings", "Recipe", "Schedule", "Task"),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}
__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
