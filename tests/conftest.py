"""Shared fixtures: every plugin loaded, the tiny task beside them, and the folder of real sample data."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Iterator
from multiprocessing.context import BaseContext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmark import models, plugins

torch.set_num_threads(1)  # two test processes share two cores; what depends on threads says so itself

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def registry() -> plugins.Registry:
    """The registry with every built-in plugin and the tests' own tiny task."""
    loaded = plugins.load()
    import tests.tiny_task  # noqa: F401 - registers itself

    return loaded


@pytest.fixture(autouse=True)
def restored_plugins(registry: plugins.Registry) -> Iterator[None]:
    """What a test registers is gone after it."""
    models.architectures()  # those of our own modules are registered when they are first asked for
    before = registry.kept()
    yield
    registry.restore(before)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def forks() -> BaseContext:
    """Processes that are forked from one with one thread, which has imported what workers need."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmark.running.workers", "benchmark.running.followers"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.chdir(ROOT)
        first = context.Process(target=int)
        first.start()
        first.join()
    return context


@pytest.fixture
def quick_workers(forks: BaseContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of this process start at once; from the start of an interpreter it takes them seconds."""
    start = SimpleNamespace(get_context=lambda method: forks)
    monkeypatch.setattr("benchmark.running.workers.multiprocessing", start)


@pytest.fixture
def few_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded shapes are fewer: thousands to draw and to test on take longer than tiny training."""
    monkeypatch.setattr("tasks.compression.datasets.SHAPES_TRAIN", 720)
    monkeypatch.setattr("tasks.compression.datasets.SHAPES_TEST", 240)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real sample data; the test is skipped where it is missing."""
    folder = Path(os.environ.get("WCORD_DATA_DIR", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}: set WCORD_DATA_DIR")
    return folder


@pytest.fixture(scope="module")
def chromium() -> Iterator:
    """A headless browser; a test that asks for one is skipped where there is none."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()
