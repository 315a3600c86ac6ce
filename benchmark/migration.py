"""Records of earlier schemas in the shape of today's, as plain values; `records` validates what comes out."""

from __future__ import annotations

import ast
import re
from typing import Any

SPLITS = ("test@last", "test@best_validation", "validation@last")


def migrated(old: dict[str, Any], kind: str) -> dict[str, Any]:
    """A record of schema 1 or 2 as one of schema 3. Raises TypeError or KeyError where a part is not there.

    kind   "run" or "teacher"
    """
    second = _second(old, kind) if old["schema"] == 1 else old
    return {**second, "schema": 3, "files": None}  # what the files beside it were, nobody knows


def _second(old: dict[str, Any], kind: str) -> dict[str, Any]:
    """A record of schema 1 as one of schema 2."""
    parts = ("provenance",) if kind == "teacher" else ("results", "about", "condition", "metrics")
    for part in parts:
        if not isinstance(old.get(part), dict):
            raise TypeError(f"no {part!r} part")
    if not isinstance(old.get("provenance", {}), dict):
        raise TypeError("no 'provenance' part")
    return {**(_teacher(old) if kind == "teacher" else _run(old)), "schema": 2, "kind": kind}


def _teacher(old: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": old["id"],
        "spec": old.get("run", {}),
        "checksum": old["provenance"]["teacher_checksum"],
        "measurements": old.get("measurements", {}),
        "provenance": {"data_fingerprint": old["provenance"].get("data_fingerprint", "")},
    }


def _run(old: dict[str, Any]) -> dict[str, Any]:
    results, about = dict(old["results"]), dict(old["about"])
    provenance = dict(old.get("provenance", {}))
    taught, untrained = results.pop("teacher", {}), results.pop("untrained", {})
    teacher = {
        "id": provenance.pop("teacher_id", ""),
        "checksum": provenance.pop("teacher_checksum", ""),
        "architecture": about.pop("teacher", ""),
        "modalities": about.pop("teacher_modalities", ()),
        "test": taught.get("test", {}),
        "parameters": results.pop("teacher_parameters", None),
        "macs": results.pop("teacher_macs", None),
        "probes": taught.get("probes", {}),
    }
    scores = {split: results.pop(split) for split in SPLITS if split in results}
    condition = old["condition"]
    metrics = {
        name: {**metric, "primary": metric.get("headline", False)} for name, metric in old["metrics"].items()
    }
    return {
        **old,
        "about": about,
        "condition": {**condition, "overrides": _overrides(condition.get("overrides") or "")},
        "metrics": metrics,
        "results": {**results, "scores": scores, "untrained_probes": untrained.get("probes", {})},
        "teacher": teacher,
        "provenance": provenance,
    }


def _overrides(text: str) -> dict[str, Any]:
    """Schema 1 kept overrides as one line, `recipe.milestones=(0.5, 0.75) tau=0.1`."""
    found = {}
    for item in filter(None, re.split(r"\s+(?=[\w.+]+=)", text)):
        name, _, written = item.partition("=")
        try:
            value = ast.literal_eval(written)
        except (ValueError, SyntaxError):
            value = written  # text stood there without quotes
        found[name] = list(value) if isinstance(value, tuple) else value
    return found
