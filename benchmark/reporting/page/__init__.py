"""The report as one self-contained page: opens from disk, asks the network for nothing."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from benchmark.reporting.figures import Saved
from benchmark.reporting.output import write
from benchmark.reporting.page.content import page_content
from benchmark.reporting.results import Results
from benchmark.reporting.tables.task_tables import TaskTable

HERE = Path(__file__).parent
SCRIPTS = ("page.js", "tables.js", "charts.js", "runs.js")


def write_page(results: Results, tables: list[TaskTable], saved: list[Saved], path: Path) -> Path:
    """Writes the page of a results folder; returns its path.

    Args:
        results: the records and their histories.
        tables: every table to show, those of probes and of corrupted samples among them.
        saved: the figures as written; those without files are listed with their reasons.
        path: where to, usually `results/<name>/report.html`.
    """
    script = "\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS)
    # Records are untrusted text. Escaping keeps it text; the policy is the second lock: no other script runs,
    # and nothing is loaded from anywhere.
    checksum = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template("page.html").render(
        page_content(results, tables, saved),
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        policy="default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{checksum}'",
    )
    return write(path, html)
