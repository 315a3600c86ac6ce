"""Records and run folders as a benchmark would leave them, with made-up numbers."""

import copy
import hashlib
import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np

METRICS = {
    "top1": {
        "title": "Top-1 accuracy",
        "short": "top-1",
        "direction": "max",
        "unit": "%",
        "scale": 100,
        "headline": True,
    },
    "top5": {"title": "Top-5 accuracy", "short": "top-5", "direction": "max", "unit": "%", "scale": 100},
    "agreement": {
        "title": "Agreement with the teacher",
        "short": "agreement",
        "direction": "max",
        "unit": "%",
    },
    "kl_to_teacher": {
        "title": "KL divergence to the teacher",
        "short": "KL to teacher",
        "direction": "min",
        "unit": "nats",
        "scale": 1,
    },
}
METRICS["agreement"]["scale"] = 100
for _metric in METRICS.values():
    _metric.setdefault("headline", False)

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

CONDITION = {
    "label_fraction": 1.0,
    "validation": 0.1,
    "split_seed": 0,
    "teacher_data": "shared",
    "teacher_seed": 0,
    "train_samples": None,
    "teacher_samples": None,
    "epochs": 12,
    "batch_size": 64,
    "teacher_epochs": 20,
    "precision": "32",
    "teacher_checkpoint": "",
    "overrides": "",
}


def make_record(baseline: str = "kd", seed: int = 0, status: str = "finished", **changes: Any) -> dict:
    """A record with plausible numbers, drawn from a generator seeded by what the run is.

    `changes`: `task`, `dataset`, `pair`, `reason`, `hyperparameters`, `commit`, `clean`, `device`,
    `finished`, and any condition.
    """
    places = {"task": "compression", "dataset": "shapes", "pair": "resnet20-resnet8"}
    run = {name: changes.pop(name, default) for name, default in places.items()}
    run |= {"baseline": baseline, "seed": seed}
    reason = changes.pop("reason", "")
    provenance = {
        name: changes.pop(name) for name in ("commit", "clean", "device", "finished") if name in changes
    }
    hyperparameters = changes.pop("hyperparameters", {"weight": 0.8})
    condition = CONDITION | changes
    identity = json.dumps([run, condition, hyperparameters], sort_keys=True)
    teacher = f"{run['pair']}{condition['teacher_seed']}"
    draw = random.Random(identity)
    return {
        "schema": 1,
        "id": hashlib.sha256(f"{identity}{provenance}".encode()).hexdigest()[:16],
        "run": run,
        "condition": condition,
        "status": status,
        "reason": reason,
        "about": _about(run, condition),
        "metrics": copy.deepcopy(METRICS),
        "results": {} if status == "not_applicable" else _results(run, condition, status, draw),
        "hyperparameters": {} if status == "not_applicable" else hyperparameters,
        "measurements": {
            "step_ms": 12.0 + BASELINES[baseline][3] + draw.random(),
            "teacher_share_ms": 1.2,
            "data_share_ms": 0.2,
            "peak_memory_mb": 900.0,
            "total_s": 33.0,
            "cohort_size": 8,
        },
        "provenance": {
            "commit": "0123456789abcdef",
            "clean": True,
            "versions": {"torch": "2.11.0"},
            "device": "cpu",
            "teacher_id": hashlib.sha256(teacher.encode()).hexdigest()[:16],
            "teacher_checksum": "00",
            "data_fingerprint": f"fingerprint-{run['dataset']}",
            "command": "python run_all.py",
            "finished": f"2026-01-0{seed + 1}T00:00:00",
            **provenance,
        },
    }


def _results(run: dict, condition: dict, status: str, draw: random.Random) -> dict:
    results = {"teacher": {"test": {"top1": 0.705, "top5": 0.955}, "validation": {"top1": 0.71}}}
    results |= {"teacher_parameters": 278324, "teacher_macs": 41216512}
    if status != "finished":
        return results
    gain = BASELINES[run["baseline"]][4]
    top1 = (
        0.45 + 0.16 * condition["label_fraction"] ** 0.3 + gain + 0.004 * run["seed"] + draw.gauss(0, 0.006)
    )
    test = {
        "top1": top1,
        "top5": min(0.99, top1 + 0.3),
        "agreement": top1 + 0.07 + draw.gauss(0, 0.01),
        "kl_to_teacher": 0.8 - 4 * gain + draw.gauss(0, 0.02),
    }
    results |= {"test@last": test, "parameters": 78042, "macs": 12507392}
    if condition["validation"]:
        results["test@best_validation"] = {name: value + 0.002 for name, value in test.items()}
        results["validation@last"] = {"top1": top1 + 0.004}
        results["best_epoch"] = 7
    return results


def _about(run: dict, condition: dict) -> dict:
    title, role, paper, order, _ = BASELINES[run["baseline"]]
    synthetic = run["dataset"] != "cifar100"
    teacher, student = run["pair"].split("-")
    return {
        "task_title": run["task"].replace("_", "-").capitalize(),
        "dataset_title": {"shapes": "Shapes", "cifar100": "CIFAR-100"}.get(run["dataset"], run["dataset"]),
        "baseline_title": title,
        "role": role,
        "paper": paper,
        "arxiv": "",
        "anchor": run["baseline"] == "scratch",
        "companion": "all_labels" if run["baseline"] == "scratch" else "",
        "order": order,
        "synthetic": synthetic,
        "num_classes": 10,
        "num_train": 900,
        "num_labelled": round(900 * condition["label_fraction"]),
        "num_validation": 100,
        "num_test": 1000 if synthetic else 10000,
        "teacher": teacher,
        "student": student,
        "teacher_modalities": ["rgb"],
        "student_modalities": ["depth"] if run["task"] == "cross_modal" else ["rgb"],
    }


def write_run(folder: Path, record: dict) -> Path:
    """Write the record and its history as a run folder; returns the run folder."""
    run, condition = record["run"], record["condition"]
    slug = f"{run['dataset']}-{run['pair']}-{run['baseline']}-seed{run['seed']}-{record['id'][:8]}"
    path = folder / "runs" / slug
    path.mkdir(parents=True)
    draw = random.Random(record["id"])
    final = record["results"].get("test@last", {}).get("top1", 0.3)
    epochs = {"finished": condition["epochs"], "diverged": 4, "not_applicable": 0}[record["status"]]
    lines = []
    for epoch in range(epochs):
        line = {"epoch": epoch, "terms": {"task": 2.0 * math.exp(-epoch / 5)}, "learning_rate": 0.05}
        line["train"] = {"loss": 3.0 * math.exp(-epoch / 6) + 0.2 + draw.gauss(0, 0.05)}
        if condition["validation"]:
            line["validation"] = {
                "top1": final * (1 - 0.9 * math.exp(-(epoch + 1) / 3)) + draw.gauss(0, 0.01)
            }
        lines.append(json.dumps(line))
    (path / "history.jsonl").write_text("".join(f"{line}\n" for line in lines))
    (path / "record.json").write_text(json.dumps(record))
    return path


def arrays_of(record: dict, classes: int = 6, samples: int = 40) -> dict[str, np.ndarray]:
    """Plausible arrays, drawn from a generator seeded by the run."""
    draw = np.random.default_rng(int(record["id"][:8], 16))
    centres = np.random.default_rng(0).normal(size=(classes, 12)) * 2
    label = (np.arange(samples) % classes).astype(np.int16)
    noise = {"scratch": 2.0, "kd": 0.5}.get(record["run"]["baseline"], 1.0)
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


def all_records() -> list[dict]:
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
