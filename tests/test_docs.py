"""The examples of the documentation run as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent


def test_every_link_of_the_documentation_leads_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/api/*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_names_every_page() -> None:
    readme = (ROOT / "README.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert f"docs/{page.name}" in readme, page.name


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_page_of_baselines_is_current_and_names_no_error() -> None:
    from benchmark.catalogue.page import page
    from benchmark.plugins import load

    written = (ROOT / "docs" / "baselines.md").read_text()
    assert page(load()) == written, "run: python -m benchmark.catalogue"
    assert not re.search(r"Not applicable to .*: \w*Error", written)


def test_the_table_of_losses_is_current() -> None:
    from benchmark.catalogue.functions import PAGE, functions, with_table
    from benchmark.plugins import load

    written = PAGE.read_text()
    assert with_table(written, load()) == written, "run: python -m benchmark.catalogue"
    assert all(f"| `{name}` |" in written for name in functions())
    assert with_table(written.replace("`kd_loss`", "`lost`"), load()) == written


@pytest.mark.slow
def test_the_examples_of_the_page_on_losses_run_one_after_another(
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = (ROOT / "docs" / "losses.md").read_text()
    scope: dict[str, Any] = {}
    for example in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(example, scope)
        if "for epoch in" in example:
            assert torch.isfinite(scope["loss"])
            assert scope["criterion"].terms(
                scope["seen"], scope["own"], scope["label"], scope["index"], progress=1.0
            ).keys() == {"task", "crd", "kd"}
    assert "(2, 512, 1, 1)" in capsys.readouterr().out


@pytest.mark.slow
def test_the_examples_of_the_page_on_the_library_run_one_after_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "library.md").read_text()
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    for example in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(example, scope)
    printed = capsys.readouterr().out
    assert "scratch 0 0." in printed
    assert scope["accuracy"] == pytest.approx(scope["record"].results.score("test@last", "top1"))
    assert (tmp_path / "results" / "from_python" / "report.html").exists()
