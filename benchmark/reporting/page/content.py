"""What stands on the page: the variables of its template, and the functions that it calls."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from benchmark.records import Record
from benchmark.reporting.figures import Saved
from benchmark.reporting.formatting import block_title, metric_name, row_n, show_status, show_words
from benchmark.reporting.output import file_name
from benchmark.reporting.page.charts import chart_data, comparison
from benchmark.reporting.page.citations import papers, suite_bibtex
from benchmark.reporting.page.details import compact_json, row_detail
from benchmark.reporting.page.overview import overview, what_ran
from benchmark.reporting.page.pictures import pictures
from benchmark.reporting.panels import Panel
from benchmark.reporting.results import Results
from benchmark.reporting.rows import ResultRow, grouped
from benchmark.reporting.summary import Summary, summaries
from benchmark.reporting.tables.captions import conditional_on, provenance_warnings
from benchmark.reporting.tables.task_tables import Column, TaskTable, row_groups

TABLE_FILES = {"CSV": "csv", "LaTeX": "tex", "Markdown": "md", "text": "txt"}
DRAWN_BY_THE_PAGE = ("comparison", "curves", "costs")
"""Kinds of saved figures that the page draws itself, so that values can be read off."""


def page_content(results: Results, tables: list[TaskTable], saved: list[Saved]) -> dict[str, Any]:
    """Every variable of the template, and the functions that it calls."""
    return {
        **{function.__name__: function for function in CALLED},
        "name": results.folder.resolve().name if results.folder else "",
        # Arrays that can't be read are found while figures are drawn: by now all of them are known.
        "problems": [*results.problems, *provenance_warnings(results.records)],
        "overview": overview(results.records),
        "baselines": _baselines(results.records),
        "tasks": [_task(task, f"task{k}", results, tables, saved) for k, task in enumerate(results.blocks)],
        "tables": [table for table in tables if not table.task],
        "pictures": pictures(each for each in saved if not each.drawing.task),
        "not_drawn": [each.drawing for each in saved if not each.paths],
        "suite": suite_bibtex(results.records),
        "papers": papers(results.records),
    }


def _baselines(records: Iterable[Record]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The checkboxes: role -> baselines with their titles, the role of most baselines first."""
    ordered = sorted(records, key=lambda record: (record.about.order, record.run.baseline))
    groups: dict[str, dict[str, str]] = {}
    for baseline, own in grouped(ordered, lambda record: record.run.baseline).items():
        about = own[0].about
        groups.setdefault(about.role, {})[baseline] = about.baseline_title or baseline
    by_size = sorted(groups.items(), key=lambda item: -len(item[1]))
    return [(role, list(titles.items())) for role, titles in by_size]


# --- one task ---


def _task(
    task: str, name: str, results: Results, tables: list[TaskTable], saved: list[Saved]
) -> dict[str, Any]:
    panels = results.panels[task]
    records = [record for record in results.records if record.run.task == task]
    # Curves that a figure shows as a picture too would stand here twice.
    own = [each for each in saved if each.drawing.task == task]
    shown = [each for each in own if each.drawing.kind not in DRAWN_BY_THE_PAGE]
    data = chart_data(panels, results.history, results.looks)
    return {
        "id": name,
        "title": results.task_title(task),
        "synthetic": any(record.about.synthetic for record in records),
        "ran": what_ran(records),
        "summaries": [
            {
                "title": _panel_heading(each),
                "lead": [_unbroken(text) for text in each.sentences[: _lead(each)]],
                "rest": [_unbroken(text) for text in each.sentences[_lead(each) :]],
            }
            for each in summaries(panels)
        ],
        "conditional": conditional_on(row for panel in panels for row in panel.rows),
        "comparisons": [comparison(panel, results.looks) for panel in panels],
        "charts": Markup(compact_json(data)),
        "has_curves": any(row["runs"] for panel in data["panels"] for row in panel["rows"]),
        "has_costs": any(panel["costs"] for panel in data["panels"]),
        "panels": [panel["title"] for panel in data["panels"]],
        "tables": [table for table in tables if table.task == task],
        "pictures": pictures(shown),
        "files": {kind: _files(own, kind) for kind in DRAWN_BY_THE_PAGE},
        "unfinished": _unfinished(panels),
        "details": _details(panels),
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


def _panel_heading(summary: Summary) -> str:
    block, name = summary.panel.block, summary.metric
    title = summary.panel.heading
    return f"{title}: {metric_name(block.metrics[name], name)}" if len(block.primary_metrics) > 1 else title


def table_files(table: TaskTable) -> list[tuple[str, str]]:
    """Kind and link of each form of a table."""
    stem = quote(file_name(table.stem))
    return [(title, f"tables/{stem}.{ending}") for title, ending in TABLE_FILES.items()]


def sort_value(column: Column, row: ResultRow) -> float | None:
    """The number that a cell sorts by; None where there is none, or none that is finite."""
    value = column.value(row) if column.value else None
    return value if value is not None and math.isfinite(value) else None


def _unfinished(panels: Iterable[Panel]) -> list[dict[str, Any]]:
    """A line for each row, status and reason of runs that did not finish, with their seeds."""
    lines = []
    for panel in panels:
        for row in panel.rows:
            others = [record for record in row.records if record.status != "finished"]
            groups = grouped(others, lambda record: (record.status, record.reason))
            lines += [
                {
                    "baseline": row.baseline,
                    "detail": row.id,
                    "label": panel.label(row),
                    "panel": panel.heading,
                    "status": show_words(status),
                    "seeds": ", ".join(str(record.run.seed) for record in records),
                    "reason": reason or "no reason recorded",
                }
                for (status, reason), records in groups.items()
            ]
    return lines


def _details(panels: Iterable[Panel]) -> list[tuple[int, Panel, list[ResultRow]]]:
    """Number and rows of each panel; a companion stands in several, its detail in the first."""
    found, seen = [], set()
    for number, panel in enumerate(panels):
        own = [row for row in panel.rows if row.id not in seen]
        seen |= {row.id for row in own}
        found += [(number, panel, own)] if own else []
    return found


def finished_runs(row: ResultRow) -> str:
    """`2 of 3 runs finished, diverged (1 of 3)`."""
    status = show_status(row)
    return f"{row_n(row)} of {len(row.records)} runs finished" + (f", {status}" if status else "")


def detail_json(row: ResultRow, panel: Panel) -> Markup:
    """What a row's detail is made of when it is opened."""
    return Markup(compact_json(row_detail(row, panel.block.metrics)))


CALLED = (block_title, detail_json, finished_runs, row_groups, sort_value, table_files)
"""Functions that the template calls."""
