"""What was run, in names and values."""

from __future__ import annotations

from benchmark.reporting.frame import Record, condition_names, sort_key
from benchmark.reporting.rows import varying_conditions
from benchmark.reporting.words import dataset_title, show_value


def overview(records: list[Record]) -> list[tuple[str, str]]:
    """Of all tasks: runs by status, commits, devices, dates and versions."""
    known = [record.get("provenance", {}) for record in records]
    commits = sorted({str(p["commit"])[:12] for p in known if p.get("commit")})
    devices = sorted(
        {
            f"{p['device']} ({p['device_name']})" if p.get("device_name") else str(p["device"])
            for p in known
            if p.get("device")
        }
    )
    dates = sorted({str(p["finished"])[:10] for p in known if p.get("finished")})
    versions = sorted(
        {f"{name} {version}" for p in known for name, version in (p.get("versions") or {}).items()}
    )
    entries = [
        ("Runs", _statuses(records)),
        ("Commit" if len(commits) == 1 else "Commits", ", ".join(commits)),
        ("Device" if len(devices) == 1 else "Devices", ", ".join(devices)),
        ("Finished", " to ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else ""),
        ("Versions", ", ".join(versions)),
    ]
    return [(name, value) for name, value in entries if value]


def _statuses(records: list[Record]) -> str:
    counts = {
        words: sum(record["status"] == status for record in records)
        for status, words in (
            ("finished", "finished"),
            ("diverged", "diverged"),
            ("not_applicable", "not applicable"),
        )
    }
    return ", ".join(f"{count:,} {words}" for words, count in counts.items() if count)


def what_ran(records: list[Record]) -> list[tuple[str, str]]:
    """Of one task: datasets, pairs, baselines, seeds, and the conditions, shared and varying."""
    varying = varying_conditions(records)
    shared = [
        f"{name.replace('_', ' ')} {show_value(records[0]['condition'].get(name))}"
        for name in condition_names(records)
        if name not in varying and records[0]["condition"].get(name) not in (None, "")
    ]
    differing = []
    for name in varying:
        values = sorted({r["condition"].get(name) for r in records}, key=sort_key)
        differing.append(f"{name.replace('_', ' ')} {' or '.join(map(show_value, values))}")
    baselines = {r["run"]["baseline"] for r in records}
    datasets = dict.fromkeys(dataset_title(r["about"], r["run"]["dataset"]) for r in records)
    seeds = sorted({r["run"]["seed"] for r in records}, key=sort_key)
    entries = [
        ("Datasets" if len(datasets) > 1 else "Dataset", ", ".join(datasets)),
        ("Pairs", ", ".join(sorted({str(r["run"]["pair"]) for r in records}))),
        ("Baselines", str(len(baselines))),
        ("Seeds", ", ".join(map(str, seeds))),
        ("Runs", _statuses(records)),
        ("Differing", "; ".join(differing)),
        ("All runs", ", ".join(shared)),
    ]
    return [(name, value) for name, value in entries if value]
