"""Runs grouped into rows, and rows into blocks, by the ids of the tidy frame: as `identity` decides."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd

from benchmark.records import LAST, Metric, Record
from benchmark.reporting.differences import differences
from benchmark.reporting.frame import condition_columns, show_overrides, sort_key, tidy_frame
from benchmark.reporting.identity import (
    OF_A_CLUSTER,
    Facets,
    code_facets,
    identity,
    own_facets,
    shared_facets,
    shared_overrides,
    stable_id,
    teacher_facets,
    telling,
)
from benchmark.reporting.rows import (
    CORRUPTED,
    COSTS,
    MEASUREMENTS,
    PROBES,
    SPLITS,
    PairBlock,
    ResultRow,
    anchor_of,
    grouped,
    means_of_units,
    primary_metrics,
    varying_conditions,
)
from benchmark.reporting.statistics.inference import Difference
from benchmark.reporting.statistics.spread import INTERVAL_FROM, Estimate, estimate_of, over_clusters

OF_TEACHER = {
    "teacher/test/": f"{LAST}/",
    "teacher/probes/": PROBES,
    "teacher/corrupted/": CORRUPTED,
    "teacher_": "",
}
"""Columns of a run's teacher -> the same columns of a student."""


def task_blocks(records: Iterable[Record], frame: pd.DataFrame | None = None) -> dict[str, list[PairBlock]]:
    """Task -> its blocks, each with its teacher's and its baselines' rows; sorted by name.

    `frame` is the tidy frame of the records, where it is there already.

    Raises:
        UserError: where two records of one run contradict each other.
    """
    records = list(records)
    blocks: dict[str, list[PairBlock]] = {}
    if not records:
        return blocks
    for task, runs in _with_records(tidy_frame(records) if frame is None else frame, records).groupby("task"):
        conditions = varying_conditions(runs["record"])
        by_block = runs.groupby(["dataset", "pair", "block"])
        blocks[str(task)] = [_block(own, conditions) for _, own in by_block]
    return blocks


def _with_records(frame: pd.DataFrame, records: Iterable[Record]) -> pd.DataFrame:
    """The tidy frame, each line with the `record` that it was made of and its `identity`."""
    by_id = {record.id: record for record in records}
    ordered = [by_id[each] for each in frame["id"]]
    return frame.assign(record=ordered, identity=list(map(identity, ordered)))


def _block(runs: pd.DataFrame, conditions: tuple[str, ...]) -> PairBlock:
    """The block of its runs: lines of the tidy frame, with the `record` that each was made of."""
    first: Record = runs["record"].iloc[0]
    metrics = first.metrics
    runs = _spread(runs)
    # A second record of one row and seed differs in something that no part of the record tells.
    runs = runs.assign(copy=runs.groupby(["row", "place"]).cumcount())
    rows = [_row(own, metrics) for _, own in runs.groupby(["row", "copy"], sort=False)]
    rows = _told_apart(_with_controls(rows))
    rows = _compared(rows, primary_metrics(metrics))
    rows.sort(
        key=lambda row: (
            [sort_key(row.comparison_condition[name]) for name in conditions],
            row.setting,
            row.comparison,
            not row.is_anchor,
            row.about.order,
            sort_key(row.condition["overrides"]),
            row.title,
            row.variant,
        )
    )
    return PairBlock(
        id=runs["block"].iloc[0],
        task=first.run.task,
        dataset=first.run.dataset,
        pair=first.run.pair,
        metrics=metrics,
        conditions=conditions,
        rows=(*_teacher_rows(runs, conditions, metrics), *rows),
    )


def _spread(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with rows and comparisons that go over several teachers and splits, where these are samples.

    They are if their seeds tell them apart. Two teachers of one seed (made with other numbers of threads,
    say) are no sample of anything: rows of each stand for themselves. So they do where rows met different
    ones and no two met three: a run more of one row must not cost all others what is known of them.

    `place` tells the runs of a row apart, `cluster` is the teacher and split of each, `over` are the
    conditions that their comparison goes over; both are empty where there is only one.
    """
    across = pd.Series([ids.across for ids in runs["identity"]], index=runs.index)
    nothing = pd.Series([()] * len(runs), runs.index)
    found = runs.assign(place=runs["seed"].astype(object), cluster=nothing, over=nothing)
    for _, own in runs.groupby(across):
        alike = [len(set(each["comparison"])) for _, each in own.groupby(list(OF_A_CLUSTER))]
        if len(alike) > 1 and max(alike) == 1 and _comparable(own):
            found.loc[own.index, "comparison"] = [ids.across for ids in own["identity"]]
            found.loc[own.index, "row"] = [ids.row_across for ids in own["identity"]]
            found.loc[own.index, "cluster"] = _told(own, _varying(own))
            told = found.loc[own.index, "cluster"].map(", ".join)
            found.loc[own.index, "place"] = told + ", seed " + own["seed"].astype(str)
            over = tuple((name, _listed(own, name)) for name in _varying(own))
            found.loc[own.index, "over"] = pd.Series([over] * len(own), own.index)
    return found


def _comparable(runs: pd.DataFrame) -> bool:
    """Whether all rows met the same teachers and splits, or two of them enough for an interval."""
    met: dict[str, set[tuple[int, ...]]] = {}
    for ids, cluster in zip(runs["identity"], runs[list(OF_A_CLUSTER)].itertuples(index=False), strict=True):
        met.setdefault(ids.row_across, set()).add(tuple(cluster))
    pairs = list(combinations(met.values(), 2))
    return all(a == b for a, b in pairs) or any(len(a & b) >= INTERVAL_FROM for a, b in pairs)


def _listed(runs: pd.DataFrame, name: str) -> str:
    """`0, 1, 2`."""
    return ", ".join(map(str, sorted(set(runs[name]))))


def _varying(runs: pd.DataFrame) -> list[str]:
    return [name for name in OF_A_CLUSTER if len(set(runs[name])) > 1]


def _told(runs: pd.DataFrame, names: list[str]) -> pd.Series:
    """`("teacher 1", "split 0")`, for each run."""
    words = [name.removesuffix("_seed") + " " + runs[name].astype(str) for name in names]
    return pd.Series(list(zip(*words, strict=True)), runs.index)


def _row(runs: pd.DataFrame, metrics: Mapping[str, Metric]) -> ResultRow:
    """The row of runs that may be averaged."""
    runs = runs.sort_values([*OF_A_CLUSTER, "seed", "id"])
    first: Record = runs["record"].iloc[0]
    copy = int(runs["copy"].iloc[0])
    overrides = " ".join(show_overrides(shared_overrides(first.condition.overrides)))
    condition = condition_columns(first.condition)
    if runs["cluster"].iloc[0]:
        condition |= {name: _listed(runs, name) for name in _varying(runs)}
    numbers = _numbers(runs[runs["status"] == "finished"].set_index("place"), metrics)
    clusters = {place: name for place, name in zip(runs["place"], runs["cluster"], strict=True) if name}
    return ResultRow(
        id=f"{runs['row'].iloc[0]}{f'-{copy}' * bool(copy)}",
        title=first.about.baseline_title or first.run.baseline,
        baseline=first.run.baseline,
        condition=condition,
        records=tuple(runs["record"]),
        identities=tuple(runs["identity"]),
        numbers=numbers,
        comparison=runs["comparison"].iloc[0],
        comparison_condition={**condition, **dict(runs["over"].iloc[0]), "overrides": overrides},
        clusters=clusters,
        variant=f"copy {copy + 1}" if copy else "",
        values=estimates(numbers, clusters),
    )


def _numbers(runs: pd.DataFrame, metrics: Mapping[str, Metric]) -> pd.DataFrame:
    """The numbers of tables, in their units, of some lines of the tidy frame; the index stays."""
    scales = {f"{split}/{name}": metric.scale for split in SPLITS for name, metric in metrics.items()}
    scales |= dict.fromkeys((*COSTS, *MEASUREMENTS), 1.0)
    probed = [name for name in runs if name.startswith(PROBES) and runs[name].notna().to_numpy().any()]
    scales |= dict.fromkeys(probed, 100.0)
    scales |= {
        name: metrics[metric].scale
        for name in runs
        if name.startswith(CORRUPTED)
        and (metric := name.rpartition("/")[2]) in metrics
        and runs[name].notna().to_numpy().any()
    }
    return pd.DataFrame(
        {
            name: runs[name].astype(float) * scale if name in runs else np.nan
            for name, scale in scales.items()
        },
        index=runs.index,
    )


def estimates(
    numbers: pd.DataFrame, clusters: Mapping[Hashable, tuple[str, ...]] | None = None
) -> dict[str, Estimate]:
    """Each column's mean and deviation over runs; over several teachers or splits mean and interval are those
    of their means, as differences are: some may have more runs than others. Below three there is no interval.
    """
    found = {}
    for name, column in numbers.items():
        known = column.dropna()
        estimate = estimate_of(known)
        over = over_clusters(means_of_units(known.to_dict(), clusters)) if clusters else estimate
        low, high = (over.low, over.high) if over.n >= INTERVAL_FROM else (math.nan, math.nan)
        found[str(name)] = replace(estimate, mean=over.mean, low=low, high=high)
    return found


def _with_controls(rows: list[ResultRow]) -> list[ResultRow]:
    """Controls with a teacher of their own join the comparison of the anchor that differs in that alone."""

    def home(row: ResultRow) -> ResultRow:
        anchors = [other for other in rows if other.is_anchor]
        if row.about.role != "control" or any(row.comparison == each.comparison for each in anchors):
            return row
        kin = row.identities[0].any_teacher
        found = {each.comparison: each for each in anchors if each.identities[0].any_teacher == kin}
        if len(found) != 1:
            return row
        (anchor,) = found.values()
        return replace(row, comparison=anchor.comparison, comparison_condition=anchor.comparison_condition)

    return list(map(home, rows))


def _told_apart(rows: list[ResultRow]) -> list[ResultRow]:
    """The rows with what tells each from others of its baseline and condition."""
    told: dict[str, ResultRow] = {}
    for siblings in grouped(rows, lambda row: repr(row.comparison_condition)).values():
        comparisons = grouped(siblings, lambda row: row.comparison)
        # Its own teacher is what a control's title speaks of.
        typical = {
            name: min(own, key=lambda row: row.about.role == "control") for name, own in comparisons.items()
        }
        settings = _telling_each(shared_facets, typical)
        for name, own in comparisons.items():
            for same in grouped(own, lambda row: row.baseline).values():
                # Of other hyper-parameters, too: what code makes must not pass for what they make.
                codes = _telling_each(code_facets, {row.id: row for row in same})
                for alike in grouped(same, lambda row: repr(row.condition)).values():
                    variants = _telling_each(own_facets, {row.id: row for row in alike})
                    for row in alike:
                        parts = filter(None, (variants[row.id], codes[row.id], row.variant))
                        told[row.id] = replace(row, setting=settings[name], variant=", ".join(parts))
    return [told[row.id] for row in rows]


def _telling_each(facets: Facets, rows: Mapping[str, ResultRow]) -> dict[str, str]:
    """For each of some rows, by any key: how it differs from the others."""
    siblings = [record for row in rows.values() for record in row.records]
    return {key: telling(facets, row.records, siblings) for key, row in rows.items()}


def _compared(rows: list[ResultRow], primary: list[str]) -> list[ResultRow]:
    """The rows with what is known of their differences to their anchors, by metric."""
    anchors = {row.id: anchor_of(row, rows) for row in rows}
    found: dict[str, dict[str, Difference]] = {}
    for anchor in {each.id: each for each in anchors.values() if each is not None}.values():
        own = [row for row in rows if anchors[row.id] is anchor]
        for name in primary:
            for row_id, difference in differences(anchor, own, f"{LAST}/{name}").items():
                found.setdefault(row_id, {})[name] = difference
    return [replace(row, differences=found.get(row.id, {})) for row in rows]


def _teacher_rows(
    runs: pd.DataFrame, conditions: tuple[str, ...], metrics: Mapping[str, Metric]
) -> list[ResultRow]:
    """The teachers of the block, averaged over teachers that differ in nothing but `teacher_seed`.

    Controls have teachers of their own (an untrained one, say), which must not enter the mean: they
    count only where there are no other rows.
    """
    tested = pd.DataFrame(runs[[bool(record.teacher.test) for record in runs["record"]]])
    others = pd.DataFrame(tested[tested["role"] != "control"])
    tested = others if len(others) else tested
    teachers = [own for _, own in tested.groupby([ids.teacher for ids in tested["identity"]], sort=False)]
    names = [name for name in conditions if name != "teacher_seed" and _tells_apart(name, teachers)]
    rows = []
    for alike in grouped(teachers, lambda own: repr(_shown(own, names))).values():
        clusters = _clusters(alike)
        siblings = [record for own in alike for record in own["record"]]
        for cluster in clusters:
            told = telling(teacher_facets, (r for own in cluster for r in own["record"]), siblings)
            # Of each teacher the first value that any of its runs has; nothing of one teacher is averaged.
            lines = pd.concat([own.groupby(lambda _: 0).first() for own in cluster])
            variant = told if len(clusters) > 1 else ""
            rows.append(_end("teacher", lines, OF_TEACHER, _shown(cluster[0], names), metrics, variant))
    return sorted(rows, key=lambda row: (row.title, repr(row.condition), row.variant))


def _shown(runs: pd.DataFrame, names: Iterable[str]) -> dict[str, Any]:
    """The conditions of these names, which all the runs share."""
    condition = condition_columns(runs["record"].iloc[0].condition)
    return {name: condition[name] for name in names}


def _tells_apart(name: str, teachers: list[pd.DataFrame]) -> bool:
    """Whether a condition is constant for each teacher, and not the same for all."""
    values = [set(map(repr, own[name])) for own in teachers]
    return all(len(own) == 1 for own in values) and len(set().union(*values)) > 1


def _clusters(teachers: list[pd.DataFrame]) -> list[list[pd.DataFrame]]:
    """Teachers that one row may average: alike in all but their seeds, and each of another seed."""
    found = []
    for some in grouped(teachers, lambda own: own["identity"].iloc[0].teachers).values():
        seeds = {int(own["teacher_seed"].iloc[0]) for own in some}
        # Two teachers of one seed differ in more than their seed: by threads, say.
        found += [some] if len(seeds) == len(some) else [[own] for own in some]
    return found


def _end(
    kind: Literal["teacher", "untrained"],
    runs: pd.DataFrame,
    prefixes: Mapping[str, str],
    condition: dict[str, Any],
    metrics: Mapping[str, Metric],
    variant: str = "",
) -> ResultRow:
    """An end of the scale: what the columns with these prefixes say, as if it were a student's."""
    names = {}
    for name in runs:
        prefix = next((each for each in prefixes if name.startswith(each)), None)
        if prefix is not None:
            names[name] = prefixes[prefix] + name.removeprefix(prefix)
    numbers = _numbers(pd.DataFrame({new: runs[old] for old, new in names.items()}), metrics)
    first: Record = runs["record"].iloc[0]
    network = first.teacher.architecture if kind == "teacher" else first.about.student
    return ResultRow(
        id=stable_id((kind, *sorted(runs["id"]))),
        title=f"{kind} ({network or 'unnamed'})",
        baseline="",
        condition=condition,
        records=tuple(runs["record"]),
        identities=tuple(runs["identity"]),
        numbers=numbers,
        variant=variant,
        kind=kind,
        values=estimates(numbers),
    )


OF_THE_DATA = ("fold", "split_seed", "validation", "train_samples")
"""The conditions that an untrained student's features depend on, besides its seed."""


def with_floor(block: PairBlock) -> PairBlock:
    """The block with a row for the untrained student behind the teacher's, where it was probed."""
    probed = [r for row in block.students for r in row.records if r.results.untrained_probes]

    def shown(record: Record) -> dict[str, Any]:
        return {name: getattr(record.condition, name) for name in OF_THE_DATA if name in block.conditions}

    def data(record: Record) -> dict[str, Any]:
        return {"data": teacher_facets(record)["data"]}

    floors = []
    for own in grouped(probed, lambda record: (repr(shown(record)), data(record)["data"])).values():
        by_seed = grouped(own, lambda record: record.run.seed)
        alike = [record for record in probed if shown(record) == shown(own[0])]
        first = [by_seed[seed][0] for seed in sorted(by_seed)]
        runs = _with_records(tidy_frame(first), first)
        told = telling(data, own, alike)
        floors.append(_end("untrained", runs, {"untrained/": ""}, shown(own[0]), block.metrics, told))
    teachers = [row for row in block.rows if not row.is_student]
    return replace(block, rows=(*teachers, *floors, *block.students))
