"""The plugins that pages show, as the files that their readers would write."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tasks
from tests.docs.blocks import python_of

REGISTERED = re.compile(r'@(?:baseline|architecture)\("(\w+)"')
TASK_FILE = re.compile(r"tasks/(\w+)/(\w+)\.py")


def written(page: str, folder: Path) -> dict[str, Path]:
    """What a page registers -> its file in `folder`, one for each block."""
    files = {}
    for text in python_of(page):
        if name := REGISTERED.search(text):
            files[name[1]] = folder / f"{name[1]}.py"
            files[name[1]].write_text(text, encoding="utf-8")
    return files


@contextmanager
def with_tasks(page: str, folder: Path) -> Iterator[None]:
    """The tasks of a page as packages beside ours, as long as the context lasts.

    A block is the file that its first line names; one that registers a task and names none is `__init__.py`.
    """
    names = set()
    for text in python_of(page):
        named = TASK_FILE.search(text.partition("\n")[0])
        if named or "@task(" in text:
            name = named[1] if named else re.findall(r'@task\("(\w+)"', text)[0]
            (folder / name).mkdir(exist_ok=True)
            (folder / name / f"{named[2] if named else '__init__'}.py").write_text(text, encoding="utf-8")
            names.add(f"tasks.{name}")
    tasks.__path__.append(str(folder))
    try:
        for name in names:
            importlib.import_module(name)
        yield
    finally:
        tasks.__path__.remove(str(folder))
        for module in [each for each in sys.modules if {each, each.rpartition(".")[0]} & names]:
            del sys.modules[module]
