"""What --help prints: the settings in groups, each with its default, and examples."""

from __future__ import annotations

import ast
import inspect
import itertools
import shutil
import textwrap
import typing
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from benchmark.settings import Settings, flag

GROUPS = {
    "What to run": ("tasks", "datasets", "folds", "pairs", "baselines", "seeds", "preset"),
    "Training": (
        "epochs",
        "batch_size",
        "train_samples",
        "label_fraction",
        "validation",
        "split_seeds",
        "tune",
        "set",
    ),
    "Teacher": (
        "teacher_data",
        "teacher_epochs",
        "teacher_samples",
        "teacher_seeds",
        "teacher_checkpoint",
    ),
    "Data and plugins": (
        "data_dir",
        "download",
        "bad_samples",
        "memory_gb",
        "num_workers",
        "plugin",
    ),
    "Results": ("results_dir", "name", "probes", "corruptions", "report"),
    "Machine": (
        "device",
        "jobs",
        "devices",
        "nodes",
        "batch_norm",
        "executor",
        "ray_address",
        "slurm",
        "shard",
        "snapshot_minutes",
        "precision",
        "fuse",
        "graphs",
        "fold",
    ),
    "Instead of training": ("list", "dry_run", "estimate", "verbose", "report_only", "figures"),
    "From a file": ("config",),
}

EXAMPLES = {
    "the demo: embedded data, minutes on two cores": "--tasks {task}",
    "what there is, and what a command would do": "--list\n--preset paper --dry-run",
    "real data, one pair, two methods and their composition": (
        "--datasets DATASET --data-dir DATA --pairs TEACHER-STUDENT --baselines NAME OTHER NAME+OTHER"
    ),
    "another hyper-parameter, another recipe": "--set NAME.temperature=2 recipe.learning_rate=0.01",
    "few labels, a teacher of other samples": "--label-fraction 0.1 --teacher-data disjoint",
    "the report again, from the records": "--report-only",
}

KINDS = {str: "NAME", int: "NUMBER", float: "NUMBER", Path: "PATH"}
"""What stands for a value of each type."""
SHARES = ("label_fraction", "validation")
"""Settings that are shares, from 0 to 1."""

WIDEST = 100
COLUMN = 30
"""Where the descriptions begin."""


def usage(program: str, task: str) -> str:
    """The text of --help; `task` is a task's name for the examples."""
    width = min(shutil.get_terminal_size().columns, WIDEST)
    known = {each.name: each for each in fields(Settings)}
    hints = typing.get_type_hints(Settings)
    described = _descriptions()
    lines = [f"usage: {program} [OPTIONS]", "", *textwrap.wrap(_paragraph(Settings.__doc__ or ""), width)]
    for title, names in GROUPS.items():
        lines += ["", f"{title}:"]
        for name in names:
            lines += _option(known[name], hints[name], described[name], width)
    lines += ["", "--version prints the suite's version.", "", "Examples:"]
    for what, arguments in EXAMPLES.items():
        lines.append(f"  # {what}")
        lines += [f"  {program} {each.format(task=task)}" for each in arguments.splitlines()]
    return "\n".join(lines) + "\n"


def _option(setting: Field[Any], hint: Any, description: str, width: int) -> list[str]:
    head = f"  {_spelling(setting, hint)}"
    text = description + _default(setting)
    body = textwrap.wrap(text, width - COLUMN, break_on_hyphens=False, break_long_words=False)
    if len(head) + 2 > COLUMN:
        return [head, *(" " * COLUMN + line for line in body)]
    return [head.ljust(COLUMN) + body[0], *(" " * COLUMN + line for line in body[1:])]


def _spelling(setting: Field[Any], hint: Any) -> str:
    """`--seeds NUMBER ...`, `--preset quick|standard|paper`, `--probes, --no-probes`."""
    name = flag(setting.name)
    if hint is bool:
        return f"{name}, {flag('no_' + setting.name)}" if setting.default else name
    kinds = [kind for kind in (typing.get_args(hint) or (hint,)) if kind not in (type(None), Ellipsis)]
    inner = typing.get_args(kinds[0]) if kinds and typing.get_origin(kinds[0]) else ()
    if typing.get_origin(hint) is typing.Literal or typing.get_origin(kinds[0]) is typing.Literal:
        return f"{name} {'|'.join(map(str, inner or kinds))}"
    several = typing.get_origin(hint) is tuple or typing.get_origin(kinds[0]) is tuple
    kind = "SHARE" if setting.name in SHARES else KINDS[inner[0] if inner else kinds[0]]
    return f"{name} {kind}{' ...' if several else ''}"


def _default(setting: Field[Any]) -> str:
    """` [quick]`; empty where the description says what happens by default."""
    default = setting.default
    if default is MISSING or default in (None, (), "", False) or isinstance(default, bool):
        return ""
    shown = " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
    return f" [{shown}]"


def _descriptions() -> dict[str, str]:
    """Setting -> the docstring below it."""
    tree = ast.parse(inspect.getsource(Settings))
    (body,) = (node.body for node in tree.body if isinstance(node, ast.ClassDef))
    found = {}
    for field, text in itertools.pairwise(body):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found[field.target.id] = _paragraph(str(text.value.value))
    return found


def _paragraph(text: str) -> str:
    return " ".join(text.split())
