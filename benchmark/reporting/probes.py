"""The tables of frozen features: probes of every baseline between the untrained student and the teacher."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import pandas as pd

from benchmark.records import Record
from benchmark.reporting.formatting import row_n, show_estimate
from benchmark.reporting.rows import PROBES, PairBlock, ResultRow, probe_values, task_blocks
from benchmark.reporting.tables import Column, TaskTable, numbers_frame, telling_columns

TITLES = {"own": "own, all labels", "linear": "linear", "knn": "k-NN"}

CAPTION = (
    "Test accuracy (%) of classifiers on frozen features: mean ± sample standard deviation over n seeds; for"
    " the teacher, n counts distinct teachers.",
    "Linear: logistic regression, its strength chosen on a fifth of its training samples; k-NN: ten nearest"
    " by cosine; K per class: logistic regression on K samples of each class, mean of five draws.",
    "On the own data all training samples have their label, also where the students had few.",
    "The untrained student is the floor: the same network with its initial weights.",
)


def probe_tables(records: Iterable[Record]) -> list[TaskTable]:
    """One table for each task with probes; its name is the task's with `_probes` behind."""
    records = [record for record in records if record.results.probes]
    tables = []
    for task, blocks in task_blocks(records).items():
        own = [record for record in records if record.run.task == task]
        blocks = [_with_floor(block) for block in blocks]
        title = f"{own[0].about.task_title or task}: frozen features"
        frame = numbers_frame(blocks, own)
        probes = [name for name in frame if not name.startswith(("test@", "difference/"))]
        tables.append(
            TaskTable(
                f"{task}_probes",
                title,
                blocks,
                _columns(blocks),
                list(CAPTION),
                [],
                pd.DataFrame(frame[probes]),
            )
        )
    return tables


def _with_floor(block: PairBlock) -> PairBlock:
    """The block with a row for the untrained student behind the teacher's."""
    by_seed: dict[tuple[int, str], Record] = {}
    for row in block.rows:
        for record in () if row.is_teacher else row.records:
            if record.results.untrained_probes:
                by_seed.setdefault((record.run.seed, record.condition.fold), record)
    floor = [by_seed[key] for key in sorted(by_seed)]
    if not floor:
        return block
    values = probe_values([record.results.untrained_probes for record in floor])
    title = f"untrained ({floor[0].about.student or 'student'})"
    row = ResultRow(title, None, {}, tuple(floor), values, kind="untrained")
    teachers = [row for row in block.rows if row.is_teacher]
    students = [row for row in block.rows if not row.is_teacher]
    return replace(block, rows=(*teachers, row, *students))


def _columns(blocks: list[PairBlock]) -> list[Column]:
    keys = dict.fromkeys(
        key for block in blocks for row in block.rows for key in row.values if key.startswith(PROBES)
    )
    columns = [Column("method", lambda row: row.title, numeric=False), *telling_columns(blocks)]
    columns.append(Column("n", lambda row: str(row_n(row))))
    for key in keys:
        # The linear probes stay longest where the console is narrow.
        spare = 0 if key.endswith("/linear") else list(keys).index(key) + 1
        columns.append(Column(probe_title(key), _cell(key), spare))
    return columns


def probe_title(key: str) -> str:
    """`probes/own/linear` as two lines: whose data, which probe."""
    _, question, probe = key.split("/")
    return f"{_title(question)}\n{_title(probe)}"


def _cell(key: str) -> Callable[[ResultRow], str]:
    return lambda row: show_estimate(row.values.get(key), 1, row_n(row))


def _title(name: str) -> str:
    shots = name.removeprefix("few_shot_")
    return TITLES.get(name) or (f"{shots} per class" if shots != name else name.replace("_", " "))
