"""Records and run folders as a benchmark would leave them, with made-up numbers."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.records import (
    BEST,
    CHECKSUM,
    LAST,
    VALIDATION,
    About,
    Condition,
    Measurements,
    Metric,
    Provenance,
    Record,
    Results,
    Run,
    Status,
    Teacher,
    plain,
    write_record,
)

METRICS = {
    "top1": Metric("Top-1 accuracy", "top-1", "max", "%", 100, primary=True),
    "top5": Metric("Top-5 accuracy", "top-5", "max", "%", 100),
    "agreement": Metric("Agreement with the teacher", "agreement", "max", "%", 100),
    "kl_to_teacher": Metric("KL divergence to the teacher", "KL to teacher", "min", "nats"),
}

BASELINES = {
    # name: title, role, paper, order, gain over the anchor in accuracy
    "scratch": ("Scratch", "reference", "", 0, 0.0),
    "kd": ("KD", "method", "Hinton et al., 2015", 1, 0.012),
    "fitnet": ("FitNet", "method", "Romero et al., ICLR 2015", 2, -0.015),
    "crd": ("CRD", "method", "Tian et al., ICLR 2020", 3, 0.021),
    "crd+kd": ("CRD + KD", "method", "Tian et al., ICLR 2020", 4, 0.024),
    "label_smoothing": ("Label smoothing", "control", "Szegedy et al., CVPR 2016", 5, 0.006),
    "fsp": ("FSP", "method", "Yim et al., CVPR 2017", 6, 0.0),
    "shuffled_teacher": ("Shuffled teacher", "control", "", 7, -0.04),
}
EPOCHS = {"diverged": 4, "failed": 2, "not_applicable": 0}
"""How far runs got that did not finish."""


def make_record(
    baseline: str = "kd",
    seed: int = 0,
    status: Status = "finished",
    *,
    task: str = "compression",
    dataset: str = "shapes",
    pair: str = "resnet20-resnet8",
    reason: str = "",
    hyperparameters: dict[str, Any] | None = None,
    provenance: dict[str, Any] | None = None,
    **condition: Any,
) -> Record:
    """A record with plausible numbers, drawn from a generator seeded by what the run is."""
    run = Run(task, dataset, pair, baseline, seed)
    under = Condition(**{"epochs": 12, "batch_size": 64, "teacher_epochs": 20, **condition})
    hyperparameters = {"weight": 0.8} if hyperparameters is None else hyperparameters
    identity = json.dumps([dataclasses.asdict(run), dataclasses.asdict(under), hyperparameters])
    applies = status != "not_applicable"
    known = Provenance(
        commit="0123456789abcdef",
        clean=True,
        versions={"torch": "2.11.0"},
        device="cpu",
        device_name="x86_64",
        threads=1,
        command="python run_all.py",
        finished=f"2026-01-0{seed + 1}T00:00:00",
        data_fingerprint=f"fingerprint-{dataset}",
        code_checksum="ff",
    )
    draw = random.Random(identity)
    return Record(
        id=_hash(f"{identity}{provenance}"),
        run=run,
        condition=under,
        status=status,
        about=_about(run, under),
        reason=reason,
        metrics=dict(METRICS),
        results=_results(run, under, draw) if status == "finished" else Results(),
        teacher=_teacher(run, under, tested=applies),
        hyperparameters=hyperparameters if applies else {},
        measurements=_measurements(baseline, draw),
        provenance=dataclasses.replace(known, **provenance or {}),
    )


def altered(record: Record, **changes: Any) -> Record:
    """The record with other fields; a dict changes fields of that part: `about={"anchor": True}`."""
    for name, value in changes.items():
        part = getattr(record, name)
        if dataclasses.is_dataclass(part) and isinstance(value, dict):
            value = dataclasses.replace(part, **value)
        record = dataclasses.replace(record, **{name: value})
    return record


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _results(run: Run, condition: Condition, draw: random.Random) -> Results:
    gain = BASELINES[run.baseline][4]
    top1 = 0.45 + 0.16 * condition.label_fraction**0.3 + gain + 0.004 * run.seed + draw.gauss(0, 0.006)
    test = {
        "top1": top1,
        "top5": min(0.99, top1 + 0.3),
        "agreement": top1 + 0.07 + draw.gauss(0, 0.01),
        "kl_to_teacher": 0.8 - 4 * gain + draw.gauss(0, 0.02),
    }
    if not condition.validation:
        return Results({LAST: test}, parameters=78042, macs=12507392)
    best = {name: value + 0.002 for name, value in test.items()}
    scores = {LAST: test, BEST: best, VALIDATION: {"top1": top1 + 0.004}}
    return Results(scores, best_epoch=7, parameters=78042, macs=12507392)


def _teacher(run: Run, condition: Condition, tested: bool) -> Teacher:
    teacher = Teacher(
        id=_hash(f"{run.pair}{condition.teacher_seed}"),
        checksum="00",
        architecture=run.pair.split("-")[0],
        modalities=("rgb",),
    )
    if not tested:
        return teacher
    test = {"top1": 0.705, "top5": 0.955}
    return dataclasses.replace(teacher, test=test, parameters=278324, macs=41216512)


def _about(run: Run, condition: Condition) -> About:
    title, role, paper, order, _ = BASELINES[run.baseline]
    synthetic = run.dataset != "cifar100"
    return About(
        task_title=run.task.replace("_", "-").capitalize(),
        dataset_title={"shapes": "Shapes", "cifar100": "CIFAR-100"}.get(run.dataset, run.dataset),
        baseline_title=title,
        role=role,
        paper=paper,
        anchor=run.baseline == "scratch",
        companion="all_labels" if run.baseline == "scratch" else "",
        order=order,
        synthetic=synthetic,
        num_classes=10,
        num_train=900,
        num_labelled=round(900 * condition.label_fraction),
        num_validation=500,
        num_test=1000 if synthetic else 10000,
        num_teacher=900,
        student=run.pair.split("-")[1],
        student_modalities=("depth",) if run.task == "cross_modal" else ("rgb",),
    )


def _measurements(baseline: str, draw: random.Random) -> Measurements:
    return Measurements(
        step_ms=12.0 + BASELINES[baseline][3] + draw.random(),
        teacher_share_ms=1.2,
        data_share_ms=0.2,
        peak_memory_mb=900.0,
        cohort_size=8,
        total_s=33.0,
    )


def write_run(folder: Path, record: Record) -> Path:
    """Write the record and its history as a run folder; returns the run folder."""
    run, condition = record.run, record.condition
    path = folder / "runs" / f"{run.dataset}-{run.pair}-{run.baseline}-seed{run.seed}-{record.id[:8]}"
    path.mkdir(parents=True)
    draw = random.Random(record.id)
    final = record.results.score(LAST, "top1") or 0.3
    lines = []
    for epoch in range(EPOCHS.get(record.status, condition.epochs)):
        line = {"epoch": epoch, "terms": {"task": 2.0 * math.exp(-epoch / 5)}, "learning_rate": 0.05}
        line["train"] = {"loss": 3.0 * math.exp(-epoch / 6) + 0.2 + draw.gauss(0, 0.05)}
        if condition.validation:
            reached = final * (1 - 0.9 * math.exp(-(epoch + 1) / 3)) + draw.gauss(0, 0.01)
            line["validation"] = {"top1": reached}
        lines.append(json.dumps(line))
    (path / "history.jsonl").write_text("".join(f"{line}\n" for line in lines))
    write_record(path / "record.json", record)
    return path


def schema_1(record: Record) -> dict[str, Any]:
    """The record as its first schema had it: the teacher's parts among the others, overrides in one line."""
    content = plain(record)
    for added in ("kind", "recipe", "files", CHECKSUM):
        del content[added]
    teacher, results, about = content.pop("teacher"), content["results"], content["about"]
    own, recipes = [], []
    for name, value in record.condition.overrides.items():
        shown = tuple(value) if isinstance(value, list) else value
        (recipes if "recipe." in name else own).append(f"{name}={shown}")
    taught = {"test": teacher["test"], "probes": teacher["probes"]}
    untrained = results.pop("untrained_probes")
    costs = {"teacher_parameters": teacher["parameters"], "teacher_macs": teacher["macs"]}
    about |= {"teacher": teacher["architecture"], "teacher_modalities": teacher["modalities"]}
    content["provenance"] |= {"teacher_id": teacher["id"], "teacher_checksum": teacher["checksum"]}
    content["condition"]["overrides"] = " ".join(sorted(own) + sorted(recipes))
    content["metrics"] = {
        name: {("headline" if key == "primary" else key): value for key, value in metric.items()}
        for name, metric in content["metrics"].items()
    }
    scores = results.pop("scores")
    content["results"] = {"teacher": taught, **results, **costs, **scores, "untrained": {"probes": untrained}}
    return {**content, "schema": 1}


def arrays_of(record: Record, classes: int = 6, samples: int = 40) -> dict[str, np.ndarray]:
    """Plausible arrays, drawn from a generator seeded by the run."""
    draw = np.random.default_rng(int(record.id[:8], 16))
    centres = np.random.default_rng(0).normal(size=(classes, 12)) * 2
    label = (np.arange(samples) % classes).astype(np.int16)
    noise = {"scratch": 2.0, "kd": 0.5}.get(record.run.baseline, 1.0)
    teacher = centres[label] + np.random.default_rng(1).normal(size=(samples, 12)) * 0.2
    student = centres[label] + draw.normal(size=(samples, 12)) * noise
    return {
        "test_label": label,
        "test_prediction": label,
        "test_embedding": student.astype(np.float16),
        "teacher_embedding": teacher.astype(np.float16),
        "test_class_correlation": np.corrcoef(student.T[:classes]).astype(np.float16),
        "teacher_class_correlation": np.corrcoef(teacher.T[:classes]).astype(np.float16),
    }


def few_records() -> list[Record]:
    """Two tasks, as small as a report with every form of output can be: figures take most of its time."""
    records = [make_record(baseline, 0) for baseline in ("scratch", "kd")]
    return [*records, make_record("scratch", 0, task="cross_modal", dataset="scenes", label_fraction=0.1)]


def all_records() -> list[Record]:
    """Two tasks; few labels beside a fully labelled anchor; a diverged run; a baseline that doesn't apply."""
    records = []
    for pair in ("resnet20-resnet8", "resnet32x4-resnet8x4"):
        for baseline in BASELINES:
            for seed in range(3):
                status, reason = "finished", ""
                if baseline == "fsp":
                    status, reason = "not_applicable", "stages differ in channels: 16 & 32_64"
                elif (baseline, seed, pair) == ("fitnet", 1, "resnet20-resnet8"):
                    status, reason = "diverged", "the loss is nan at epoch 3"
                records.append(make_record(baseline, seed, status, pair=pair, reason=reason))
    few = {"task": "cross_modal", "dataset": "scenes", "pair": "resnet20-resnet8"}
    for seed in range(3):
        records.append(make_record("scratch", seed, **few))
        for baseline in ("scratch", "kd", "crd", "shuffled_teacher"):
            records.append(make_record(baseline, seed, label_fraction=0.1, **few))
    records.append(make_record("scratch", 0, dataset="cifar100", validation=0.0))
    records.append(make_record("kd", 0, dataset="cifar100", validation=0.0))
    return records
