"""Trains the runs of a cohort in lockstep and evaluates each; writes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from benchmark.cohorts import Cohort, Run
from benchmark.contracts import Context, Distiller, NotApplicable, Samples
from benchmark.data.batches import TrainStream, in_order
from benchmark.data.splits import open_test
from benchmark.errors import UserError
from benchmark.evaluation.accuracy import Predictions, predict, score
from benchmark.evaluation.cost import inference_cost, latency_ms, peak_memory_mb
from benchmark.evaluation.fidelity import fidelity
from benchmark.models.network import Network
from benchmark.seeds import RandomStream, derive
from benchmark.training.composition import build_distiller
from benchmark.training.evidence import KEPT_EMBEDDINGS, Evidence
from benchmark.training.learner import Learner, describe, make_network
from benchmark.training.loop import (
    DATA_PASS,
    TEACHER_PASS,
    Display,
    Loop,
    Track,
    describe_error,
    guard,
)
from benchmark.training.preludes import run_preludes
from benchmark.training.probing import Probing
from benchmark.training.stopwatch import Stopwatch
from benchmark.training.teacher import Teacher


@dataclass
class Outcome:
    """What became of a run.

    status   "finished", "diverged", "not_applicable", or "failed" (an error in the baseline's code: not
             recorded)
    """

    run: Run
    status: str
    reason: str = ""
    results: dict[str, Any] = field(default_factory=dict)
    measurements: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    learner: Learner | None = None


class CohortTraining:
    """One cohort at work: `runs` (some or all of the cohort's) on one teacher pass.

    first_epoch   how many epochs these runs have behind them; `states` (baseline -> `Track.state`) are from
                  there
    memory        what probing keeps between cohorts (see `Probing`)
    """

    def __init__(
        self,
        cohort: Cohort,
        runs: tuple[Run, ...],
        teacher: Teacher,
        fabric: Fabric,
        first_epoch: int = 0,
        states: Mapping[str, dict[str, Any]] | None = None,
        memory: dict[object, object] | None = None,
    ):
        self.cohort, self.teacher, self.fabric = cohort, teacher, fabric
        self.probing = Probing(cohort, fabric, {} if memory is None else memory)
        self.first_epoch, self.states = first_epoch, states or {}
        self.metrics = cohort.task.metrics(cohort.data)
        self._seen = tuple(dict.fromkeys((*teacher.spec.modalities, *cohort.pair.student_modalities)))
        samples = cohort.data.train.subset(cohort.splits.train)
        self.stream = self._stream("train", samples)
        self.evidence = Evidence(cohort, samples, teacher, fabric, self._seen)
        self.validation = cohort.data.train.subset(cohort.splits.validation)
        self._preludes = lambda: self._stream("prelude", samples)
        self.batch = next(self.stream.epoch(0))
        self.unsuited: list[Outcome] = []
        self.runs: dict[str, Run] = {}
        self.tracks: list[Track] = []
        for run in runs:
            try:
                self.tracks.append(self._track(run))
                self.runs[run.baseline] = run
            except NotApplicable as reason:
                known = {"teacher": {"test": teacher.test}}
                self.unsuited.append(Outcome(run, "not_applicable", str(reason), known))
            except UserError:
                raise
            except Exception as error:
                self.unsuited.append(Outcome(run, "failed", describe_error(error)))

    def train(
        self,
        display: Display | None,
        log: Callable[[Run, Mapping[str, Any]], None],
        keep: Callable[[int, list[Track]], None] | None = None,
    ) -> Iterator[Outcome]:
        """Trains everyone, then evaluates one after another.

        `log` gets each epoch of each run as it ends; `keep` is that of `Loop`.
        """
        for track in self.tracks if not self.first_epoch else ():
            guard(track, lambda: run_preludes(track, self._preludes, self.teacher, self.fabric))  # noqa: B023
        loop = Loop(
            self.fabric,
            self.stream,
            self.cohort.recipe.epochs,
            self.teacher.network,
            self.teacher.spec.modalities,
            self._validate if len(self.validation) and len(self.metrics) else None,
            display,
            lambda track: self._close_epoch(track, log),
            self.first_epoch,
            keep,
        )
        watch = loop.run(self.tracks)
        yield from self.unsuited
        for track in self.tracks:
            yield self._outcome(track, watch)

    def _close_epoch(self, track: Track, log: Callable[[Run, Mapping[str, Any]], None]) -> None:
        """Passes the epoch on; the first one leaves diagnostics, to be seen beside those of the end."""
        log(self.runs[track.name], track.history[-1])
        if track.status == "training" and len(track.history) == 1 and self.cohort.recipe.epochs > 1:
            guard(track, lambda: track.early_arrays.update(self.evidence.diagnostics(track)))

    def _stream(self, purpose: str, samples: Samples) -> TrainStream:
        cohort = self.cohort
        return TrainStream(
            cohort.data, samples, cohort.splits.labelled, cohort.recipe.batch_size,
            derive(cohort.seed, "student"), self.fabric.device, self._seen, purpose,
        )  # fmt: skip

    def _track(self, run: Run) -> Track:
        """A learner whose initial student is that of every other baseline with this seed."""
        cohort, device = self.cohort, self.fabric.device
        network = self._untrained_student()
        context = self._context(network)
        with RandomStream(derive(run.seed, "distiller weights"), torch.device("cpu")).active():
            distiller: Distiller = build_distiller(run.parts, context, run.hyperparameters)
        learner = Learner(network, distiller, cohort.pair.student_modalities)
        learner.to(device=device, memory_format=network.memory_format)
        stream = RandomStream(derive(run.seed, "learner"), device)
        track = Track(run.baseline, learner, cohort.recipe, stream)
        if run.baseline in self.states:
            track.restore(self.states[run.baseline])
        return track

    def _untrained_student(self) -> Network:
        """The student with the initial weights of this seed."""
        pair, seed = self.cohort.pair, derive(self.cohort.seed, "student weights")
        return make_network(pair.student, self.cohort.data, pair.student_modalities, seed, self.fabric.device)

    def _context(self, student: Network) -> Context:
        cohort = self.cohort
        labels = cohort.splits.train_labels(cohort.data.train.labels)
        return describe(
            (self.teacher.network, self.teacher.spec.modalities),
            (student, cohort.pair.student_modalities),
            self.batch,
            len(cohort.data.classes),
            labels,
        )

    def _validate(self, learner: Learner) -> tuple[dict[str, float], bool]:
        predictions = self._predict(learner, self.validation)
        headline = next(iter(self.metrics.values(copy_state=False)))
        return score(self.metrics, predictions.logits, self.validation.labels), bool(
            headline.higher_is_better
        )

    def _predict(self, learner: Learner, samples: Samples, keep: int = 0) -> Predictions:
        batches = in_order(self.cohort.data, samples, learner.modalities, self.fabric.device)
        return predict(learner, batches, self.fabric, keep)

    def _outcome(self, track: Track, watch: Stopwatch) -> Outcome:
        outcome = Outcome(self.runs[track.name], track.status, learner=track.learner)
        if track.status != "failed":
            outcome.measurements = self._measurements(track, watch)
            guard(track, lambda: self._evaluate(track, outcome))
        outcome.status, outcome.reason = track.status, track.reason
        return outcome

    def _evaluate(self, track: Track, outcome: Outcome) -> None:
        outcome.results = self._fixed_results(track)
        if track.status != "finished":
            return
        began = time.perf_counter()
        if "validation" in track.history[-1]:
            outcome.results["validation@last"] = track.history[-1]["validation"]
        predictions = self._test(track, outcome)
        self._probe(track, outcome)
        outcome.arrays = self.evidence.arrays(track, predictions)
        outcome.measurements["evaluation_s"] = time.perf_counter() - began

    def _test(self, track: Track, outcome: Outcome) -> Predictions:
        """Opens the test split for the last weights and for the best on validation; the last ones stay."""
        test = open_test(self.cohort.data)

        def judge() -> tuple[dict[str, float], Predictions]:
            seen = self._predict(track.learner, test, KEPT_EMBEDDINGS)
            scores = score(self.metrics, seen.logits, test.labels) | fidelity(
                seen.logits, self.teacher.test_logits
            )
            return scores, seen

        outcome.results["test@last"], predictions = judge()
        if track.best is not None:
            outcome.results["best_epoch"] = track.best.epoch
            last = {name: value.clone() for name, value in track.learner.state_dict().items()}
            track.learner.load_state_dict(track.best.weights)
            outcome.results["test@best_validation"], _ = judge()
            track.learner.load_state_dict(last)
        return predictions

    def _probe(self, track: Track, outcome: Outcome) -> None:
        """Probes the student's features, and those of its teacher and of the untrained student: both ends."""
        pair, seen = self.cohort.pair, self.teacher.spec.modalities
        own = self.probing.scores(track.learner.network, pair.student_modalities)
        if not own:
            return
        untrained = (pair.student, pair.student_modalities, self.cohort.seed)
        ends = {
            "teacher": self.probing.shared_scores(self.teacher.checksum, self.teacher.network, seen),
            "untrained": self.probing.shared_scores(
                untrained, self._untrained_student(), pair.student_modalities
            ),
        }
        outcome.results["probes"] = own
        for end, scores in ends.items():
            outcome.results[end] = {**outcome.results.get(end, {}), "probes": scores}

    def _fixed_results(self, track: Track) -> dict[str, Any]:
        return {
            "teacher": {"test": self.teacher.test},
            **inference_cost(track.learner, self.batch),
            **{f"teacher_{name}": value for name, value in self.teacher.cost.items()},
        }

    def _measurements(self, track: Track, watch: Stopwatch) -> dict[str, Any]:
        epochs = max(1, len(track.history) - self.first_epoch)
        steps, mates = epochs * self.stream.steps_per_epoch, len(self.tracks)
        return {
            "step_ms": 1000 * watch.seconds(track.name) / steps,
            "teacher_share_ms": 1000 * watch.seconds(TEACHER_PASS) / steps / mates,
            "data_share_ms": 1000 * watch.seconds(DATA_PASS) / steps / mates,
            "own_s": watch.seconds(track.name),
            "first_stages_s": track.first_stages_s,
            "latency_ms": latency_ms(track.learner, self.batch),
            "peak_memory_mb": peak_memory_mb(self.fabric.device),
            "cohort_size": mates,
        }
