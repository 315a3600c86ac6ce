"""Tuning: as many configurations for every baseline, halved together, chosen on validation alone.

The default configuration is always the first of them. The others fill the declared ranges and that of the
learning rate evenly (Halton points, scrambled), the same points for every baseline. After a quarter and after
half of the epochs the better half of each baseline's trials goes on (synchronous successive halving: Jamieson
and Talwalkar, AISTATS 2016), so that N trials cost half of N trainings.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from benchmark.contracts import Choice, Range, Recipe
from benchmark.planning.hyperparameters import stage_shares
from benchmark.planning.specs import OWN_RECIPE, CohortSpec, RunSpec, content_hash
from benchmark.plugins import Baseline
from benchmark.records import VALIDATION, Record, Selection

SEED = 1000
"""Of the trials: none of the seeds that are reported."""
RUNGS = (1 / 4, 1 / 2)
"""Shares of the epochs after which the better half goes on."""
RATE_FACTOR = 4.0
"""The learning rate is searched from the recipe's divided by this to the recipe's times this."""
RATE = f"{OWN_RECIPE}learning_rate"
Values = dict[str, Any]
Space = Mapping[str, Range | Choice]


def search_space(
    parts: tuple[Baseline, ...], defaults: Mapping[str, Any], recipe: Recipe, fixed: Iterable[str]
) -> dict[str, Range | Choice]:
    """What is searched for a baseline made of `parts`: its declared ranges, and its learning rate's first.

    defaults   its hyper-parameters, resolved
    fixed      what the user has set

    Left out is what changes the number of updates (the length of a first stage): work is equal.
    """
    rate = defaults.get(RATE, recipe.learning_rate)
    space: dict[str, Range | Choice] = {RATE: Range(rate / RATE_FACTOR, rate * RATE_FACTOR, log=True)}
    for part in parts:
        prefix = f"{part.name}." if len(parts) > 1 else ""
        for name, each in part.hyperparameters.items():
            if each.search is not None and each.searched and prefix + name in defaults:
                space[prefix + name] = each.search
    fixed = set(fixed)
    return {
        name: search
        for name, search in space.items()
        if name not in fixed and not _changes_work(parts, defaults, name, search)
    }


def _changes_work(
    parts: tuple[Baseline, ...], defaults: Mapping[str, Any], name: str, search: Range | Choice
) -> bool:
    ends = search.values if isinstance(search, Choice) else (search.low, search.high)
    return len({stage_shares(parts, {**defaults, name: end}) for end in ends}) > 1


def configurations(space: Space, defaults: Mapping[str, Any], count: int, seed: int = SEED) -> list[Values]:
    """`count` configurations: first none but the defaults, then points that fill the space evenly.

    Each holds a value for everything in `space`, rounded to four digits.
    """
    from scipy.stats import qmc  # slow to import, and only tuning needs it

    found: list[Values] = [{name: defaults[name] for name in space if name in defaults}]
    # One set of points for everybody: the first axis is the learning rate, the same rates for all baselines.
    points = qmc.Halton(d=max(AXES, len(space)), scramble=True, rng=seed).random(count - 1)
    for point in points:
        axes = zip(space.items(), point, strict=False)
        found.append({name: _value(search, float(u), defaults.get(name)) for (name, search), u in axes})
    return found


AXES = 64
"""Of the points: more than any baseline has, so that the first ones are the same whatever a baseline has."""


def _value(search: Range | Choice, u: float, default: Any) -> Any:
    """The value at `u`, from 0 to 1, of a range."""
    if isinstance(search, Choice):
        return search.values[min(int(u * len(search.values)), len(search.values) - 1)]
    if search.log:
        value = search.low * (search.high / search.low) ** u
    else:
        value = search.low + (search.high - search.low) * u
    if isinstance(default, int) and not isinstance(default, bool):
        return round(value)
    return float(f"{value:.4g}")


def trials_of(run: RunSpec, parts: tuple[Baseline, ...], count: int) -> Iterator[RunSpec]:
    """The trials of a baseline made of `parts`, on a seed of their own; `run` is its run at the default."""
    space = search_space(parts, run.hyperparameters, run.recipe, run.overrides)
    for number, values in enumerate(configurations(space, _as_declared(parts, run.hyperparameters), count)):
        # The default stays as it is written: its trial is that of the default run.
        changed = run.hyperparameters | (values if number else {})
        yield replace(run, seed=SEED, hyperparameters=changed, tuning="trial", trial=number, trials=count)


def _as_declared(parts: tuple[Baseline, ...], values: Mapping[str, Any]) -> Values:
    """The values, whole numbers that stand for a `float` as such: a plugin may write its default as 1."""
    floats = {
        f"{part.name}.{name}" if len(parts) > 1 else name
        for part in parts
        for name, each in part.hyperparameters.items()
        if each.type is float
    }
    return {name: float(x) if name in floats and isinstance(x, int) else x for name, x in values.items()}


Winner = tuple[Selection, Mapping[str, Any]]
"""How a baseline's hyper-parameters were chosen, and they themselves."""
Chosen = Mapping[str, Winner]
"""By `tuning_key`."""


def tuned(cohort: CohortSpec, chosen: Chosen) -> CohortSpec:
    """The cohort with each run once more, as it was chosen."""
    further = []
    for run in cohort.runs:
        if (key := tuning_key(run)) in chosen:
            selection, values = chosen[key]
            further.append(replace(run, hyperparameters=dict(values), tuning="tuned", selection=selection))
    return replace(cohort, runs=(*cohort.runs, *further))


def tuning_key(run: RunSpec) -> str:
    """What is tuned once: a baseline on a pair under a condition, whatever the seeds of student, teacher and
    split, and however long a first stage makes an anchor train."""
    data, teacher = run.data, run.teacher
    split = replace(data.split, split_seed=0)
    return content_hash(
        {
            "data": [data.task, data.dataset, data.fold, data.fingerprint, vars(split)],
            "pair": run.pair,
            "teacher": [teacher.architecture, teacher.kind, teacher.checkpoint_checksum],
            "recipe": vars(replace(run.recipe, epochs=1)),
            "baseline": run.baseline,
            "overrides": run.overrides,
            "precision": run.precision,
            "batch_parts": run.batch_parts,
        }
    )


# --- halving and choosing ---


def rungs(epochs: int) -> list[int]:
    """After how many epochs trials are halved; fewer times where the epochs are few."""
    found = (round(share * epochs) for share in RUNGS)
    return sorted({each for each in found if 0 < each < epochs})


@dataclass(frozen=True)
class Contestant:
    """A trial as a rung sees it: its number and its score there; None where it has none (it diverged)."""

    number: int
    score: float | None


def survivors(contestants: Iterable[Contestant], count: int, higher_is_better: bool) -> set[int]:
    """The numbers of the `count` best, which go on; of equals the one with the lower number."""
    return {each.number for each in ranking(contestants, higher_is_better)[:count]}


def ranking(contestants: Iterable[Contestant], higher_is_better: bool) -> list[Contestant]:
    """The contestants that have a score, the best first; of equals the one with the lower number."""
    sign = -1 if higher_is_better else 1
    scored = [each for each in contestants if each.score is not None and math.isfinite(each.score)]
    return sorted(scored, key=lambda each: (sign * float(each.score or 0), each.number))


def choose(trials: Iterable[Record]) -> Selection | None:
    """The best on validation of one baseline's trials that got to the end; None where none did."""
    trials = list(trials)
    ends = [
        Contestant(record.trial.number, record.results.score(VALIDATION, record.primary_metric))
        for record in trials
        if record.trial is not None and record.status == "finished"
    ]
    first = trials[0]
    ranked = ranking(ends, first.metrics[first.primary_metric].direction == "max")
    if not ranked:
        return None
    return Selection(
        number=ranked[0].number,
        trials=len(trials),
        seed=first.run.seed,
        score=ranked[0].score,
        default_score=next((each.score for each in ends if each.number == 0), None),
        num_validation=first.about.num_validation or 0,
        seconds=sum(record.measurements.total_s or 0.0 for record in trials),
    )
