"""Every command of the documentation is one that the program would take: each is planned, none is trained."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml

from benchmark import Data, Request, Task, UserError, plugins
from benchmark.arguments import flag, parsed
from benchmark.leaderboard import Add
from benchmark.merge import Merge
from benchmark.planning.grid import make_plan
from benchmark.reporting.papers import load_papers
from benchmark.settings import Settings, parse
from benchmark.speed import Speed
from tests.docs.blocks import ROOT, SHELL, blocks, commands, pages, text_of, words_of
from tests.docs.plugins import with_tasks, written
from tests.gpu.settings import Everything

NOT_RUN = {
    "git clone URL wcord-bench": "needs a network, and the address of a repository",
    "cd wcord-bench": "a folder that the line before makes",
    ". .venv/bin/activate": "changes the shell that reads it",
    "apt-get install chromium": "changes the machine",
    "conda env create -f environment.yml": "needs conda",
    "pip install --editable .": "changes the environment; `make setup` does the same",
    "pip install": "names the program",
    "pip wheel --no-deps .": "tests/packaging/test_wheel.py runs it",
    "python -m tests.golden FILES": "tests/golden/test_golden.py runs it with files",
    "python -m benchmark.reporting.archive results/NAME": "tests/reporting/test_archive.py runs it",
}
"""Commands that nothing here looks into, each with the reason."""

RUN_AS = {"python": "run", "yaml": "read below", "toml": "compared below", "bibtex": "compared below"}
"""What becomes of blocks that are no commands; Python is run by tests/docs/test_examples.py."""

KINDS = (Settings, Speed, Everything, Add)
"""What the programs take."""
OTHER_FLAGS = {"--help", "--into", "--shutdown-timeout"}
"""Of every program, of `benchmark.merge`, and of torchrun."""


def absent(task: Task, name: str, request: Request) -> Data:
    """No data is loaded, so that plans cost nothing."""
    raise UserError(f"{name} is not here")


def check(words: list[str], results: Path) -> None:
    """Raises, or fails, where a command would not be understood."""
    while "=" in words[0]:
        words = words[1:]
    words = [word for word in words if word != "..."]
    if words[0] == "torchrun":
        words = ["python", *words[words.index("run_all.py") :]]
    match words:
        case ["python", "run_all.py" | "./run_all.py", *arguments] | ["wcord-bench", *arguments]:
            check_run([*arguments, "--results-dir", str(results)])
        case ["python", "-m", "benchmark.speed", *arguments]:
            if arguments:
                speed = parsed(Speed, arguments)
                (speed.json or results).parent.mkdir(parents=True, exist_ok=True)
                speed.check()
        case ["python", "-m", "benchmark.merge", *arguments]:
            parsed(Merge, arguments)
        case ["python", "-m", "pytest", *files]:
            assert all((ROOT / file).is_file() for file in files)
        case ["python", "-m", module, *_]:
            assert importlib.util.find_spec(module), f"there is no module {module}"
        case ["make", *given]:
            targets = [word for word in given if "=" not in word]
            known = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            assert set(targets) <= set(known), f"the Makefile has no target {targets}"
        case ["pip", "install", wanted]:
            project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
            name, extra = re.fullmatch(r"([\w-]+)\[(\w+)\]", wanted).groups()
            assert name == project["name"]
            assert extra in project["optional-dependencies"]
        case _:
            pytest.fail("no rule says how to check it: add one, or name it in NOT_RUN with the reason")


def check_run(arguments: list[str]) -> None:
    """Plans the command for its first seed, whatever it is to do instead of training."""
    settings = parse(arguments)
    load_papers(settings.figures)
    registry = plugins.load(settings.plugin)
    seeds = settings.seeds[:1] if settings.seeds else (0,)
    plan = make_plan(
        dataclasses.replace(settings, seeds=seeds), registry, lambda line: None, absent, without_data=True
    )
    assert plan.cohorts


@pytest.mark.parametrize("page", [page for page in pages() if commands(page)])
def test_every_command_of_a_page_is_understood(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(page, tmp_path)
    monkeypatch.chdir(tmp_path)
    with with_tasks(page, tmp_path):
        for command in commands(page):
            if command in NOT_RUN:
                continue
            try:
                check(shlex.split(command), tmp_path / "results")
            except (UserError, AssertionError) as error:
                pytest.fail(f"{page}: {command}\n{error}")


@pytest.mark.parametrize(
    "wrong",
    [
        "python run_all.py --tasks compresion",
        "python run_all.py --set kd.temprature=2",
        "python -m benchmark.speed --pair a --paar b",
        "python -m benchmark.sped",
        "make dem",
        "pip install 'wcord-bench[rai]'",
    ],
)
def test_a_command_that_would_not_be_understood_fails(wrong: str, tmp_path: Path) -> None:
    with pytest.raises((UserError, AssertionError)):
        check(shlex.split(wrong), tmp_path)


def test_a_command_that_no_rule_knows_fails(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="no rule"):
        check(["curl", "somewhere"], tmp_path)


def test_what_is_not_looked_into_is_still_there() -> None:
    everything = {command for page in pages() for command in commands(page)}
    assert NOT_RUN.keys() <= everything


@pytest.mark.parametrize("page", pages())
def test_every_block_of_a_page_is_of_a_kind_that_is_checked(page: str) -> None:
    assert {block.language for block in blocks(page)} <= {*SHELL, *RUN_AS}
    fences = re.findall(r"^\s*(?:```|~~~)", text_of(page), re.MULTILINE)
    assert len(fences) == 2 * len(blocks(page)), "a block that is indented, or not closed, is not seen"


@pytest.mark.parametrize("page", pages())
def test_every_flag_among_the_words_is_one(page: str) -> None:
    known = {flag(each.name) for kind in KINDS for each in dataclasses.fields(kind)}
    known |= {flag(f"no_{each.name}") for each in dataclasses.fields(Settings)} | OTHER_FLAGS
    flags = [words.split() for words in words_of(page) if words.startswith("--")]
    named = {word.partition("=")[0] for words in flags for word in words if re.match(r"--\w", word)}
    assert named <= known


def test_the_list_of_figures_in_the_docs_is_one(tmp_path: Path) -> None:
    lists = [block.text for page in pages() for block in blocks(page) if block.language == "yaml"]
    for number, text in enumerate(lists):
        (tmp_path / f"list_{number}.yaml").write_text(text)
    assert [len(paper.items) for paper in load_papers(["paper"], tmp_path)] == [1] * len(lists)
    assert lists


def test_a_part_of_a_project_file_is_one_of_the_example() -> None:
    (file,) = ROOT.glob("docs/examples/*/pyproject.toml")
    known = _flat(tomllib.loads(file.read_text()))
    parts = [block.text for page in pages() for block in blocks(page) if block.language == "toml"]
    assert all(_flat(tomllib.loads(text)) <= known for text in parts)


def _flat(content: object, place: str = "") -> set[str]:
    """The leaves of a project file, each with its place."""
    if isinstance(content, dict):
        return {leaf for name, each in content.items() for leaf in _flat(each, f"{place}.{name}")}
    return {f"{place} = {content!r}"}


def test_the_entries_to_cite_say_what_the_citation_file_says() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation["version"] == project["version"]
    assert [each["name"] for each in citation["authors"]] == [each["name"] for each in project["authors"]]
    suite, paper = (block.text for block in blocks("docs/citing.md") if block.language == "bibtex")
    assert f"version = {{{citation['version']}}}" in suite
    assert citation["title"] in suite.replace("{", "").replace("}", "")
    (reference,) = citation["references"]
    names = [f"{each['family-names']}, {each['given-names']}" for each in reference["authors"]]
    assert " and ".join(names) in paper
    assert reference["title"] in paper
    assert reference["identifiers"][0]["value"].removeprefix("arXiv:") in paper
