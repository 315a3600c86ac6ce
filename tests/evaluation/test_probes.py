"""Probes of frozen features, and which networks and questions the engine asks them of."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark import Data, Modality, Request, Samples, Target, UserError
from benchmark.cli import main
from benchmark.data.batches import in_order
from benchmark.evaluation import probes, probing
from benchmark.evaluation.probes import Features, few_shot, linear, nearest_neighbours, probe
from benchmark.models import build
from benchmark.ranks import Fabric
from benchmark.running.device import make_fabric
from tests.command import records, run
from tests.tiny_task import TinySenses, sensed_data

SENSES = "tiny_senses"


def features(spread: float, count: int = 120, classes: int = 4, seed: int = 0) -> Features:
    """Clusters around distant corners, `spread` wide."""
    random = np.random.default_rng(seed)
    labels = np.arange(2 * count) % classes
    corners = 10 * np.eye(classes)
    points = corners[labels] + spread * random.normal(size=(2 * count, classes))
    return Features(points[:count], labels[:count], points[count:], labels[count:])


def test_features_that_tell_the_classes_apart_score_one_and_noise_scores_chance() -> None:
    assert set(probe(features(0.1)).values()) == {1.0}
    noise = features(1e6, count=800)
    assert all(abs(score - 0.25) < 0.08 for score in probe(noise).values())


def test_probes_are_named_and_those_that_a_class_is_too_small_for_are_left_out() -> None:
    assert list(probe(features(0.1))) == ["linear", "knn", "few_shot_1", "few_shot_5", "few_shot_10"]
    assert list(probe(features(0.1, count=24))) == ["linear", "knn", "few_shot_1", "few_shot_5"]


def test_the_scale_of_the_features_does_not_matter() -> None:
    ours = features(4.0)
    scaled = Features(1000 * ours.train, ours.train_labels, 1000 * ours.test, ours.test_labels)
    assert probe(ours) == probe(scaled)


def test_a_sample_is_answered_alike_whoever_is_tested_beside_it() -> None:
    ours = features(4.0)

    def right(part: np.ndarray) -> float:
        tested = Features(ours.train, ours.train_labels, ours.test[part], ours.test_labels[part])
        return probe(tested)["linear"] * len(tested.test)

    by_class = [np.flatnonzero(ours.test_labels == label) for label in range(4)]
    assert right(np.arange(120)) == pytest.approx(sum(map(right, by_class)))


@pytest.mark.parametrize(
    ("held_out", "chosen"),
    [((0.2, 0.9, 0.3, 0.3, 0.1), 0.01), ((0.5, 0.7, 0.7, 0.2, 0.7), 0.01), ((0.1, 0.2, 0.3, 0.4, 0.5), 10.0)],
)
def test_the_strength_is_the_best_on_the_held_out_fifth_and_of_equals_the_strongest(
    monkeypatch: pytest.MonkeyPatch, held_out: tuple[float, ...], chosen: float
) -> None:
    ours, fitted = features(1.0), []

    class Fake:
        def __init__(self, strength: float, x: np.ndarray, y: np.ndarray):
            self.strength, self.size = strength, len(x)
            fitted.append(self)

        def score(self, x: np.ndarray, y: np.ndarray) -> float:
            if self.size == len(ours.train):
                assert x is ours.test
                return self.strength
            assert len(x) == len(ours.train) // 5
            return held_out[probes.STRENGTHS.index(self.strength)]

    monkeypatch.setattr(probes, "_regression", Fake)
    assert linear(ours) == chosen
    assert [each.size for each in fitted] == [96] * 5 + [120]


def test_neighbours_are_judged_by_direction() -> None:
    angles = np.array([[1.0, 0.0], [0.0, 1.0]])
    near = Features(np.repeat(angles, 10, 0), np.repeat([0, 1], 10), np.array([[0.01, 0.001]]), np.array([0]))
    assert nearest_neighbours(near) == 1.0


def test_neighbours_vote_by_their_closeness_in_the_directions_that_the_network_gave() -> None:
    def at(angle: float, count: int) -> np.ndarray:
        return np.repeat([[np.cos(angle), np.sin(angle)]], count, 0)

    near = Features(
        np.concatenate([at(0.01, 4), at(0.5, 20)]), np.repeat([0, 1], [4, 20]), at(0.0, 1), np.array([0])
    )
    assert nearest_neighbours(near) == 1.0
    ours = features(6.0)
    shifted = Features(ours.train + 30, ours.train_labels, ours.test + 30, ours.test_labels)
    assert nearest_neighbours(shifted) != nearest_neighbours(ours)
    assert probe(shifted)["knn"] == nearest_neighbours(shifted)
    assert probe(shifted)["linear"] == probe(ours)["linear"]


@pytest.mark.parametrize(
    ("counts", "why"),
    [((30, 1), "a class of one sample"), ((2,) * 12, "a fifth of fewer samples than classes")],
)
def test_where_a_fifth_can_not_be_stratified_the_middle_strength_is_taken(
    counts: tuple[int, ...], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels, fitted = np.repeat(np.arange(len(counts)), counts), []
    regression = probes._regression

    def noted(strength: float, x: np.ndarray, y: np.ndarray):
        fitted.append((strength, len(x)))
        return regression(strength, x, y)

    monkeypatch.setattr(probes, "_regression", noted)
    points = 10 * np.eye(len(counts))[labels]
    assert linear(Features(points, labels, points, labels)) == 1.0, why
    assert fitted == [(0.1, len(labels))], why


def test_few_shot_draws_are_those_of_the_labels_whatever_the_features() -> None:
    drawn: list[np.ndarray] = []

    class Spy(np.ndarray):
        def __getitem__(self, key):
            if isinstance(key, np.ndarray) and key.dtype.kind == "i":
                drawn.append(np.asarray(key))
            return np.asarray(self)[key]

    for spread in (0.1, 5.0):
        ours = features(spread)
        few_shot(Features(ours.train.view(Spy), ours.train_labels, ours.test, ours.test_labels), 5)
    assert len(drawn) == 2 * probes.DRAWS
    for first, second in zip(drawn[: probes.DRAWS], drawn[probes.DRAWS :], strict=True):
        assert np.array_equal(first, second)
        assert np.bincount(features(1.0).train_labels[first]).tolist() == [5] * 4
        assert len(set(first.tolist())) == 20
    assert len({tuple(each) for each in drawn}) == probes.DRAWS


def test_a_record_has_the_probes_of_student_teacher_and_untrained_student(tmp_path: Path) -> None:
    assert run(tmp_path, baselines=("scratch", "kd"), task=SENSES, report=True, probes=True) == 0
    found = list(records(tmp_path).values())
    assert all(list(each.results.probes) == ["own", "parity"] for each in found)
    # The teacher sees an image, which the target lacks.
    assert all(list(each.teacher.probes) == ["own"] for each in found)
    assert found[0].results.untrained_probes == found[1].results.untrained_probes
    assert found[0].results.probes != found[1].results.probes
    text = (tmp_path / "t" / "tables" / "tiny_senses_probes.md").read_text()
    assert "untrained (conv1d" in text.replace("\\", "")
    assert text.count("\n|") == 2 + 4


def test_a_network_goes_through_each_question_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    embeddings = probing.Probing._embeddings

    def spy(self, network, samples):
        seen.append(len(samples))
        return embeddings(self, network, samples)

    monkeypatch.setattr(probing.Probing, "_embeddings", spy)
    few = ("--seeds", "0", "1", "--label-fraction", "0.5")
    assert run(tmp_path, *few, baselines=("kd",), task=SENSES, probes=True) == 0
    runs = 2 * 3  # kd, pseudo_label and the fully labelled scratch, twice
    student, untrained, teacher = 4 * runs, 2 * 4, 2
    assert len(seen) == student + untrained + teacher


def test_probes_can_be_left_out(tmp_path: Path) -> None:
    assert run(tmp_path, task=SENSES, report=True) == 0
    (record,) = records(tmp_path).values()
    assert record.results.probes == {}
    assert not list((tmp_path / "t" / "tables").glob("*_probes.*"))


def test_dense_data_and_unlabelled_samples_ask_no_question_of_their_own(tmp_path: Path) -> None:
    command = ["--tasks", "tiny_senses", "--datasets", "masks", "--results-dir", str(tmp_path), "--name", "t"]
    assert main([*command, "--pairs", "dense", "--baselines", "scratch"]) == 0
    (record,) = records(tmp_path).values()
    assert record.results.probes == {}


def test_a_probe_trains_on_a_stratified_part_of_a_large_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "MOST_SAMPLES", 10)
    labels = torch.tensor([-1, 0, 1, 2, 3, 4] * 20)
    target = Target(Samples({}, labels), Samples({}, labels))
    ready = probing._ready(target)
    assert torch.bincount(ready.train.labels).tolist() == [2] * 5
    assert len(ready.test) == 100


def test_of_a_large_split_in_order_of_its_classes_a_probe_sees_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probing, "MOST_SAMPLES", 10)
    labels = torch.arange(5).repeat_interleave(20)
    ready = probing._ready(Target(Samples({}, labels), Samples({}, labels)))
    assert torch.bincount(ready.train.labels).tolist() == [2] * 5


def test_features_are_those_of_eval_mode_and_the_network_is_afterwards_as_before() -> None:
    data = sensed_data("senses")
    network = build("tiny_dropout", [(3, 8, 8)], 6, ("rgb",)).train()
    asked = probing.Probing(data, torch.arange(90), {}, make_fabric("cpu", "32"), {})
    before = copy.deepcopy(network.state_dict())
    found = asked._embeddings(network, data.test)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    (batch,) = in_order(data, data.test, ("rgb",), torch.device("cpu"))
    with torch.no_grad():
        expected = network.eval()(batch).embedding
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-6)


def test_a_shared_network_is_probed_anew_on_another_split(monkeypatch: pytest.MonkeyPatch) -> None:
    data, memory, fabric = sensed_data("senses"), {}, make_fabric("cpu", "32")
    network = build("tiny_small", [(3, 8, 8)], 6, ("rgb",))
    probed: list[int] = []
    monkeypatch.setattr(probing.Probing, "scores", lambda self, _: probed.append(len(self._train)) or {})
    for train in (torch.arange(90), torch.arange(90), torch.arange(80)):
        probing.Probing(data, train, {}, fabric, memory).shared_scores("teacher", network)
    assert probed == [90, 80]


@pytest.mark.parametrize(
    ("train", "test", "asked"),
    [([0, 1] * 8, [0, 1], ["own"]), ([0, 1] * 8, [-1, -1], []), ([0, -1] * 8, [0, 1], [])],
    ids=["labelled", "test without labels", "one class"],
)
def test_a_question_needs_two_classes_to_fit_and_labelled_samples_to_test_on(
    train: list[int], test: list[int], asked: list[str]
) -> None:
    parts = [Samples({"rgb": torch.rand(len(each), 3, 8, 8)}, torch.tensor(each)) for each in (train, test)]
    shown = {"rgb": Modality((3, 8, 8), (0.5,) * 3, (0.3,) * 3)}
    data = Data("pictures", *parts, ("a", "b"), shown, "print", synthetic=True)
    network = build("tiny_small", [(3, 8, 8)], 2)
    network.modalities = ("rgb",)
    alone = probing.Probing(data, torch.arange(16), {}, Fabric(accelerator="cpu", devices=1), {})
    assert list(alone.scores(network)) == asked


@pytest.mark.parametrize("kind", [UserError, OSError])
@pytest.mark.parametrize("when", ["listed", "loaded"])
def test_a_damaged_target_that_nobody_asked_for_is_one_warning_and_no_probe(
    when: str,
    kind: type[Exception],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def damaged() -> Target:
        raise kind("target.bin is damaged: fetch it again")

    def targets(self: TinySenses, data: Data, request: Request) -> dict[str, Callable[[], Target]]:
        return {"target": damaged, "sound": lambda: transfer(self, data, request)["parity"]()}

    def none(self: TinySenses, data: Data, request: Request) -> dict[str, Callable[[], Target]]:
        raise UserError("target.bin is damaged: fetch it again")

    transfer = TinySenses.transfer
    monkeypatch.setattr(TinySenses, "transfer", targets if when == "loaded" else none)
    assert run(tmp_path, baselines=("scratch",), task=SENSES, probes=True) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert told.count("target.bin is damaged") == 1
    assert "left out" in told
    (record,) = records(tmp_path).values()
    assert list(record.results.probes) == (["own", "sound"] if when == "loaded" else ["own"])
