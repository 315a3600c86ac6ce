"""What was run, in names and values."""

from __future__ import annotations

from collections import Counter

from benchmark.records import Record
from benchmark.reporting.formatting import UNFINISHED, dataset_title, show_value, show_words
from benchmark.reporting.frame import condition_columns, sort_key
from benchmark.reporting.rows import varying_conditions
from benchmark.reporting.tables.captions import common_conditions


def overview(records: list[Record]) -> list[tuple[str, str]]:
    """Of all tasks: runs by status, commits, devices, dates and versions."""
    known = [record.provenance for record in records]
    commits = sorted({p.commit[:12] for p in known if p.commit})
    devices = sorted(
        {f"{p.device} ({p.device_name})" if p.device_name else p.device for p in known if p.device}
    )
    dates = sorted({p.finished[:10] for p in known if p.finished})
    versions = sorted({f"{name} {version}" for p in known for name, version in p.versions.items()})
    entries = [
        ("Runs", _statuses(records)),
        ("Commit" if len(commits) == 1 else "Commits", ", ".join(commits)),
        ("Device" if len(devices) == 1 else "Devices", ", ".join(devices)),
        ("Finished", " to ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else ""),
        ("Versions", ", ".join(versions)),
    ]
    return [(name, value) for name, value in entries if value]


def _statuses(records: list[Record]) -> str:
    counts = Counter(record.status for record in records)
    known = ("finished", *UNFINISHED)
    return ", ".join(f"{counts[status]:,} {show_words(status)}" for status in known if counts[status])


def what_ran(records: list[Record]) -> list[tuple[str, str]]:
    """Of one task: datasets, pairs, baselines, seeds, and the conditions, shared and varying."""
    columns = [condition_columns(record.condition) for record in records]
    differing = []
    for name in varying_conditions(records):
        values = sorted({each[name] for each in columns}, key=sort_key)
        differing.append(f"{show_words(name)} {' or '.join(map(show_value, values))}")
    baselines = {r.run.baseline for r in records}
    datasets = dict.fromkeys(dataset_title(r.about, r.run.dataset) for r in records)
    seeds = sorted({r.run.seed for r in records})
    entries = [
        ("Datasets" if len(datasets) > 1 else "Dataset", ", ".join(datasets)),
        ("Pairs", ", ".join(sorted({r.run.pair for r in records}))),
        ("Baselines", str(len(baselines))),
        ("Seeds", ", ".join(map(str, seeds))),
        ("Runs", _statuses(records)),
        ("Differing", "; ".join(differing)),
        ("All runs", common_conditions(records)),
    ]
    return [(name, value) for name, value in entries if value]
