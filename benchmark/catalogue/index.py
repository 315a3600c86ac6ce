"""What --list says of the baselines, kept so that it takes no torch: `baselines/catalogue.json`.

It is found by building every baseline (`exploration`), which takes seconds, and is as good as the code that
it was found with: its key is a checksum of that code. A catalogue with another key is made anew and kept in
the cache.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from benchmark import installed, plugins
from benchmark.plugins import Registry
from benchmark.program import ROOT
from benchmark.records import write_json

COMMITTED = ROOT / "baselines" / "catalogue.json"
ENGINE = (
    "contracts",
    "models",
    "training/composition.py",
    "training/networks.py",
    "catalogue/exploration.py",
    "catalogue/index.py",
    "catalogue/page.py",
    "declarations.py",
    "planning/hyperparameters.py",
    "plugins.py",
)
"""The parts of the engine that decide what is found, besides the plugins."""


@dataclass(frozen=True)
class Listed:
    """A baseline as --list shows it, in words.

    facts     what it acts on, needs, adds, and its first stages
    refusals  task -> why it doesn't apply to its quick pair; "" where it does
    """

    name: str
    title: str
    role: str
    source: str
    facts: dict[str, str]
    defaults: str
    refusals: dict[str, str]


@dataclass(frozen=True)
class Catalogue:
    """Every baseline, in the order of tables; `pairs` are those that they were built on, by task."""

    key: str
    pairs: dict[str, str]
    architectures: tuple[str, ...]
    baselines: tuple[Listed, ...]


def catalogue(cache: Path, plugin_files: tuple[Path, ...] = ()) -> Catalogue:
    """The catalogue of the code as it is: the committed one, one of an earlier command, or a new one."""
    key = key_of(plugin_files)
    kept = cache / "catalogue" / f"{key}.json"
    for file in (COMMITTED, kept):
        found = _read(file)
        if found is not None and found.key == key:
            return found
    made = explored(plugins.load(plugin_files), key)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        save(made, kept)
    except OSError:
        pass  # a folder that can't be written costs the next command a few seconds
    return made


def key_of(plugin_files: tuple[Path, ...] = ()) -> str:
    """A checksum of the plugins and of the engine's parts that decide what is found."""
    engine = Path(__file__).resolve().parents[1]
    folders = [engine / part for part in ENGINE] + [ROOT / name for name in ("baselines", "tasks")]
    files = {file for folder in folders for file in _sources(folder)} - {plugins.LIBRARY}
    digest = hashlib.sha256()
    for file in [*sorted(files), *installed.sources(), *plugin_files]:
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _sources(place: Path) -> Iterable[Path]:
    return [place] if place.suffix == ".py" else place.rglob("*.py")


def explored(registry: Registry, key: str) -> Catalogue:
    """Builds every baseline on the pairs of the quick presets."""
    from benchmark.catalogue import page
    from benchmark.catalogue.exploration import explore, task_pairs
    from benchmark.models import architectures

    places = task_pairs(registry, quick=True)
    found = []
    for entry in explore(page.ordered(registry), places):
        one = entry.baseline
        facts = {
            "acts on": entry.acts_on,
            "needs": page.needed(one),
            "adds": f"{page.count(entry.parameters)} parameters" if entry.parameters else "",
            "first": "; ".join(entry.stages),
        }
        found.append(
            Listed(
                one.name,
                one.title,
                one.role,
                page.source(one),
                {what: value for what, value in facts.items() if value},
                page.defaults(one),
                {place.task: entry.refusals.get(place, "") for place in places},
            )
        )
    pairs = {place.task: place.name for place in places}
    return Catalogue(key, pairs, architectures(), tuple(found))


def save(made: Catalogue, file: Path) -> None:
    """Writes a catalogue, whole or not at all."""
    write_json(file, asdict(made))


def _read(file: Path) -> Catalogue | None:
    try:
        return msgspec.convert(json.loads(file.read_text()), Catalogue)
    except (OSError, ValueError):
        return None
