"""Everything that a spec names, rebuilt on this machine: data, splits, metrics, probes, networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from benchmark.contracts import Data, DatasetCard, Request, Samples, Target, Task
from benchmark.data.facts import FactsCache, load_dataset
from benchmark.data.splits import Splits, splits_of
from benchmark.errors import UserError
from benchmark.evaluation.accuracy import metrics_of
from benchmark.models import Network
from benchmark.planning.specs import CohortSpec, NetworkSpec, Storage, TeacherSpec
from benchmark.plugins import Registry
from benchmark.seeds import derive
from benchmark.training.networks import make_network


@dataclass(frozen=True)
class Materials:
    """What a cohort is trained and evaluated with.

    targets   loaders of what frozen features are probed with beside the dataset's own question; None: no
              probes at all
    """

    spec: CohortSpec
    task: Task
    card: DatasetCard
    data: Data
    splits: Splits
    metrics: MetricCollection
    targets: Mapping[str, Callable[[], Target]] | None

    @property
    def train(self) -> Samples:
        """The training samples in use."""
        return self.data.train.subset(self.splits.train)

    @property
    def validation(self) -> Samples:
        return self.data.train.subset(self.splits.validation)

    @property
    def train_labels(self) -> Tensor:
        """The labels of the train split that a student may use."""
        return self.splits.train_labels(self.data.train.labels)

    def teacher_network(self, device: torch.device) -> Network:
        """The teacher with the initial weights of its seed."""
        spec = self.spec.teacher
        return self._network(spec, derive(spec.seed, "teacher weights"), device)

    def student_network(self, device: torch.device) -> Network:
        """The student with the initial weights of this seed: the same for every baseline."""
        return self._network(self.spec.student, derive(self.spec.seed, "student weights"), device)

    def _network(self, spec: NetworkSpec | TeacherSpec, seed: int, device: torch.device) -> Network:
        return make_network(spec.architecture, self.data, spec.modalities, seed, device)


class Workbench:
    """Rebuilds the materials of one cohort after another; the last dataset stays in memory.

    say   takes what a dataset's reader has to tell
    """

    def __init__(self, registry: Registry, storage: Storage, say: Callable[[str], None] = print):
        self._registry, self._storage, self._say = registry, storage, say
        self._loaded: tuple[tuple[str, ...], Data] | None = None

    def load(self, task: Task, dataset: str, request: Request) -> Data:
        """A dataset; the one that was asked for last is not loaded again."""
        key = (task.name, dataset, request.fold, request.bad_samples, str(request.data_dir))
        if self._loaded is None or self._loaded[0] != key:
            self._loaded = None  # the old one may go before the new one comes
            self._loaded = key, load_dataset(task, dataset, request)
        return self._loaded[1]

    def materials(self, spec: CohortSpec) -> Materials:
        """What a cohort needs. Raises UserError where its data is missing, or not what was planned."""
        task = self._registry.task(spec.data.task)
        request = self._storage.request(spec.data.fold, spec.data.bad_samples, self._say)
        data = self.load(task, spec.data.dataset, request)
        if data.fingerprint != spec.data.fingerprint:
            FactsCache(self._storage.facts).forget(spec.data.dataset)
            raise UserError(
                f"{spec.data.dataset} has changed since it was planned (content {data.fingerprint[:8]}, "
                f"planned {spec.data.fingerprint[:8] or 'without it'}): give the same command again"
            )
        if spec.data.outputs is not None:
            data = replace(data, classes=tuple(f"output {number}" for number in range(spec.data.outputs)))
        return Materials(
            spec,
            task,
            task.datasets()[spec.data.dataset],
            data,
            splits_of(data, spec.data.split),
            metrics_of(task, data),
            self._targets(task, data, request) if spec.probes else None,
        )

    def _targets(self, task: Task, data: Data, request: Request) -> Mapping[str, Callable[[], Target]]:
        """The loaders of transfer targets; none, and a warning, where the task can't tell what there is."""
        try:
            return task.transfer(data, request)
        except UserError as error:
            self._say(f"warning: the probes of other data are left out: {error}")
            return {}
