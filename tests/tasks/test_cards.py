"""Cards and pairs need no heavy library, and a card names the files that its dataset is read from."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmark import DatasetCard, Request, UserError
from benchmark.plugins import Registry

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "torchvision", "torchaudio", "cv2", "av", "h5py", "numpy", "pandas", "pyarrow", "scipy")

LISTED = """
import sys
for name in {heavy!r}:
    sys.modules[name] = None
from pathlib import Path
from benchmark import Request, plugins
registry = plugins.load_tasks()
for task in registry.tasks.values():
    task.presets()
    for name, card in task.datasets().items():
        assert task.pairs(name), name
        if card.files is not None and {folder!r} and name in {there!r}:
            print(len(list(card.files(Request(Path({folder!r}))))))
"""


def listed(folder: str = "", there: tuple[str, ...] = ()) -> str:
    """What the snippet above prints in a process without any heavy library."""
    code = LISTED.format(heavy=HEAVY, folder=folder, there=there)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def image(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), np.full((8, 8, 3), 90, np.uint8))
    return file


def empty(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    return file


def images(folder: Path) -> list[Path]:
    return [image(folder / "image_folder" / split / "cat" / "a.png") for split in ("train", "test")]


def parquet(folder: Path) -> list[Path]:
    return [empty(folder / "cifar10" / name) for name in ("test.parquet", "train.parquet")]


def pickles(folder: Path) -> list[Path]:
    inner = folder / "cifar100" / "cifar-100-python"
    return [empty(inner / name) for name in ("meta", "test", "train")]


def rooms(folder: Path) -> list[Path]:
    parts = [folder / "rgbd_folder" / part / "one.png" for part in ("color", "depth")]
    return [*map(image, parts)]


def nyuv2(folder: Path) -> list[Path]:
    return [empty(folder / "nyuv2" / name) for name in ("nyu_depth_v2_labeled.mat", "splits.mat")]


def sequences(folder: Path) -> list[Path]:
    names = ("Depth/a1_s1_t1_depth.mat", "Inertial/a1_s1_t1_inertial.mat", "Skeleton/a1_s1_t1_skeleton.mat")
    return [empty(folder / "utd_mhad" / name) for name in names]


def skeletons(folder: Path) -> list[Path]:
    return [empty(folder / "ntu" / "nturgb+d_skeletons" / "S001C001P001R001A001.skeleton")]


def videos(folder: Path) -> list[Path]:
    inner = folder / "video_folder"
    names = ("test/run/c.mp4", "train/run/a.mp4", "train/run/a.wav")
    return [empty(inner / name) for name in names]


PLACES: dict[str, Callable[[Path], list[Path]]] = {
    "image_folder": images,
    "cifar10": parquet,
    "cifar100": pickles,
    "luma_chroma_cifar10": parquet,
    "nyuv2": nyuv2,
    "utd_mhad": sequences,
    "ntu": skeletons,
    "video_folder": videos,
}


def card_of(registry: Registry, name: str) -> DatasetCard:
    return next(task.datasets()[name] for task in registry.tasks.values() if name in task.datasets())


def test_cards_pairs_and_presets_need_no_heavy_library() -> None:
    listed()


@pytest.mark.parametrize("name", PLACES)
def test_a_card_names_the_files_that_are_there(name: str, tmp_path: Path, registry: Registry) -> None:
    written = PLACES[name](tmp_path)
    files = card_of(registry, name).files
    assert files is not None
    assert sorted(files(Request(tmp_path))) == sorted(written)
    assert listed(str(tmp_path), (name,)).split() == [str(len(written))]


@pytest.mark.parametrize("name", PLACES)
def test_missing_files_are_the_error_of_the_reader(name: str, tmp_path: Path, registry: Registry) -> None:
    card = card_of(registry, name)
    assert card.files is not None
    lines = []
    for ask in (card.files, card.load):
        with pytest.raises(UserError) as missing:
            ask(Request(tmp_path))
        lines.append(str(missing.value))
    assert lines[0] == lines[1]


def test_every_real_dataset_names_its_files_and_no_embedded_one_does(registry: Registry) -> None:
    for task in registry.tasks.values():
        if type(task).__module__.startswith("tasks."):
            for name, card in task.datasets().items():
                assert (card.files is None) is card.synthetic, name


def test_a_folder_of_colour_and_depth_names_both_and_its_tables(tmp_path: Path, registry: Registry) -> None:
    rooms(tmp_path)
    table = tmp_path / "rgbd_folder" / "labels.csv"
    table.write_text("file,label\none,room\n")
    (tmp_path / "rgbd_folder" / "classes.txt").write_text("room\n")
    (tmp_path / "rgbd_folder" / "depth_scale.txt").write_text("relative\n")
    files = card_of(registry, "rgbd_folder").files
    assert files is not None
    found = {file.name for file in files(Request(tmp_path))}
    assert found == {"one.png", "labels.csv", "classes.txt", "depth_scale.txt"}
