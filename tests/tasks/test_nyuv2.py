"""NYU Depth v2: a small file of the published schema, its splits and class mappings, and damaged ones."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from scipy.io import savemat

from benchmark import Data, Request, UserError
from benchmark.contracts import IGNORE
from tasks.cross_modal import cards, nyuv2

SCENES = (
    ["kitchen_0001"] * 3 + ["bedroom_0002"] * 2 + ["cafe_0001"] * 2 + ["office_0003"] * 3 + ["bedroom_0001"]
)
ROWS, COLUMNS = cards.NYUV2_SIZE
TO_40 = 1 + np.arange(894) % 40
TO_13 = 1 + np.arange(40) % 13


def contents(size: tuple[int, int] = cards.NYUV2_SIZE) -> dict[str, np.ndarray]:
    """Random images [N, 3, columns, rows], depths in metres and labels, as HDF5 shows MATLAB's arrays."""
    draw, (rows, columns) = np.random.default_rng(0), size
    shape = (len(SCENES), columns, rows)
    return {
        "images": draw.integers(0, 256, (len(SCENES), 3, columns, rows), dtype=np.uint8),
        "depths": draw.uniform(0.7, 9.9, shape).astype(np.float32),
        "labels": draw.integers(0, 895, shape, dtype=np.uint16),
    }


def write_cells(file: h5py.File, name: str, strings: list[str]) -> None:
    """A cell array of strings as MATLAB 7.3 keeps it: references to 16-bit character codes."""
    references = []
    for number, each in enumerate(strings):
        codes = np.array([[ord(letter)] for letter in each], np.uint16)
        cell = file.create_dataset(f"#refs#/{name}{number}", data=codes)
        cell.attrs["MATLAB_class"] = np.bytes_("char")
        references.append(cell.ref)
    file.create_dataset(name, data=np.array([references], h5py.ref_dtype), dtype=h5py.ref_dtype)


def write(folder: Path, arrays: dict[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
    """Writes the labelled file, and returns what it holds."""
    arrays = contents() if arrays is None else arrays
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / cards.LABELLED, "w") as file:
        for name, values in arrays.items():
            file[name] = values
        write_cells(file, "scenes", SCENES)
        write_cells(file, "sceneTypes", [scene[:-5] for scene in SCENES])
    return arrays


def write_mappings(folder: Path) -> None:
    names = np.array([f"forty {number}" for number in range(1, 41)], object)
    savemat(folder / "classMapping40.mat", {"mapClass": TO_40[None].astype(np.uint8), "className": names})
    names = np.array([f"thirteen {number}" for number in range(1, 14)], object)
    struct = {"labels13": TO_13[None].astype(np.uint8), "className": names}
    savemat(folder / "class13Mapping.mat", {"classMapping13": struct})


def load(folder: Path, name: str = "nyuv2", **options: object) -> Data:
    return cards.cards()[name].load(Request(folder, **options))


def test_images_depths_and_labels_are_turned_to_rows_and_columns(tmp_path: Path) -> None:
    arrays = write(tmp_path)
    write_mappings(tmp_path)
    savemat(tmp_path / "splits.mat", {"trainNdxs": np.arange(1, 8)[:, None], "testNdxs": [[8, 9, 10, 11]]})
    train = load(tmp_path, "nyuv2_segmentation_40").train
    rgb, depth = train.modalities["rgb"], train.modalities["depth"]
    assert (rgb.shape, rgb.dtype) == ((7, 3, ROWS, COLUMNS), torch.uint8)
    assert (depth.shape, depth.dtype) == ((7, 1, ROWS, COLUMNS), torch.int16)
    for place, row, column in ((0, 0, 0), (3, 5, 120), (6, 95, 127)):
        assert rgb[place, :, row, column].tolist() == arrays["images"][place, :, column, row].tolist()
        assert abs(depth[place, 0, row, column] / 1000 - arrays["depths"][place, column, row]) <= 0.00051
        label = arrays["labels"][place, column, row]
        assert train.labels[place, row, column] == (TO_40[label - 1] - 1 if label else IGNORE)


def test_a_hole_is_never_mixed_into_its_neighbours(tmp_path: Path) -> None:
    arrays = contents((2 * ROWS, 2 * COLUMNS))
    arrays["depths"][:] = 2.5
    arrays["depths"][:, ::3] = 0
    write(tmp_path, arrays)
    assert load(tmp_path).train.modalities["depth"].unique().tolist() == [0, 2500]


def test_scenes_are_the_nine_frequent_kinds_and_others(tmp_path: Path) -> None:
    write(tmp_path)
    data = load(tmp_path)
    assert len(data.classes) == 10
    labels = torch.cat([data.train.labels, data.test.labels])
    counts = {data.classes[label]: int((labels == label).sum()) for label in labels.unique()}
    assert counts == {"kitchen": 3, "bedroom": 3, "office": 3, "other": 2}


def test_without_a_split_file_every_third_scene_is_tested_on_and_none_is_torn(tmp_path: Path) -> None:
    write(tmp_path)
    data = load(tmp_path)
    assert not {*data.train.groups.tolist()} & {*data.test.groups.tolist()}
    assert data.test.groups.tolist() == [
        2,
        2,
    ]  # bedroom_0001, bedroom_0002, cafe_0001, kitchen_..., office_...
    assert [data.classes[label] for label in data.test.labels] == ["other", "other"]


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_the_official_split_counts_from_one_in_either_version_of_matlab(tmp_path: Path, version: str) -> None:
    arrays = write(tmp_path)
    content = {"trainNdxs": np.array([[1], [4], [11]]), "testNdxs": np.array([[2], [8]])}
    if version == "5":
        savemat(tmp_path / "splits.mat", content)
    else:
        with h5py.File(tmp_path / "splits.mat", "w") as file:
            for name, values in content.items():
                file[name] = values.T.astype(np.float64)
    data = load(tmp_path)
    for samples, places in ((data.train, [0, 3, 10]), (data.test, [1, 7])):
        expected = torch.from_numpy(arrays["images"][places].transpose(0, 1, 3, 2).copy())
        assert samples.modalities["rgb"].equal(expected)


@pytest.mark.parametrize(
    ("train", "test", "problem"),
    [([1, 2], [3, 99], r"outside 1\.\.11"), ([1, 2], [2, 3], "twice"), ([0, 1], [2], r"outside 1\.\.11")],
)
def test_a_split_that_does_not_fit_is_an_error(
    tmp_path: Path, train: list[int], test: list[int], problem: str
) -> None:
    write(tmp_path)
    savemat(tmp_path / "splits.mat", {"trainNdxs": train, "testNdxs": test})
    with pytest.raises(UserError, match=problem):
        load(tmp_path)


def test_thirteen_classes_come_by_way_of_the_forty(tmp_path: Path) -> None:
    arrays = write(tmp_path)
    write_mappings(tmp_path)
    savemat(tmp_path / "splits.mat", {"trainNdxs": [1, 2, 3], "testNdxs": [4]})
    data = load(tmp_path, "nyuv2_segmentation_13")
    assert data.classes[0] == "thirteen 1"
    assert data.dense
    labels = arrays["labels"][:3].transpose(0, 2, 1)
    expected = np.where(labels == 0, IGNORE, TO_13[TO_40[labels.astype(int) - 1] - 1] - 1)
    assert data.train.labels.numpy().tolist() == expected.tolist()


def test_mappings_of_version_7_3_and_of_other_names_are_read(tmp_path: Path) -> None:
    write(tmp_path)
    write_mappings(tmp_path)
    plain = load(tmp_path, "nyuv2_segmentation_13")
    (tmp_path / "class13Mapping.mat").unlink()
    with h5py.File(tmp_path / "classMapping13.mat", "w") as file:
        file["mapping/from_894"] = TO_13[TO_40 - 1][:, None]
        write_cells(file, "names", [f"class {number}" for number in range(1, 14)])
    other = load(tmp_path, "nyuv2_segmentation_13")
    assert other.train.labels.equal(plain.train.labels)
    assert other.classes == tuple(f"class {number}" for number in range(1, 14))


@pytest.mark.parametrize(
    ("classes", "missing"),
    [(40, "classMapping40.mat"), (13, "class13Mapping.mat"), (13, "classMapping40.mat")],
)
def test_a_missing_mapping_is_named(tmp_path: Path, classes: int, missing: str) -> None:
    write(tmp_path)
    write_mappings(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(UserError, match=rf"{missing} is missing"):
        load(tmp_path, f"nyuv2_segmentation_{classes}")


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("depths", np.nan, "no numbers"),
        ("depths", np.inf, "no numbers"),
        ("depths", 0.0, "zero everywhere"),
        ("labels", 895, "the label 895, above 894"),
    ],
)
def test_a_bad_image_is_named_and_left_out_only_where_that_is_asked_for(
    tmp_path: Path, name: str, value: float, problem: str
) -> None:
    arrays = contents()
    arrays[name][8] = value
    write(tmp_path, arrays)
    with pytest.raises(UserError, match=rf"image 9 \(office_0003\): .*{problem}"):
        load(tmp_path)
    lines: list[str] = []
    data = load(tmp_path, bad_samples="skip", say=lines.append)
    assert len(data.train) + len(data.test) == len(SCENES) - 1
    names = sorted(set(SCENES))
    for samples in (data.train, data.test):
        for image, label, group in zip(
            samples.modalities["rgb"], samples.labels, samples.groups, strict=True
        ):
            same = (arrays["images"] == image.permute(0, 2, 1).numpy()).all((1, 2, 3))
            (scene,) = (SCENES[place] for place in np.flatnonzero(same))
            kind = scene[:-5] if scene[:-5] in data.classes else "other"
            assert (data.classes[label], names[group]) == (kind, scene)
    assert "1 bad samples skipped" in lines[0]
    assert "image 9" in lines[0]


@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_a_file_that_is_not_whole_is_an_error(tmp_path: Path, damage: str) -> None:
    write(tmp_path)
    file = tmp_path / cards.LABELLED
    whole = file.read_bytes()
    file.write_bytes({"truncated": whole[: len(whole) // 2], "text": b"no MATLAB file", "empty": b""}[damage])
    with pytest.raises(UserError, match=r"nyu_depth_v2_labeled\.mat is damaged or no MATLAB"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["images", "depths", "labels"])
def test_a_missing_variable_is_named(tmp_path: Path, name: str) -> None:
    arrays = contents()
    del arrays[name]
    write(tmp_path, arrays)
    with pytest.raises(UserError, match=f"no variable '{name}'"):
        load(tmp_path)


def test_a_variable_of_another_shape_is_named(tmp_path: Path) -> None:
    arrays = contents()
    arrays["depths"] = arrays["depths"][:-1]
    write(tmp_path, arrays)
    with pytest.raises(UserError, match="depths has the shape"):
        load(tmp_path)


def test_a_damaged_mapping_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "classMapping40.mat").write_bytes(b"no MATLAB file at all" * 20)
    with pytest.raises(UserError, match=r"classMapping40\.mat is damaged"):
        load(tmp_path, "nyuv2_segmentation_40")


def test_a_mapping_with_classes_beyond_the_last_is_an_error(tmp_path: Path) -> None:
    write(tmp_path)
    savemat(tmp_path / "classMapping40.mat", {"mapClass": TO_40 + 1})
    with pytest.raises(UserError, match=r"its classes are 2\.\.41"):
        load(tmp_path, "nyuv2_segmentation_40")


def test_one_decoding_serves_all_three_datasets_and_every_later_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "nyuv2")
    write_mappings(tmp_path / "nyuv2")
    first = load(tmp_path, cache=tmp_path / "cache")
    monkeypatch.delattr(nyuv2, "_sample")
    again = load(tmp_path, cache=tmp_path / "cache")
    dense = load(tmp_path, "nyuv2_segmentation_40", cache=tmp_path / "cache")
    assert again.fingerprint == first.fingerprint
    assert dense.train.modalities["depth"].equal(first.train.modalities["depth"])


@pytest.mark.parametrize("name", ["nyuv2", "nyuv2_segmentation_13", "nyuv2_segmentation_40"])
def test_a_folder_without_the_file_is_told_what_is_expected(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"nyuv2/nyu_depth_v2_labeled\.mat"):
        load(tmp_path, name)
