"""Numbers typed in the documentation are settings or other people's facts; measured ones come of files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmark.reporting.documents.pages import DOCS, ENDING

UNITS = r"ms|milliseconds?|s|seconds?|minutes?|hours?|%|per cent|points?|times|[KMG]i?B|thousand|million"
QUANTITY = re.compile(rf"(?<![\w.,-])(\d[\d.,]*)\s(?:{UNITS})(?!\w)")
NOT_PROSE = re.compile(r"```.*?```|\{#.*?#\}|\{\{.*?\}\}|\{%.*?%\}|`[^`]*`", re.DOTALL)

STATED = {
    "findings": {"95 %": "level", "5 %": "level"},
    "leaderboard": {"95 %": "level"},
    "reports": {"95 %": "level", "80 %": "power"},
    "protocol": {"10 %": "setting", "1 points": "N - 1"},
    "performance": {
        "1 GiB": "setting",
        "0.25 GiB": "setting",
        "45 %": "setting",
        "65 %": "setting",
        "6 GiB": "bound of a test",
    },
    "adding_a_baseline": {"60 seconds": "setting"},
    "robustness": {"50 times": "setting"},
    "scaling": {"30 seconds": "setting", "30 minutes": "setting", "1 GiB": "setting"},
    "datasets": {
        "64 MB": "setting",
        "60 KB": "3 + 2 bytes a pixel",
        "360 KB": "16 frames of 64 x 64 with flow",
        "100 %": "setting",
        "60 %": "setting",
        "170 MB": "publisher's",
        "2.8 GB": "publisher's",
        "3.3 %": "Barz and Denzler, 2020",
        "10 %": "Barz and Denzler, 2020",
    },
}
"""Page -> quantity -> why nobody measured it."""

WRITTEN = sorted(
    [DOCS.parent / "README.md", *DOCS.glob(f"*{ENDING}")]
    + [page for page in DOCS.glob("*.md") if not page.with_name(page.name + ENDING).exists()]
)
"""What people write: templates, and the pages that have none."""


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_no_measured_number_is_typed(page: Path) -> None:
    found = {match.group(0).replace("\n", " ") for match in _quantities(page)}
    name = page.name.split(".")[0]
    assert found == set(STATED.get(name, ())), "measured numbers come from results/reference/ by a template"


def test_pages_of_no_quantity_are_gone_from_the_list() -> None:
    assert set(STATED) <= {page.name.split(".")[0] for page in WRITTEN}


def _quantities(page: Path) -> list[re.Match[str]]:
    return list(QUANTITY.finditer(NOT_PROSE.sub("", page.read_text(encoding="utf-8"))))
