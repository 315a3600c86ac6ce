"""Corrupted test samples: what each kind does to values, and which networks the engine tests on them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn import functional as F

from benchmark import Activations, Modality, Samples, Source, Stored
from benchmark.cli import main
from benchmark.data.batches import in_order
from benchmark.evaluation import corrupted as engine
from benchmark.evaluation.accuracy import metrics_of
from benchmark.evaluation.corrupted import CorruptedTest
from benchmark.evaluation.corruptions import STRENGTHS, Corruption, Values
from benchmark.seeds import generator
from benchmark.training import loop
from tests.command import numbers, records, run
from tests.tiny_task import TinySenses, TinyTask, sensed_data, tiny_data

pytestmark = pytest.mark.timeout(30)
SENSES = "tiny_senses"
KINDS = tuple(STRENGTHS)


def modality(x: Tensor, spatial: bool = True) -> Modality:
    channels = x.shape[1]
    return Modality(tuple(x.shape[1:]), (0.0,) * channels, (1.0,) * channels, spatial=spatial)


def corrupt(
    x: Tensor, kind: str, strength: float, spatial: bool = True, train: Tensor | None = None
) -> Tensor:
    """A pass over x as one batch; its range is that of `train`, or its own."""
    values = Values.of(modality(x, spatial), [x if train is None else train])
    return Corruption(kind, strength, {"x": values})("x", x)


def images(*shape: int, seed: int = 0) -> Tensor:
    """Smooth random pictures, uint8: blobs and edges, no value near either end."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.rand(math.prod(shape[:-2]), 1, 5, 5, generator=draw)
    smooth = F.interpolate(coarse, shape[-2:], mode="bilinear", align_corners=True)
    return (60 + 120 * smooth.view(shape)).to(torch.uint8)


RGB = images(4, 3, 32, 32)


# --- the kinds, each against a slow formula ---


def unit(x: Tensor) -> np.ndarray:
    return x.double().numpy() / 255


def as_bytes(x: np.ndarray) -> np.ndarray:
    return np.clip(x, 0, 1) * 255


def close(ours: Tensor, slow: np.ndarray) -> bool:
    """Equal but for rounding to whole numbers."""
    return bool(np.abs(ours.double().numpy() - slow).max() <= 0.5 + 1e-3)


@pytest.mark.parametrize("strength", STRENGTHS["gaussian_noise"])
def test_noise_is_a_draw_of_its_own_seed_added_in_units_of_the_range(strength: float) -> None:
    draw = generator(0, "corruptions", "x")
    noise = torch.stack([torch.randn(3, 32, 32, generator=draw) for _ in RGB]).double().numpy()
    ours = corrupt(RGB, "gaussian_noise", strength)
    assert ours.dtype == torch.uint8
    assert close(ours, as_bytes(unit(RGB) + strength * noise))
    assert float((ours.double() - RGB.double()).std()) == pytest.approx(255 * strength, rel=0.03)


@pytest.mark.parametrize("sigma", STRENGTHS["gaussian_blur"])
def test_blur_is_a_convolution_with_a_gaussian_over_mirrored_edges(sigma: float) -> None:
    reach = math.ceil(4 * sigma)
    offsets = range(-reach, reach + 1)
    weights = np.array([math.exp(-(i**2) / (2 * sigma**2)) for i in offsets])
    weights /= weights.sum()
    padded = np.pad(unit(RGB), ((0, 0), (0, 0), (reach, reach), (reach, reach)), mode="reflect")
    slow = np.zeros(RGB.shape)
    for i, across in enumerate(weights):
        for j, along in enumerate(weights):
            slow += across * along * padded[:, :, i : i + 32, j : j + 32]
    assert close(corrupt(RGB, "gaussian_blur", sigma), as_bytes(slow))


@pytest.mark.parametrize("factor", STRENGTHS["brightness"])
def test_brightness_is_a_factor_that_ends_at_white(factor: float) -> None:
    ours = corrupt(RGB, "brightness", factor)
    assert close(ours, as_bytes(factor * unit(RGB)))
    if factor > 1.5:
        assert int(ours.max()) == 255


@pytest.mark.parametrize("factor", STRENGTHS["contrast"])
def test_contrast_draws_an_image_to_its_mean_grey_and_keeps_that(factor: float) -> None:
    ours = corrupt(RGB, "contrast", factor)
    red, green, blue = unit(RGB).swapaxes(0, 1)
    grey = (0.2989 * red + 0.587 * green + 0.114 * blue).mean((1, 2))[:, None, None, None]
    assert close(ours, as_bytes(grey + factor * (unit(RGB) - grey)))
    weights = torch.tensor([0.2989, 0.587, 0.114]).view(3, 1, 1)
    before, after = ((weights * x.float()).sum(1).mean((1, 2)) for x in (RGB, ours))
    assert torch.allclose(before, after, atol=0.5)


@pytest.mark.parametrize("share", STRENGTHS["low_resolution"])
def test_low_resolution_is_scaling_down_with_a_triangle_filter_and_up_between_neighbours(
    share: float,
) -> None:
    small = int(share * 32)
    down, up = triangle(32, small), triangle(small, 32)
    slow = up @ (down @ unit(RGB) @ down.T) @ up.T
    assert close(corrupt(RGB, "low_resolution", share), as_bytes(slow))


def triangle(old: int, new: int) -> np.ndarray:
    """The matrix [new, old] of linear interpolation, its filter widened by the factor of scaling down."""
    scale = old / new
    width = max(scale, 1.0)
    matrix = np.zeros((new, old))
    for i in range(new):
        centre = (i + 0.5) * scale
        for j in range(old):
            matrix[i, j] = max(0.0, 1 - abs(j + 0.5 - centre) / width)
        matrix[i] /= matrix[i].sum()
    return matrix


@pytest.mark.parametrize("kind", KINDS)
def test_a_greater_strength_changes_more(kind: str) -> None:
    noisy = (RGB.float() + 20 * torch.randn(RGB.shape, generator=torch.Generator().manual_seed(1))).byte()
    changes = [
        float((corrupt(noisy, kind, strength).float() - noisy.float()).square().mean())
        for strength in STRENGTHS[kind]
    ]
    assert 1 < changes[0] < changes[1] < changes[2]


@pytest.mark.parametrize("kind", ["gaussian_noise", "gaussian_blur", "contrast", "low_resolution"])
def test_all_but_brightness_keep_the_mean(kind: str) -> None:
    x = images(200, 1, 32, 32)
    for strength in STRENGTHS[kind]:
        assert float(corrupt(x, kind, strength).float().mean()) == pytest.approx(
            float(x.float().mean()), abs=0.5
        )


def test_a_blurred_edge_is_as_wide_as_a_share_of_an_image_of_any_size() -> None:
    grey = []
    for side in (64, 256):
        x = torch.zeros(1, 1, side, side)
        x[..., side // 2 :] = 1
        ours = corrupt(x, "gaussian_blur", 1.0)
        grey.append(float((ours * (1 - ours)).mean()))
    assert grey[0] == pytest.approx(grey[1], rel=0.05)
    assert grey[0] > 0.01


def test_the_smallest_images_are_no_error() -> None:
    for side in (1, 2, 3):
        x = images(2, 3, side, side)
        for kind in KINDS:
            assert corrupt(x, kind, STRENGTHS[kind][2]).shape == x.shape


# --- passes ---


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_no_size_of_batch_changes_a_pass_and_a_pass_repeats_itself(kind: str, dtype: torch.dtype) -> None:
    x = images(9, 3, 16, 20).to(dtype)
    values = {"x": Values.of(modality(x), [x])}
    passes = []
    for size in (9, 9, 4, 1):
        corruption = Corruption(kind, STRENGTHS[kind][1], values)
        torch.rand(size)  # the global stream is no part of it
        passes.append(torch.cat([corruption("x", part) for part in x.split(size)]))
    assert all(torch.equal(each, passes[0]) for each in passes)


def test_the_noise_of_samples_modalities_and_channels_differs_and_that_of_strengths_does_not() -> None:
    x = torch.full((3, 2, 8, 8), 0.5)
    train = torch.tensor([-9.0, 9.0]).view(2, 1, 1, 1).expand(2, 2, 8, 8)
    values = Values.of(modality(x), [train])
    first = Corruption("gaussian_noise", 0.05, {"x": values, "y": values})
    weak, other = first("x", x) - x, first("y", x) - x
    strong = Corruption("gaussian_noise", 0.1, {"x": values})("x", x) - x
    assert torch.allclose(2 * weak, strong, atol=1e-4)
    parts = [*weak.flatten(0, 1), *other.flatten(0, 1)]
    assert all(not torch.allclose(a, b) for k, a in enumerate(parts) for b in parts[:k])


def test_the_global_random_state_is_left_alone() -> None:
    before = torch.get_rng_state()
    for kind in KINDS:
        corrupt(RGB, kind, STRENGTHS[kind][0])
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("kind", KINDS)
def test_networks_that_predict_in_half_precision_are_shown_the_same(kind: str) -> None:
    x = RGB.float()
    whole = corrupt(x, kind, STRENGTHS[kind][1])
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(corrupt(x, kind, STRENGTHS[kind][1]), whole)


# --- shapes and units ---


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_clip_is_corrupted_frame_by_frame(kind: str, channels: int) -> None:
    clip = images(2, channels, 3, 16, 16)
    ours = corrupt(clip, kind, STRENGTHS[kind][2])
    assert ours.shape == clip.shape
    assert ours.dtype == clip.dtype
    if kind == "gaussian_noise":
        return
    for frame in range(3):
        alone = corrupt(clip[:, :, frame], kind, STRENGTHS[kind][2])
        assert torch.equal(ours[:, :, frame], alone)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [2, 4])
def test_channels_that_make_no_picture_together_are_taken_one_at_a_time(kind: str, channels: int) -> None:
    x = images(3, channels, 16, 16)
    ours = corrupt(x, kind, STRENGTHS[kind][2])
    assert ours.shape == x.shape
    if kind == "gaussian_noise":
        return
    for channel in range(channels):
        alone = corrupt(x[:, channel : channel + 1], kind, STRENGTHS[kind][2])
        assert torch.equal(ours[:, channel : channel + 1], alone)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int16, torch.float16])
def test_other_types_go_through_the_range_of_training_and_back(kind: str, dtype: torch.dtype) -> None:
    """Values of -1000 to 1550, which are what 0 to 255 are to bytes."""
    own = (RGB.double() * 10 - 1000).to(dtype)
    ends = torch.tensor([-1000, 1550], dtype=dtype).view(2, 1, 1, 1).expand(2, 3, 32, 32)
    ours = corrupt(own, kind, STRENGTHS[kind][1], train=ends)
    assert ours.dtype == dtype
    as_image = corrupt(RGB, kind, STRENGTHS[kind][1])
    assert ((ours.double() + 1000) / 10 - as_image.double()).abs().max() <= 0.6
    assert -1000 <= float(ours.min()) <= float(ours.max()) <= 1550


def test_an_image_that_never_changes_has_a_range_all_the_same() -> None:
    x = torch.full((2, 1, 8, 8), 7.0)
    for kind in KINDS:
        assert corrupt(x, kind, STRENGTHS[kind][0]).isfinite().all()
    empty = torch.zeros(2, 1, 8, 8, dtype=torch.int16)
    for kind in KINDS:
        assert not corrupt(empty, kind, STRENGTHS[kind][0]).any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_hole_of_a_depth_map_stays_a_hole_and_no_other_appears(kind: str) -> None:
    depth = (images(4, 1, 32, 32).float() * 20 + 500).short()
    holes = torch.rand(depth.shape, generator=torch.Generator().manual_seed(2)) < 0.1
    depth[holes] = 0
    for strength in STRENGTHS[kind]:
        ours = corrupt(depth, kind, strength)
        assert torch.equal(ours == 0, holes)
        assert not torch.equal(ours, depth)
        assert int(ours[~holes].min()) >= int(depth[~holes].min())


def test_black_of_a_picture_is_no_hole() -> None:
    x = images(2, 1, 32, 32)
    x[:, :, :8] = 0
    for each in (x, x / 255, x.short().expand(2, 2, 32, 32)):
        assert (corrupt(each, "gaussian_noise", 0.1)[:, :, :8] > 0).any()
        assert not Values.of(modality(each), [each]).holes


def test_a_signal_gets_noise_in_units_of_each_channels_range_and_nothing_else() -> None:
    draw = torch.Generator().manual_seed(3)
    train = torch.rand(50, 2, 400, generator=draw) * torch.tensor([1.0, 1000.0]).view(2, 1) - 0.5
    x = train[:5] * 1.5  # beyond what training knew: a signal is not clipped
    for kind in KINDS:
        ours = corrupt(x, kind, STRENGTHS[kind][2], spatial=False, train=train)
        assert torch.equal(ours, x) == (kind != "gaussian_noise")
    ours = corrupt(x, "gaussian_noise", 0.1, spatial=False, train=train)
    spread = (ours - x).std((0, 2))
    assert spread.tolist() == pytest.approx([0.1, 100.0], rel=0.05)
    steps = corrupt((100 * x).short(), "gaussian_noise", 0.1, spatial=False, train=(100 * train).short())
    assert steps.dtype == torch.int16


# --- which networks, which samples ---


class Sees:
    """A predictor that notes what it is shown; it answers by the mean of its first modality."""

    training, head = False, None

    def __init__(self, *modalities: str):
        self.modalities, self.batches = modalities, []

    def predict(self, batch):
        self.batches.append(batch)
        mean = batch[self.modalities[0]].flatten(1).mean(1, keepdim=True)
        logits = mean * torch.arange(6.0)
        return logits, Activations(logits, mean, (), ())

    def train(self, mode=True):
        self.training = mode


def judge(data, *student: str, wanted: bool = True, memory: dict | None = None) -> CorruptedTest:
    fabric = Fabric(accelerator="cpu", devices=1)
    metrics = metrics_of(TinySenses(), data)
    return CorruptedTest(data, metrics, student, wanted, fabric, {} if memory is None else memory)


def test_every_kind_and_strength_is_scored_by_the_primary_metric() -> None:
    predictor = Sees("rgb")
    found = judge(tiny_data(), "rgb").scores(predictor)
    assert list(found) == [f"{kind}/{number}" for kind in KINDS for number in (1, 2, 3)]
    assert all(list(each) == ["top1"] for each in found.values())
    assert len(predictor.batches) == 15


def test_a_network_is_shown_its_own_modalities_alone_as_they_are_normalised() -> None:
    data, predictor = sensed_data("senses"), Sees("signal", "volume")
    judge(data, "signal", "volume").scores(predictor)
    (clean,) = in_order(data, data.test, ("signal", "volume"), torch.device("cpu"))
    for kind, batches in zip(KINDS, zip(*[iter(predictor.batches)] * 3, strict=True), strict=True):
        for batch in batches:
            assert batch.keys() == {"index", "label", "labelled", "signal", "volume"}
            # The signal passes all but the noise; the volume of the tiny task is an image.
            assert torch.equal(batch["signal"], clean["signal"]) == (kind != "gaussian_noise")
            if kind != "gaussian_blur":  # of 8 pixels there is hardly one
                assert not torch.equal(batch["volume"], clean["volume"])


def test_where_the_student_sees_no_image_noise_is_all_there_is_for_its_teacher_too() -> None:
    found = judge(sensed_data("senses"), "signal").scores(Sees("rgb", "signal"))
    assert list(found) == ["gaussian_noise/1", "gaussian_noise/2", "gaussian_noise/3"]


def test_nothing_is_opened_where_nothing_is_wanted_and_a_test_without_labels_has_no_scores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    predictor = Sees("rgb")
    assert judge(sensed_data("blind"), "rgb").scores(predictor) == {}
    data = tiny_data()
    unlabelled = dataclasses.replace(
        data, test=Samples(data.test.modalities, torch.full_like(data.test.labels, -1))
    )
    metrics = metrics_of(TinyTask(), data)
    some = CorruptedTest(unlabelled, metrics, ("rgb",), True, Fabric(accelerator="cpu", devices=1), {})
    assert some.scores(predictor) == {}
    monkeypatch.setattr(engine, "open_test", lambda data: pytest.fail("opened"))
    assert judge(data, "rgb", wanted=False).scores(predictor) == {}
    assert predictor.batches == []


def test_a_teacher_that_cohorts_share_is_tested_once_for_each_set_of_kinds() -> None:
    data, memory, teacher = sensed_data("senses"), {}, Sees("rgb", "signal")
    first = judge(data, "rgb", memory=memory).shared_scores("checksum", teacher)
    again = judge(data, "volume", memory=memory).shared_scores("checksum", teacher)
    fewer = judge(data, "signal", memory=memory).shared_scores("checksum", teacher)
    assert first is again
    assert len(teacher.batches) == 15 + 3
    assert fewer == {name: first[name] for name in fewer}


def test_the_range_of_values_is_that_of_the_training_part_and_never_of_the_test() -> None:
    data = sensed_data("senses")
    outlier = data.test.modalities["signal"].clone()
    outlier[0] = 1e6
    other = dataclasses.replace(data, test=Samples({"signal": outlier}, data.test.labels))
    shown = []
    for each in (data, other):
        predictor = Sees("signal")
        judge(each, "signal").scores(predictor)
        shown.append(predictor.batches[0]["signal"][1:])
    assert torch.equal(*shown)


@dataclass(frozen=True)
class Counted(Source):
    """Samples on disk, as far as the engine knows, that counts which are read."""

    held: Tensor
    read_rows: list[int] = field(default_factory=list)

    def read(self, row: int, names: frozenset[str], draw: object) -> Mapping[str, Tensor]:
        self.read_rows.append(row)
        return dict.fromkeys(names, self.held[row])


def test_the_range_is_that_of_every_training_sample_in_memory_and_on_disk() -> None:
    data = sensed_data("senses")
    signal = torch.randn(2_401, *data.modalities["signal"].shape, generator=generator(0, "signals"))
    signal[1], signal[2_399] = -50.0, 70.0
    labels = torch.zeros(len(signal), dtype=torch.int64)
    stored = Stored(Counted(signal), frozenset({"signal"}), torch.arange(len(signal)))
    shown = []
    for train in ({"signal": signal}, stored):
        predictor = Sees("signal")
        judge(dataclasses.replace(data, train=Samples(train, labels)), "signal").scores(predictor)
        shown.append(predictor.batches[0]["signal"])
    assert torch.equal(*shown)


def test_of_bytes_on_disk_one_sample_is_read() -> None:
    data, source = tiny_data(), Counted(images(600, *tiny_data().modalities["rgb"].shape))
    stored = Stored(source, frozenset({"rgb"}), torch.arange(600))
    train = Samples(stored, torch.zeros(600, dtype=torch.int64))
    judge(dataclasses.replace(data, train=train), "rgb").scores(Sees("rgb"))
    assert source.read_rows == [0]


# --- the command ---


def test_a_record_has_the_corrupted_tests_of_student_and_teacher(tmp_path: Path) -> None:
    assert run(tmp_path, "--corruptions", "--seeds", "0", "1", report=True) == 0
    found = list(records(tmp_path).values())
    keys = [f"{kind}/{number}" for kind in KINDS for number in (1, 2, 3)]
    for each in found:
        assert list(each.results.corrupted) == list(each.teacher.corrupted) == keys
        assert all(0 <= score["top1"] <= 1 for score in each.results.corrupted.values())
    assert found[0].teacher == found[1].teacher
    assert found[0].results.corrupted != found[0].teacher.corrupted
    text = (tmp_path / "t" / "tables" / "tiny_task_corruptions.md").read_text()
    assert "low resolution" in text
    assert "Tiny task: corrupted test samples" in (tmp_path / "t" / "report.html").read_text()


def test_without_the_flag_there_is_nothing_and_training_and_all_other_numbers_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("--pairs", "tiny_big-tiny_dropout")
    names = ("kd", "crd", "wcord")
    assert run(tmp_path / "with", *arguments, "--corruptions", baselines=names, probes=True) == 0
    monkeypatch.setattr(engine, "open_test", lambda data: pytest.fail("opened"))
    assert run(tmp_path / "without", *arguments, baselines=names, probes=True) == 0
    withs, withouts = records(tmp_path / "with"), records(tmp_path / "without")
    assert withs.keys() == withouts.keys()
    assert all(record.results.corrupted for record in withs.values())
    for slug, record in withouts.items():
        assert record.results.corrupted == record.teacher.corrupted == {}
        results, teacher = numbers(withs[slug])
        assert dataclasses.replace(results, corrupted={}) == record.results
        assert dataclasses.replace(teacher, corrupted={}) == record.teacher
        folders = [tmp_path / each / "t" / "runs" / slug for each in ("with", "without")]
        for name in ("history.jsonl", "weights.safetensors"):
            first, second = ((folder / name).read_bytes() for folder in folders)
            assert first == second
        with np.load(folders[0] / "arrays.npz") as first, np.load(folders[1] / "arrays.npz") as second:
            assert first.files == second.files
            assert all(np.array_equal(first[key], second[key], equal_nan=True) for key in first.files)


def test_a_student_without_an_image_is_said_to_have_noise_alone(tmp_path: Path) -> None:
    assert run(tmp_path, "--corruptions", task=SENSES, report=True) == 0
    (record,) = records(tmp_path).values()
    assert list(record.results.corrupted) == [f"gaussian_noise/{number}" for number in (1, 2, 3)]
    assert record.results.corrupted.keys() == record.teacher.corrupted.keys()
    text = (tmp_path / "t" / "tables" / f"{SENSES}_corruptions.txt").read_text()
    assert "Where the student sees no image there is gaussian noise alone" in " ".join(text.split())


def test_dense_tasks_are_tested_too(tmp_path: Path) -> None:
    command = ["--tasks", SENSES, "--datasets", "masks", "--results-dir", str(tmp_path), "--name", "t"]
    command += ["--pairs", "dense", "--baselines", "scratch", "--no-probes", "--no-report", "--corruptions"]
    assert main(command) == 0
    (record,) = records(tmp_path).values()
    assert {name for each in record.results.corrupted.values() for name in each} == {"miou"}


def test_a_run_that_is_recorded_is_not_repeated_for_them(tmp_path: Path) -> None:
    run(tmp_path, baselines=("kd",))
    before = records(tmp_path)
    run(tmp_path, "--corruptions", baselines=("kd", "scratch"))
    after = records(tmp_path)
    assert all(after[slug] == record for slug, record in before.items())
    assert [bool(record.results.corrupted) for slug, record in after.items() if slug not in before] == [True]


def test_killed_or_in_company_a_run_has_the_same_corrupted_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("--corruptions", "--epochs", "3", "--pairs", "tiny_big-tiny_dropout")
    run(tmp_path / "company", *arguments, baselines=("kd", "crd", "wcord"))
    run(tmp_path / "alone", *arguments, baselines=("wcord",))
    one_epoch, epochs = loop.Loop._one_epoch, iter(range(100))

    def killed(training, *arguments):
        if next(epochs) == 5:
            raise KeyboardInterrupt
        return one_epoch(training, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Loop, "_one_epoch", killed)
        assert run(tmp_path / "killed", *arguments, baselines=("wcord", "kd")) == 130
    run(tmp_path / "killed", *arguments, baselines=("wcord", "kd"))
    whole = records(tmp_path / "company")
    for other in ("alone", "killed"):
        for slug, record in records(tmp_path / other).items():
            assert record.results.corrupted
            assert numbers(record) == numbers(whole[slug])
