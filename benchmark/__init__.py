"""WCoRD-Bench: knowledge distillation methods compared under one recipe.

The names here are public: what a plugin imports, and what runs a benchmark from Python. They are exported
lazily, so that `benchmark.reporting` can be imported where torch is not installed.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from benchmark.api import run as run
    from benchmark.contracts.data import Data as Data
    from benchmark.contracts.data import DatasetCard as DatasetCard
    from benchmark.contracts.data import Modality as Modality
    from benchmark.contracts.data import Request as Request
    from benchmark.contracts.data import Samples as Samples
    from benchmark.contracts.data import Source as Source
    from benchmark.contracts.data import Stored as Stored
    from benchmark.contracts.data import Target as Target
    from benchmark.contracts.data import deferred as deferred
    from benchmark.contracts.distiller import Activations as Activations
    from benchmark.contracts.distiller import Batch as Batch
    from benchmark.contracts.distiller import Context as Context
    from benchmark.contracts.distiller import Distiller as Distiller
    from benchmark.contracts.distiller import NotApplicable as NotApplicable
    from benchmark.contracts.distiller import Progress as Progress
    from benchmark.contracts.distiller import Shapes as Shapes
    from benchmark.contracts.distiller import Stage as Stage
    from benchmark.contracts.search import Choice as Choice
    from benchmark.contracts.search import Range as Range
    from benchmark.contracts.task import Pair as Pair
    from benchmark.contracts.task import Preset as Preset
    from benchmark.contracts.task import PublishedSettings as PublishedSettings
    from benchmark.contracts.task import Recipe as Recipe
    from benchmark.contracts.task import Task as Task
    from benchmark.errors import UserError as UserError
    from benchmark.models import architecture as architecture
    from benchmark.plugins import baseline as baseline
    from benchmark.plugins import task as task
    from benchmark.reporting.results import Results as Results
    from benchmark.settings import Settings as Settings
    from benchmark.training.criterion import Criterion as Criterion
    from benchmark.training.criterion import criterion as criterion

_NAMES = {
    "api": ("run",),
    "contracts.data": (
        "Data",
        "DatasetCard",
        "Modality",
        "Request",
        "Samples",
        "Source",
        "Stored",
        "Target",
        "deferred",
    ),
    "contracts.distiller": (
        "Activations",
        "Batch",
        "Context",
        "Distiller",
        "NotApplicable",
        "Progress",
        "Shapes",
        "Stage",
    ),
    "contracts.search": (
        "Choice",
        "Range",
    ),
    "contracts.task": (
        "Pair",
        "Preset",
        "PublishedSettings",
        "Recipe",
        "Task",
    ),
    "errors": ("UserError",),
    "models": ("architecture",),
    "plugins": (
        "baseline",
        "task",
    ),
    "reporting.results": ("Results",),
    "settings": ("Settings",),
    "training.criterion": ("Criterion", "criterion"),
}
_HOMES = {name: f"benchmark.{module}" for module, names in _NAMES.items() for name in names}
__all__ = sorted([*_HOMES, "__version__"])  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'benchmark' has no attribute {name!r}")


def _version() -> str:
    """In a checkout what pyproject.toml says; elsewhere that of the installed distribution."""
    import tomllib
    from importlib.metadata import version
    from pathlib import Path

    file = Path(__file__).resolve().parent.parent / "pyproject.toml"
    project = tomllib.loads(file.read_text(encoding="utf-8"))["project"] if file.is_file() else {}
    return project["version"] if project.get("name") == "wcord-bench" else version("wcord-bench")
