"""The site: it is built without a warning, its links lead somewhere, and its pages fit phone and desk."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import benchmark
from tests.docs.blocks import ROOT

pytestmark = [pytest.mark.xdist_group("site"), pytest.mark.timeout(300)]


def test_an_aligned_list_of_a_docstring_becomes_a_section() -> None:
    spec = importlib.util.spec_from_file_location("docstrings", ROOT / "docs" / "mkdocs" / "docstrings.py")
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    text = "What it is.\n\nsaid first\none, two   first,\n           and more\nthree      last\n\nAfter."
    sections = "Args:\n    one: first, and more\n    two: first, and more\n    three: last"
    assert module.with_sections(text, "Args") == f"What it is.\n\nsaid first\n\n{sections}\n\nAfter."
    assert module.with_sections("A sentence\nof two lines.", "Args") == "A sentence\nof two lines."


class Page(HTMLParser):
    """The ids of a page, what it links to, and what it loads by itself."""

    def __init__(self, text: str):
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") in ("stylesheet", "icon", "preconnect"):
            self.loaded.append(given["href"])
        elif "src" in given:
            self.loaded.append(given["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built once; a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {file: Page(file.read_text(encoding="utf-8")) for file in site.rglob("*.html")}


def test_every_link_within_the_site_leads_somewhere(pages: dict[Path, Page], site: Path) -> None:
    assert len(pages) > 25
    for file, page in pages.items():
        for link in page.links:
            url = urlsplit(link)
            if url.scheme or file.name == "404.html":
                continue
            target = (file.parent / unquote(url.path)).resolve() if url.path else file
            assert target.is_file(), f"{file.name}: {link}"
            if url.fragment and target in pages:
                assert unquote(url.fragment) in pages[target].ids, f"{file.name}: {link}"


def test_nothing_is_loaded_from_elsewhere(pages: dict[Path, Page]) -> None:
    for file, page in pages.items():
        assert page.loaded
        assert not [each for each in page.loaded if urlsplit(each).netloc], file


def test_every_public_name_has_an_entry_in_the_api(pages: dict[Path, Page]) -> None:
    from benchmark import reporting

    known = set.union(*(page.ids for page in pages.values()))
    names = {f"benchmark.{name}" for name in benchmark.__all__ if name != "__version__"}
    names |= {f"benchmark.reporting.{name}" for name in reporting.__all__ if name not in benchmark.__all__}
    assert names <= known


def test_every_loss_has_an_entry_in_the_api(pages: dict[Path, Page], site: Path) -> None:
    from baselines import losses

    names = {f"baselines.losses.{name}" for name in losses.__all__ if name not in benchmark.__all__}
    assert len(names) > 50
    assert names <= pages[site / "api" / "losses.html"].ids


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1440, "light")])
def test_no_page_is_wider_than_its_window(chromium, site: Path, width: int, scheme: str) -> None:
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(100_000)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    for file in sorted(site.rglob("*.html")):
        page.goto(file.as_uri(), wait_until="domcontentloaded")
        if file.name != "404.html":
            wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert wide <= 0, f"{file.name} is {wide} pixels too wide"
            assert page.evaluate("document.body.dataset.mdColorScheme") == (
                "slate" if scheme == "dark" else "default"
            )
    context.close()
    assert faults == []
