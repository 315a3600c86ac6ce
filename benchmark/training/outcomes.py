"""What becomes of a run: its outcome, and the examination of one that has ended."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from benchmark import records
from benchmark.contracts import Batch
from benchmark.evaluation.corrupted import CorruptedTest
from benchmark.evaluation.cost import inference_cost
from benchmark.evaluation.evaluation import Evaluation
from benchmark.evaluation.predictor import Predictions
from benchmark.evaluation.probing import Probing
from benchmark.models import Network
from benchmark.planning.specs import RunSpec
from benchmark.ranks import Fabric
from benchmark.training.artifacts import KEPT_EMBEDDINGS, Artifacts
from benchmark.training.composition import predicts_with_network
from benchmark.training.learner import Learner
from benchmark.training.materials import Materials
from benchmark.training.run_state import RunState
from benchmark.training.teacher import Teacher


@dataclass
class Outcome:
    """What became of a run; `reason` says why one that did not finish didn't (a traceback, for an error).

    history   its epochs
    learner   what was trained; None where nothing was
    """

    run: RunSpec
    status: records.Status
    reason: str = ""
    results: records.Results = field(default_factory=records.Results)
    teacher_probes: records.Probes = field(default_factory=dict)
    teacher_corrupted: records.Corrupted = field(default_factory=dict)
    measurements: records.Measurements = field(default_factory=records.Measurements)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    history: Sequence[Mapping[str, Any]] = ()
    trial: records.Trial | None = None
    learner: Learner | None = None


class Examination:
    """Scores, probes, corrupted images, costs and arrays of the runs of a cohort that have ended.

    artifacts   collects the arrays
    batch       one of training, on which costs are counted
    memory      what evaluation keeps between cohorts (see `Probing`, `Evaluation`, `CorruptedTest`)
    """

    def __init__(
        self,
        materials: Materials,
        teacher: Teacher,
        fabric: Fabric,
        artifacts: Artifacts,
        batch: Batch,
        memory: dict[object, object],
        say: Callable[[str], None] | None,
    ):
        self._materials, self._teacher, self._fabric, self._batch = materials, teacher, fabric, batch
        self.artifacts = artifacts
        data, metrics, spec = materials.data, materials.metrics, materials.spec
        self._probing = Probing(data, materials.splits.train, materials.targets, fabric, memory, say)
        self.evaluation = Evaluation(data, materials.validation, metrics, fabric, memory, fabric.ranks)
        self._corrupted = CorruptedTest(
            data, metrics, spec.student.modalities, spec.corruptions, fabric, memory
        )

    def examine(self, state: RunState, outcome: Outcome) -> None:
        """Adds what a run costs and, where it has finished, what it is worth: the test split is opened."""
        learner = state.learner
        outcome.results = records.Results(**asdict(inference_cost(learner, self._batch)))
        if state.status != "finished":
            return
        began = time.perf_counter()
        predictions = self._test(state, outcome)
        if not self._fabric.ranks.first:
            return  # what follows is not divided
        self._probe(learner.network, outcome)
        self._test_corrupted(learner, outcome)
        outcome.arrays = self.artifacts.arrays(state, predictions)
        outcome.measurements = replace(
            outcome.measurements,
            latency_ms=self.evaluation.latency(self._predictor_name(outcome), learner, self._batch),
            evaluation_s=time.perf_counter() - began,
        )

    def _predictor_name(self, outcome: Outcome) -> object:
        """What a run predicts with: the pair's student, or the student with a head of the baseline's."""
        assert outcome.learner is not None
        plain = predicts_with_network(outcome.learner.distiller)
        return (self._materials.spec.student, None if plain else outcome.run.id)

    def _test(self, state: RunState, outcome: Outcome) -> Predictions:
        """Opens the test split for the last weights and for the best on validation; the last ones stay."""
        learner = state.learner
        teacher_logits = self._teacher.test_logits if self._fabric.ranks.first else None
        scores: dict[str, records.Scores] = {}
        if "validation" in state.history[-1]:
            scores[records.VALIDATION] = state.history[-1]["validation"]
        last, predictions = self.evaluation.test(learner, teacher_logits, KEPT_EMBEDDINGS)
        scores[records.LAST] = {**last}
        best_epoch = None
        if state.best is not None:
            best_epoch = state.best.epoch
            weights = copy.deepcopy(learner.deciding_weights())
            learner.load_state_dict(state.best.weights, strict=False)
            scores[records.BEST] = {**self.evaluation.test(learner, teacher_logits)[0]}
            learner.load_state_dict(weights, strict=False)
        outcome.results = replace(outcome.results, scores=scores, best_epoch=best_epoch)
        return predictions

    def _probe(self, network: Network, outcome: Outcome) -> None:
        """Probes the student's features, and those of its teacher and of the untrained student: both ends."""
        own = self._probing.scores(network)
        if not own:
            return
        spec = self._materials.spec
        untrained = (spec.student.architecture, spec.student.modalities, spec.seed)
        outcome.results = replace(
            outcome.results,
            probes=own,
            untrained_probes=self._probing.shared_scores(
                untrained, self._materials.student_network(self._fabric.device)
            ),
        )
        outcome.teacher_probes = self._probing.shared_scores(self._teacher.checksum, self._teacher.network)

    def _test_corrupted(self, learner: Learner, outcome: Outcome) -> None:
        """Tests the last weights, and the teacher, on corrupted samples: nothing where that is not wanted."""
        outcome.results = replace(outcome.results, corrupted=self._corrupted.scores(learner))
        teacher = self._teacher
        outcome.teacher_corrupted = self._corrupted.shared_scores(teacher.checksum, teacher.network)
