"""What stands on the page, as plain data for its template."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from benchmark.records import Metric, Record
from benchmark.reporting.figures import Saved
from benchmark.reporting.formatting import block_title, metric_name, row_n, show_status, show_words
from benchmark.reporting.output import file_name
from benchmark.reporting.page.charts import chart_data, comparison
from benchmark.reporting.page.citations import papers, suite_bibtex
from benchmark.reporting.page.details import compact_json, row_detail
from benchmark.reporting.page.overview import overview, what_ran
from benchmark.reporting.page.pictures import pictures
from benchmark.reporting.results import Results
from benchmark.reporting.rows import ResultRow, merge_metrics
from benchmark.reporting.summary import Summary, summaries
from benchmark.reporting.tables import Column, TaskTable, provenance_warnings

# These kinds of saved figures the page draws itself, so that values can be read off.
TABLE_FILES = {"CSV": "csv", "LaTeX": "tex", "Markdown": "md", "text": "txt"}
DRAWN_BY_THE_PAGE = ("comparison", "curves", "costs")


def page_content(results: Results, tables: list[TaskTable], saved: list[Saved]) -> dict[str, Any]:
    """Every variable of the template."""
    baselines = _baselines(results.records)
    details = _details(results)
    tasks = [
        _task(task, number, results, tables, saved, baselines, details)
        for number, task in enumerate(results.blocks)
    ]
    return {
        "name": results.folder.resolve().name if results.folder else "",
        # Arrays that can't be read are found while figures are drawn: by now all of them are known.
        "problems": [*results.problems, *provenance_warnings(results.records)],
        "overview": overview(results.records),
        "baselines": _baseline_groups(results.records, baselines),
        "tasks": tasks,
        "pictures": pictures(each for each in saved if not each.drawing.task),
        "not_drawn": [each.drawing for each in saved if not each.paths],
        "suite": suite_bibtex(results.records),
        "papers": papers(results.records),
    }


def _baselines(records: Iterable[Record]) -> dict[str, str]:
    """Baseline -> its name within the page, which no record can spell."""
    ordered = sorted({(r.about.order, r.run.baseline) for r in records})
    names = dict.fromkeys(baseline for _, baseline in ordered)
    return {baseline: f"b{number}" for number, baseline in enumerate(names)}


def _baseline_groups(records: Iterable[Record], baselines: dict[str, str]) -> list[dict[str, Any]]:
    """The checkboxes: role by role, the role of most baselines first."""
    titles: dict[str, tuple[str, str]] = {}
    for record in records:
        about = record.about
        title = about.baseline_title or record.run.baseline
        titles.setdefault(record.run.baseline, (about.role, title))
    groups: dict[str, list[tuple[str, str]]] = {}
    for baseline, name in baselines.items():
        role, title = titles[baseline]
        groups.setdefault(role, []).append((name, title))
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
    return [{"role": role, "items": items} for role, items in ordered]


# --- one task ---


def _details(results: Results) -> dict[str, int]:
    """Row's id -> its number on the page, so that a cell can lead to the detail of its row."""
    students = (row for blocks in results.blocks.values() for block in blocks for row in block.students)
    return {row.id: number for number, row in enumerate(students)}


def _task(
    task: str,
    number: int,
    results: Results,
    tables: list[TaskTable],
    saved: list[Saved],
    baselines: dict[str, str],
    details: dict[str, int],
) -> dict[str, Any]:
    panels = results.panels[task]
    records = [record for record in results.records if record.run.task == task]
    metrics = merge_metrics(records)
    # Curves that a figure shows as a picture too would stand here twice.
    own = [each for each in saved if each.drawing.task == task]
    shown = [each for each in own if each.drawing.kind not in DRAWN_BY_THE_PAGE]
    data = chart_data(panels, results.history, baselines, results.looks)
    return {
        "id": f"task{number}",
        "title": results.task_title(task),
        "synthetic": any(record.about.synthetic for record in records),
        "ran": what_ran(records),
        "summaries": [
            {
                "title": _panel_heading(each, metrics),
                "lead": [_unbroken(text) for text in each.sentences[: _lead(each)]],
                "rest": [_unbroken(text) for text in each.sentences[_lead(each) :]],
            }
            for each in summaries(panels)
        ],
        "comparisons": [comparison(panel, baselines, results.looks) for panel in panels],
        "charts": Markup(compact_json(data)),
        "has_curves": any(row["runs"] for panel in data["panels"] for row in panel["rows"]),
        "has_costs": any(panel["costs"] for panel in data["panels"]),
        "panels": [panel["title"] for panel in data["panels"]],
        "tables": [_table(table, baselines, details) for table in tables if table.task == task],
        "pictures": pictures(shown),
        "files": {kind: _files(own, kind) for kind in DRAWN_BY_THE_PAGE},
        "unfinished": _unfinished(results, task, baselines, details),
        "rows": _rows(results, task, baselines, details),
    }


def _files(saved: Iterable[Saved], kind: str) -> list[tuple[str, str]]:
    """Title and link of each PDF of a kind."""
    paths = [path for each in saved if each.drawing.kind == kind for path in each.paths]
    pdfs = [path for path in paths if path.suffix == ".pdf"]
    return [(path.name, f"figures/{quote(path.name)}") for path in pdfs]


def _unbroken(text: str) -> str:
    """The sentence with numbers that no line break parts from their units and signs."""
    return re.sub(r" (?=[%±=])|(?<=[±=]) ", "\u00a0", text)


def _lead(summary: Summary) -> int:
    """How many sentences carry the message; the others say how far it goes."""
    return min(3 if summary.winners else 2, len(summary.sentences))


def _panel_heading(summary: Summary, metrics: dict[str, Metric]) -> str:
    title = summary.panel.heading
    several = len(summary.panel.block.primary_metrics) > 1
    return f"{title}: {metric_name(metrics[summary.metric], summary.metric)}" if several else title


def _table(table: TaskTable, baselines: dict[str, str], details: dict[str, int]) -> dict[str, Any]:
    heads = [
        {"lines": column.header.replace("-\n", "-").split("\n"), "numeric": column.numeric}
        for column in table.columns
    ]
    blocks = []
    for block in table.blocks:
        rows, previous = [], None
        for row in block.rows:
            rows.append(
                {
                    "baseline": baselines.get(row.baseline, ""),
                    "detail": details.get(row.id),
                    "rule": bool(rows) and row.comparison != previous,
                    "end": not row.is_student,
                    "cells": [_cell(column, row) for column in table.columns],
                }
            )
            previous = row.comparison
        blocks.append({"title": block_title(block), "rows": rows})
    return {
        "title": table.title,
        "files": [
            (title, f"tables/{quote(file_name(table.stem))}.{ending}")
            for title, ending in TABLE_FILES.items()
        ],
        "heads": heads,
        "blocks": blocks,
        "caption": table.caption,
        "notes": table.notes,
    }


def _cell(column: Column, row: ResultRow) -> dict[str, Any]:
    value = column.value(row) if column.value else None
    return {"text": column.cell(row), "value": value if value is None or math.isfinite(value) else None}


def _unfinished(
    results: Results, task: str, baselines: dict[str, str], details: dict[str, int]
) -> list[dict[str, Any]]:
    """A line for each row, status and reason of runs that did not finish, with their seeds."""
    lines = []
    for panel in results.panels[task]:
        for row in panel.rows:
            groups: dict[tuple[str, str], list[str]] = {}
            for record in row.records:
                if record.status != "finished":
                    key = (show_words(record.status), record.reason)
                    groups.setdefault(key, []).append(str(record.run.seed))
            lines += [
                {
                    "baseline": baselines[row.baseline],
                    "detail": details.get(row.id),
                    "label": panel.label(row),
                    "panel": panel.heading,
                    "status": status,
                    "seeds": ", ".join(seeds),
                    "reason": reason or "no reason recorded",
                }
                for (status, reason), seeds in groups.items()
            ]
    return lines


def _rows(
    results: Results, task: str, baselines: dict[str, str], details: dict[str, int]
) -> list[dict[str, Any]]:
    """The collapsed details of a task's rows, panel by panel."""
    panels = []
    seen: set[int] = set()
    for number, panel in enumerate(results.panels[task]):
        rows = []
        for row in panel.rows:
            detail = details.get(row.id)
            # A companion stands in several panels, its detail in the first.
            if detail is None or detail in seen:
                continue
            seen.add(detail)
            finished = f"{row_n(row)} of {len(row.records)} runs finished"
            finished += f", {status}" if (status := show_status(row)) else ""
            rows.append(
                {
                    "detail": detail,
                    "panel": number,
                    "baseline": baselines[row.baseline],
                    "label": panel.label(row),
                    "runs": finished,
                    "data": Markup(compact_json(row_detail(row, panel.block.metrics))),
                }
            )
        panels.append({"title": panel.heading, "rows": rows})
    return [panel for panel in panels if panel["rows"]]
