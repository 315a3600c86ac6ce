"""The tables of frozen features: probes of every baseline between the untrained student and the teacher."""

import pandas as pd

from benchmark.reporting.formatting import all_notes
from benchmark.reporting.grouping import with_floor
from benchmark.reporting.results import Results
from benchmark.reporting.rows import CORRUPTED, PROBES, PairBlock
from benchmark.reporting.tables.captions import caption_of_lost
from benchmark.reporting.tables.task_tables import (
    METHOD,
    Column,
    N,
    TaskTable,
    estimate_column,
    measured_runs,
    numbers_frame,
    status_column,
    telling_columns,
)

TITLES = {"own": "own, all labels", "linear": "linear", "knn": "k-NN"}

CAPTION = (
    "Test accuracy (%) of classifiers on frozen features: mean ± sample standard deviation over n seeds.",
    "For the teacher, n counts distinct teachers.",
    "Linear: logistic regression, its strength chosen on a fifth of its training samples; k-NN: ten nearest"
    " by cosine; K per class: logistic regression on K samples of each class, mean of five draws.",
    "On the own data all training samples have their label, also where the students had few.",
    "The untrained student is the floor: the same network with its initial weights.",
)


def probe_tables(results: Results) -> list[TaskTable]:
    """One table for each task with probes; its files are the task's with `_probes` behind."""
    probed = measured_runs(results, lambda record: record.results.probes)
    tables = []
    for task, blocks in probed.blocks.items():
        own = [record for record in probed.records if record.run.task == task]
        blocks = list(map(with_floor, blocks))
        frame, notes = numbers_frame(blocks, own), all_notes(blocks)
        shown = [name for name in frame if not name.startswith(("test@", "difference/", CORRUPTED))]
        tables.append(
            TaskTable(
                task=task,
                kind="probes",
                stem=f"{task}_probes",
                title=f"{probed.task_title(task)}: frozen features",
                blocks=blocks,
                columns=[*_columns(blocks), *status_column(blocks, notes)],
                caption=[*CAPTION, *caption_of_lost(blocks)],
                notes=notes,
                frame=pd.DataFrame(frame[shown]),
            )
        )
    return tables


def _columns(blocks: list[PairBlock]) -> list[Column]:
    keys = dict.fromkeys(
        key for block in blocks for row in block.rows for key in row.values if key.startswith(PROBES)
    )
    columns = [METHOD, *telling_columns(blocks), N]
    for key in keys:
        # The linear probes stay longest where the console is narrow.
        spare = 0 if key.endswith("/linear") else list(keys).index(key) + 1
        columns.append(estimate_column(probe_title(key), key, lambda row: 1, spare))
    return columns


def probe_title(key: str) -> str:
    """`probes/own/linear` as two lines: whose data, which probe."""
    _, question, probe = key.split("/")
    return f"{_title(question)}\n{_title(probe)}"


def _title(name: str) -> str:
    shots = name.removeprefix("few_shot_")
    return TITLES.get(name) or (f"{shots} per class" if shots != name else name.replace("_", " "))
