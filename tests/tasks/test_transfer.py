"""Transfer targets: what frozen features are asked beyond the data that they were learnt on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torchvision.datasets import STL10

from benchmark import Data, Modality, Request, Samples, Target, UserError
from benchmark.plugins import Registry
from tasks.compression.transfer import digits
from tests.tasks.test_nyuv2 import write as write_nyuv2


def data(name: str, shapes: dict[str, tuple[int, ...]], groups: list[int] | None = None) -> Data:
    count = 12 if groups is None else len(groups)
    samples = Samples(
        {modality: torch.zeros(count, *shape) for modality, shape in shapes.items()},
        torch.arange(count) % 3,
        None if groups is None else torch.tensor(groups),
    )
    train = samples if samples.groups is None else replace(samples, groups=samples.groups + 100)
    seen = {modality: Modality(shape, (0.0,), (1.0,)) for modality, shape in shapes.items()}
    return Data(name, train, samples, tuple("abc"), seen, "f", synthetic=True)


def fits(target: Target, to: Data) -> None:
    for part in (target.train, target.test):
        for name, x in part.modalities.items():
            assert tuple(x.shape[1:]) == to.modalities[name].shape
            assert len(x) == len(part.labels) > 0


def write_images(folder: Path, split: str = "") -> None:
    for label in ("cat", "dog"):
        (folder / split / label).mkdir(parents=True)
        for number in range(5):
            image = np.full((20, 24, 3), (10 * number, 90, 200), np.uint8)
            cv2.imwrite(str(folder / split / label / f"{number}.png"), image)


def test_digits_are_real_ones_at_the_size_of_the_data() -> None:
    target = digits((3, 32, 32))
    fits(target, data("shapes", {"rgb": (3, 32, 32)}))
    assert (len(target.train), len(target.test)) == (1078, 719)
    assert torch.bincount(target.test.labels).min() > 60
    together = torch.cat([target.train.modalities["rgb"], target.test.modalities["rgb"]])
    assert together.dtype == torch.uint8
    # Shrunk again they are scikit-learn's, in another order.
    small = torch.nn.functional.avg_pool2d(together[:, 0].float(), 4) * 16 / 255
    ours, theirs = small.mean(0).flatten().numpy(), load_digits().data.mean(0)
    assert np.corrcoef(ours, theirs)[0, 1] > 0.99


def test_compression_asks_for_digits_and_for_what_the_folder_has(tmp_path: Path, registry: Registry) -> None:
    task, ours = registry.tasks["compression"], data("shapes", {"rgb": (3, 32, 32)})
    assert list(task.transfer(ours, Request())) == ["digits"]
    write_images(tmp_path / "image_folder")
    targets = task.transfer(ours, Request(tmp_path))
    assert list(targets) == ["digits", "image_folder"]
    fits(targets["image_folder"](), ours)
    itself = data("image_folder_64", {"rgb": (3, 64, 64)})
    assert list(task.transfer(itself, Request(tmp_path))) == ["digits"]


def test_stl10_is_read_where_it_is_and_a_damaged_one_is_named(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "stl10" / "stl10_binary"
    folder.mkdir(parents=True)
    (folder / "class_names.txt").write_text("airplane\n")
    for split, count in (("train", 4), ("test", 3)):
        np.zeros((count, 3, 96, 96), np.uint8).tofile(folder / f"{split}_X.bin")
        np.arange(1, count + 1, dtype=np.uint8).tofile(folder / f"{split}_y.bin")
    ours = data("shapes", {"rgb": (3, 32, 32)})
    task = registry.tasks["compression"]
    with pytest.raises(UserError, match="stl10_binary is no intact STL-10"):
        task.transfer(ours, Request(tmp_path))
    monkeypatch.setattr(STL10, "_check_integrity", lambda self: True)
    target = task.transfer(ours, Request(tmp_path))["stl10"]()
    fits(target, ours)
    assert target.train.labels.tolist() == [0, 1, 2, 3]


def test_dense_networks_are_asked_for_the_scene_and_others_for_real_scenes(
    tmp_path: Path, registry: Registry
) -> None:
    task = registry.tasks["cross_modal"]
    ours = data("rooms", {"rgb": (3, 40, 40), "depth": (1, 40, 40)})
    assert list(task.transfer(ours, Request())) == []
    write_nyuv2(tmp_path / "nyuv2")
    targets = task.transfer(ours, Request(tmp_path))
    assert list(targets) == ["nyuv2"]
    target = targets["nyuv2"]()
    fits(target, ours)
    assert target.train.modalities["depth"].dtype == torch.int16
    dense = data("nyuv2_segmentation_13", {"rgb": (3, 96, 128), "depth": (1, 96, 128)})
    assert list(task.transfer(dense, Request(tmp_path))) == ["nyuv2"]
    assert list(task.transfer(data("rooms_segmentation", {"depth": (1, 40, 40)}), Request())) == ["rooms"]


def test_colour_networks_are_asked_for_the_colours_of_other_images(
    tmp_path: Path, registry: Registry
) -> None:
    write_images(tmp_path / "image_folder")
    ours = data("luma_chroma_cifar10", {"luma": (1, 32, 32), "chroma": (2, 32, 32)})
    targets = registry.tasks["cross_modal"].transfer(ours, Request(tmp_path))
    assert list(targets) == ["luma_chroma_image_folder"]
    fits(targets["luma_chroma_image_folder"](), ours)


def test_new_subjects_are_divided_in_two(registry: Registry) -> None:
    task = registry.tasks["privileged"]
    ours = data("motions", {"video": (1, 4, 8, 8)}, groups=[2, 2, 4, 6, 8, 8, 4, 2])
    (name, load), *others = task.transfer(ours, Request()).items()
    assert (name, others) == ("new_subjects", [])
    target = load()
    assert sorted(target.train.groups.unique().tolist()) == [2, 6]
    assert sorted(target.test.groups.unique().tolist()) == [4, 8]


def test_subjects_that_networks_were_trained_on_are_not_new(registry: Registry) -> None:
    """Another camera on the same people, say."""
    ours = data("ntu", {"video": (1, 4, 8, 8)}, groups=[2, 2, 4, 6])
    ours = replace(ours, train=replace(ours.train, groups=torch.tensor([6] * len(ours.train))))
    assert registry.tasks["privileged"].transfer(ours, Request()) == {}


@pytest.mark.parametrize("groups", [None, [5] * 6])
def test_without_two_subjects_there_are_no_new_ones(registry: Registry, groups: list[int] | None) -> None:
    ours = data("video_folder", {"video": (1, 4, 8, 8)}, groups)
    assert registry.tasks["privileged"].transfer(ours, Request()) == {}
