"""What keeps records off the leaderboard: a line for each thing that doesn't agree with the others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np

from benchmark.checksums import ARRAYS, WEIGHTS, AlteredFile, open_checked
from benchmark.records import LAST, Record
from benchmark.reporting import archive
from benchmark.reporting.frame import contradiction
from benchmark.reporting.identity import identity, search_of, shared_overrides
from benchmark.reporting.leaderboard.frame import group_of, suite_version
from benchmark.reporting.leaderboard.sources import Source
from benchmark.reporting.results import Results
from benchmark.reporting.rows import grouped

TOP1 = "top1"
"""The metric that saved predictions tell again: the share of right ones among the labelled samples."""

COPY = f"its {ARRAYS} is that of {{}}, a run of another seed: leave it out"

Dataset = tuple[str, str, str]
"""Task, dataset and fold: what has one fingerprint."""


@dataclass
class Known:
    """What the leaderboard holds already.

    version    of the suite that checks; empty where it is not installed
    new_data   datasets whose fingerprint may be one that is not known
    """

    sources: list[Source]
    version: str = ""
    new_data: Collection[str] = ()
    _labels: dict[str, np.ndarray] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def runs(self) -> dict[str, tuple[str, Record]]:
        """Id -> the archive that holds the run, and its record."""
        return {record.id: (source.name, record) for source, record in self._records()}

    @cached_property
    def arrays(self) -> dict[str, list[tuple[str, Record]]]:
        """Checksum of arrays -> the runs that left them, each with its archive."""
        kept = ((source.name, record) for source, record in self._records() if _arrays_of(record))
        return grouped(kept, lambda each: _arrays_of(each[1]))

    @cached_property
    def versions(self) -> set[str]:
        """Of the suite: those that have a group, and the present one."""
        return {self.version, *(suite_version(record) for _, record in self._records())} - {""}

    @cached_property
    def anchors(self) -> dict[str, set[str]]:
        """Group -> the rows of its anchor."""
        found: dict[str, set[str]] = {}
        for _, record in self._records():
            if _is_anchor(record):
                found.setdefault(group_of(record), set()).add(identity(record).row)
        return found

    @cached_property
    def fingerprints(self) -> dict[Dataset, set[str]]:
        """Of each dataset and fold."""
        found: dict[Dataset, set[str]] = {}
        for _, record in self._records():
            found.setdefault(_dataset(record), set()).add(record.provenance.data_fingerprint)
        return found

    def labels(self, record: Record, own: np.ndarray) -> np.ndarray:
        """Those of the test samples [N] of the same data; of the first run that has some, maybe this one."""
        fingerprint = record.provenance.data_fingerprint
        if fingerprint not in self._labels:
            others = (
                found["test_label"]
                for source, other in self._records()
                if other.provenance.data_fingerprint == fingerprint
                and (found := source.results.arrays(other, "test_label"))
            )
            self._labels[fingerprint] = next(others, own)
        return self._labels[fingerprint]

    def _records(self) -> Iterator[tuple[Source, Record]]:
        return ((source, record) for source in self.sources for record in source.results.records)


def complaints(results: Results, known: Known) -> list[str]:
    """A line for each thing that keeps these results off the leaderboard; none where they fit."""
    if not results.records:
        return [*results.problems, f"{results.folder} holds no finished run: there is nothing to submit"]
    found = [*results.problems, *archive.unfit(results)]
    for record in results.records:
        for check in (_origin, _anchor, _repetition, partial(_files, results)):
            found += [f"{record.folder}: {line}" for line in check(record, known)]
    found += [*_second_anchors(results.records), *_copies(results.records), *_untried(results)]
    return list(dict.fromkeys([*found, *results.problems]))  # these grow as arrays are read


def _origin(record: Record, known: Known) -> Iterator[str]:
    """Which code, version and data it is of."""
    told = record.provenance
    if told.clean and not told.commit:
        yield "it names no commit: run it from a checkout of the suite"
    version = suite_version(record)
    if not version:
        yield "it names no version of the suite: run it again with this one"
    elif version not in known.versions:
        yield f"it is of version {version} of the suite, unknown here: {', '.join(sorted(known.versions))}"
    fingerprints = known.fingerprints.get(_dataset(record), set())
    if told.data_fingerprint not in fingerprints and record.run.dataset not in known.new_data:
        known_is = f"known is {' or '.join(sorted(fingerprints))}" if fingerprints else "none of it is known"
        name = " ".join(filter(None, (record.run.dataset, record.condition.fold)))
        yield (
            f"its data {name} has the fingerprint {told.data_fingerprint or '(none)'}, {known_is}: "
            f"if other data is meant, say --new-data {record.run.dataset}"
        )
    if record.status == "finished" and not record.teacher.checksum:
        yield "it names no checksum of its teacher: run it again"


def _anchor(record: Record, known: Known) -> Iterator[str]:
    """Whether it would stand beside the row that all differences of its group are taken to."""
    row = identity(record).row
    if _is_anchor(record) and row not in known.anchors.get(group_of(record), {row}):
        yield _second(record)


def _second_anchors(records: Iterable[Record]) -> Iterator[str]:
    """Runs of one submission that would be a second row to take the differences of its group to."""
    for anchors in grouped(filter(_is_anchor, records), group_of).values():
        first = identity(anchors[0]).row
        yield from (f"{each.folder}: {_second(each)}" for each in anchors if identity(each).row != first)


def _second(anchor: Record) -> str:
    return (
        "its group has an anchor of other code or settings, to which all differences are taken: leave this "
        f"{anchor.about.baseline_title or anchor.run.baseline} out"
    )


def _repetition(record: Record, known: Known) -> Iterator[str]:
    """Whether it is there already, as it is or under another seed."""
    if record.id in known.runs:
        name, other = known.runs[record.id]
        differs = contradiction(record, other)
        yield (f"this run is in {name} already{f', with other {differs}' if differs else ''}: leave it out")
        return
    for name, other in known.arrays.get(_arrays_of(record), []):
        if _is_copy(record, other):
            yield COPY.format(f"{other.folder} in {name}")
            return


def _copies(records: Iterable[Record]) -> Iterator[str]:
    """Runs of one submission that are one run under several seeds."""
    for alike in grouped((record for record in records if _arrays_of(record)), _arrays_of).values():
        for number, other in enumerate(alike):
            if first := next((each for each in alike[:number] if _is_copy(each, other)), None):
                yield f"{other.folder}: {COPY.format(first.folder)}"


def _is_copy(first: Record, second: Record) -> bool:
    """Whether two runs with the same arrays can't both be real: a tuned run may well be the default one."""
    return first.run.baseline == second.run.baseline and first.run.seed != second.run.seed


def _untried(results: Results) -> Iterator[str]:
    """Tuned runs without the trials that their settings were chosen from."""
    tried = grouped(results.trials, search_of)
    tuned = (record for record in results.records if record.condition.tuning == "tuned")
    for record in tuned:
        wanted = record.selection.trials if record.selection else 0
        there = len(tried.get(search_of(record), []))
        if not wanted or there < wanted:
            yield (
                f"{record.folder}: it was tuned, and of {wanted or 'its'} trials {there} are there: submit "
                "the folder that it was tuned in"
            )


def _files(results: Results, record: Record, known: Known) -> Iterator[str]:
    """Whether what lies beside it is what its run left, and says what the record says."""
    assert results.folder is not None
    folder = results.folder / "runs" / record.folder
    if record.files is None:
        yield "it holds no checksums of its files, as an old record: run it again"
    try:
        if (folder / WEIGHTS).exists() and (stream := open_checked(folder / WEIGHTS, record.files)):
            stream.close()
    except AlteredFile as altered:
        yield str(altered)
    arrays = results.arrays(record, "test_label", "test_prediction", "test_logits")
    score = record.results.score(LAST, TOP1)
    if score is None or not (folder / ARRAYS).exists():
        return  # masks, of which a few are kept; a run that did not finish; missing arrays are named above
    if not {"test_label", "test_prediction"} <= arrays.keys():
        if arrays or not any(line.startswith(f"{record.folder}: {ARRAYS}") for line in results.problems):
            yield f"its {ARRAYS} lacks the predictions or the labels of test samples"
        return
    label, prediction = arrays["test_label"], arrays["test_prediction"]
    if label.ndim != 1 or label.shape != prediction.shape or not label.size:
        yield f"its {ARRAYS} has predictions {prediction.shape} for labels {label.shape}"
        return
    if not all(np.issubdtype(each.dtype, np.integer) for each in (label, prediction)):
        yield f"its {ARRAYS} has {prediction.dtype} predictions for {label.dtype} labels, not class numbers"
        return
    if not np.array_equal(label, known.labels(record, label)):
        yield f"its {ARRAYS} has other labels than the other runs of the same data"
    if record.about.num_test not in (None, len(label)):
        yield f"its {ARRAYS} has {len(label):,} test samples, the record {record.about.num_test:,}"
    right = (prediction == label)[label >= 0]
    share = right.sum() / max(len(right), 1)
    if not abs(share - score) * len(right) < 0.5 or not len(right):
        yield f"its record says {score:.4f} for {TOP1}, its predictions {share:.4f}: it was altered"
    logits = arrays.get("test_logits")
    if logits is not None and not _chosen(logits, prediction):
        yield f"its {ARRAYS} has predictions that are not those of its logits: it was altered"


def _chosen(logits: np.ndarray, prediction: np.ndarray) -> bool:
    """Whether each prediction [N] has the largest of its logits [N, K]; rounded ones may share it."""
    if logits.ndim != 2 or len(logits) != len(prediction) or not np.issubdtype(logits.dtype, np.floating):
        return False
    if prediction.min() < 0 or prediction.max() >= logits.shape[1]:
        return False
    return bool((logits[np.arange(len(logits)), prediction] >= logits.max(axis=1)).all())


def _is_anchor(record: Record) -> bool:
    """One with settings of its own stands in nobody's way."""
    condition = record.condition
    return record.about.anchor and condition.overrides == shared_overrides(condition.overrides)


def _dataset(record: Record) -> Dataset:
    return record.run.task, record.run.dataset, record.condition.fold


def _arrays_of(record: Record) -> str:
    return (record.files or {}).get(ARRAYS, "")
