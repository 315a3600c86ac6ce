"""Property: whatever is wrong with a file of data ends in one line, in a named skip, or in correct use.

Each test makes up malformed inputs of one kind, more than a thousand in all.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmark import Data, DatasetCard, Request, UserError
from benchmark.contracts import IGNORE
from benchmark.contracts.data import BadSamples
from benchmark.data.loading import cached
from tasks.compression import cards as images
from tasks.cross_modal import cards as scenes
from tasks.privileged import cards as motions
from tests.tasks.test_ntu import write_dataset as write_ntu
from tests.tasks.test_nyuv2 import contents as nyuv2_contents
from tests.tasks.test_nyuv2 import write as write_nyuv2
from tests.tasks.test_nyuv2 import write_mappings
from tests.tasks.test_rgbd_folder import write_pair
from tests.tasks.test_utd_mhad import path_of, write_clip

POLICIES = st.sampled_from(["stop", "skip"])


def inputs(count: int) -> settings:
    """`count` made-up inputs, the same ones in every run; one that takes five seconds fails."""
    return settings(
        max_examples=count,
        deadline=5000,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@st.composite
def damages(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Something that alters the bytes of a file: cut off, flipped, overwritten, inserted, or all gone."""
    places = st.floats(0, 1, exclude_max=True)
    kind = draw(st.sampled_from(["cut", "flip", "flip", "overwrite", "insert", "head", "empty", "other"]))
    where = draw(st.lists(places, min_size=1, max_size=6))
    bits, filling = draw(st.integers(0, 7)), draw(st.binary(min_size=1, max_size=24))

    def alter(content: bytes) -> bytes:
        place = int(where[0] * len(content))
        altered = bytearray(content)
        if kind == "cut":
            return content[:place]
        if kind == "flip":
            for each in where:
                altered[int(each * len(content))] ^= 1 << bits
        elif kind == "head":
            for each in where:
                altered[int(each * min(len(content), 160))] ^= 1 << bits
        elif kind == "overwrite":
            altered[place : place + len(filling)] = filling
        elif kind == "insert":
            altered[place:place] = filling
        else:
            return b"" if kind == "empty" else filling
        return bytes(altered)

    return alter


def checked(card: DatasetCard, folder: Path, policy: BadSamples) -> Data | None:
    """Loads a dataset; what it says and what it is refused with is one line each, what it gives is sound."""
    said: list[str] = []
    data = None
    try:
        data = card.load(Request(folder, bad_samples=policy, say=said.append))
    except UserError as error:
        said.append(str(error))
    assert all(line.isprintable() and line for line in said), said
    if data is None:
        return None
    for part in (data.train, data.test):
        assert len(part) > 0
        assert int(part.labels.min()) >= IGNORE
        assert int(part.labels.max()) < max(len(data.classes), 1)
        for name, x in part.modalities.items():
            assert tuple(x.shape) == (len(part), *data.modalities[name].shape)
            assert bool(torch.isfinite(x.float()).all())
    return data


@dataclass(frozen=True)
class Folder:
    """A sound dataset on disk, one file of which is altered at a time."""

    root: Path
    card: DatasetCard
    sound: dict[Path, bytes]

    @classmethod
    def of(cls, root: Path, card: DatasetCard) -> Folder:
        sound = {file: file.read_bytes() for file in sorted(root.rglob("*")) if file.is_file()}
        folder = cls(root, card, sound)
        assert folder.load("stop") is not None
        return folder

    def load(self, policy: BadSamples) -> Data | None:
        return checked(self.card, self.root, policy)

    def load_with(self, file: Path, content: bytes, policy: BadSamples) -> Data | None:
        """Loads it while `file` has this content."""
        file.write_bytes(content)
        try:
            return self.load(policy)
        finally:
            file.write_bytes(self.sound[file]) if file in self.sound else file.unlink()


# Label tables


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    root = tmp_path_factory.mktemp("pairs")
    for number in range(6):
        write_pair(root / "rgbd_folder", f"{number:03d}", number, size=8)
    rows = "".join(
        f"{number:03d}.png,{'ab'[number % 2]},{['train', 'test'][number % 2]}\n" for number in range(6)
    )
    (root / "rgbd_folder" / "labels.csv").write_text("file,label,split\n" + rows)
    return Folder.of(root, scenes.cards()["rgbd_folder"])


CELLS = st.one_of(
    st.sampled_from(
        ["000.png", "001", "a", "b", "train", "test", "", "../../etc/passwd", "file", "label", '"', "\n"]
    ),
    st.text(max_size=8),
)


@inputs(80)
@given(st.lists(st.lists(CELLS, max_size=5), max_size=8), st.sampled_from([",", ";"]), POLICIES)
def test_tables_of_any_cells(pairs: Folder, rows: list[list[str]], comma: str, policy: BadSamples) -> None:
    text = "file,label,split\n" + "\n".join(comma.join(row) for row in rows)
    pairs.load_with(pairs.root / "rgbd_folder" / "labels.csv", text.encode(errors="surrogatepass"), policy)


@inputs(120)
@given(damages(), st.sampled_from(["labels.csv", "classes.txt", "depth_scale.txt"]), POLICIES)
def test_damaged_tables(
    pairs: Folder, damage: Callable[[bytes], bytes], name: str, policy: BadSamples
) -> None:
    file = pairs.root / "rgbd_folder" / name
    sound = {"classes.txt": b"a\nb\n", "depth_scale.txt": b"1000.0"}.get(name) or pairs.sound[file]
    pairs.load_with(file, damage(sound), policy)


# Parquet


def parquet(images: object, labels: object) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table({"img": images, "label": labels}), stream)
    return stream.getvalue()


def png(size: int = 32) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (size, size), (90, 40, 10)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    root = tmp_path_factory.mktemp("tables")
    content = parquet([{"bytes": png(), "path": "a"}] * 6, list(range(6)))
    for split in ("train", "test"):
        (root / f"{split}.parquet").write_bytes(content)
    return Folder.of(root, images.cards()["cifar10"])


@inputs(150)
@given(damages(), POLICIES)
def test_damaged_parquet_files(tables: Folder, damage: Callable[[bytes], bytes], policy: BadSamples) -> None:
    file = tables.root / "train.parquet"
    tables.load_with(file, damage(tables.sound[file]), policy)


LABELS = st.one_of(
    st.lists(st.one_of(st.none(), st.integers(-(2**62), 2**62), st.integers(0, 9)), min_size=4, max_size=4),
    st.lists(st.one_of(st.none(), st.floats(), st.sampled_from([0.0, 3.0, 1.7])), min_size=4, max_size=4),
    st.lists(st.one_of(st.none(), st.text(max_size=9)), min_size=4, max_size=4),
    st.lists(st.booleans(), min_size=4, max_size=4),
    st.lists(st.binary(max_size=5), min_size=4, max_size=4),
    st.lists(st.lists(st.integers(0, 9), max_size=2), min_size=4, max_size=4),
    st.lists(st.datetimes(), min_size=4, max_size=4),
    st.lists(
        st.decimals(allow_nan=False, allow_infinity=False, places=1, min_value=-9, max_value=9),
        min_size=4,
        max_size=4,
    ),
)
ENCODED = st.one_of(st.none(), st.sampled_from([png(), png(16)]), st.binary(max_size=40))
COLUMNS = st.one_of(
    st.lists(st.fixed_dictionaries({"bytes": ENCODED}) | st.none(), min_size=4, max_size=4),
    st.lists(st.fixed_dictionaries({"bytes": st.text(max_size=4)}), min_size=4, max_size=4),
    st.lists(st.binary(max_size=9), min_size=4, max_size=4),
    st.lists(st.integers(0, 9), min_size=4, max_size=4),
)


@inputs(120)
@given(st.one_of(st.just([{"bytes": png()}] * 4), COLUMNS), LABELS, POLICIES)
def test_parquet_files_of_any_columns(tables: Folder, column: list, labels: list, policy: BadSamples) -> None:
    data = tables.load_with(tables.root / "train.parquet", parquet(column, labels), policy)
    if data is not None:
        sound = [each for each in labels if isinstance(each, int | float) and not isinstance(each, bool)]
        assert set(data.train.labels.tolist()) <= {each for each in sound if 0 <= each <= 9}


# Pictures

MODES = ["RGB", "L", "P", "1", "RGBA", "LA", "CMYK", "YCbCr", "I;16", "I", "F", "HSV", "LAB"]
FORMATS = ["PNG", "JPEG", "BMP", "WEBP", "PPM", "TIFF", "GIF", "ICO", "JPEG2000"]


def picture(mode: str, kind: str, size: tuple[int, int], frames: int) -> bytes:
    """A picture of one grey in a mode and a format, as RGB where the format has no such mode."""
    base = Image.new("L", size, 77)
    plain = base.convert("I").convert("I;16") if mode == "I;16" else Image.new(mode, size)
    more = {"save_all": True, "append_images": [plain] * (frames - 1)} if frames > 1 else {}
    for each, options in ((plain, more), (base.convert("RGB"), {})):
        stream = io.BytesIO()
        try:
            each.save(stream, kind, **options)
        except (OSError, ValueError, KeyError, TypeError):
            continue
        return stream.getvalue()
    raise AssertionError(f"{kind} can't be written")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    root = tmp_path_factory.mktemp("tree")
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (root / split / name).mkdir(parents=True)
            for number in range(2):
                (root / split / name / f"{number}.png").write_bytes(png())
    return Folder.of(root, images.cards()["image_folder"])


PICTURES = st.builds(
    picture,
    st.sampled_from(MODES),
    st.sampled_from(FORMATS),
    st.sampled_from([(1, 1), (3, 50), (16, 16), (40, 33)]),
    st.integers(1, 3),
)


@inputs(60)
@given(PICTURES, POLICIES)
def test_pictures_of_any_mode_and_format(tree: Folder, content: bytes, policy: BadSamples) -> None:
    tree.load_with(tree.root / "train" / "cat" / "1.png", content, policy)


@inputs(220)
@given(PICTURES, damages(), POLICIES)
def test_damaged_pictures(
    tree: Folder, content: bytes, damage: Callable[[bytes], bytes], policy: BadSamples
) -> None:
    tree.load_with(tree.root / "train" / "cat" / "1.png", damage(content), policy)


# UTD-MHAD and NTU


@pytest.fixture(scope="module")
def sequences(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    root = tmp_path_factory.mktemp("sequences")
    for subject in (1, 2, 3):
        write_clip(root, f"a1_s{subject}_t1")
    return Folder.of(root, motions.cards()["utd_mhad"])


SENSORS = st.sampled_from(["depth", "inertial", "skeleton"])


@inputs(90)
@given(damages(), SENSORS, POLICIES)
def test_damaged_mat_files(
    sequences: Folder, damage: Callable[[bytes], bytes], sensor: str, policy: BadSamples
) -> None:
    file = path_of(sequences.root, "a1_s3_t1", sensor)
    sequences.load_with(file, damage(sequences.sound[file]), policy)


@st.composite
def variables(draw: st.DrawFn) -> object:
    """What a MAT file may hold under the name of a variable."""
    shape = draw(
        st.sampled_from([(120, 160, 3), (20, 3, 6), (20, 3, 1), (15, 6), (2, 6), (0, 6), (6,), (1, 1)])
    )
    kind = draw(st.sampled_from(["float64", "float32", "uint16", "int16", "int8", "complex64", "bool"]))
    filling = draw(st.sampled_from([0, 1, 2800, -1, 1e5, 1e30, 1e-320, 1e300, np.nan, np.inf]))
    with np.errstate(all="ignore"):
        x = np.full(shape, filling).astype(kind)
        x[..., :1] = x[..., :1] * 2 if kind != "bool" else x[..., :1]
    return draw(st.sampled_from([x, x, x, x, {"x": 1.0}, "text", np.array([{}, "a"], object)]))


@inputs(70)
@given(variables(), SENSORS, POLICIES)
def test_mat_files_of_any_variable(sequences: Folder, value: object, sensor: str, policy: BadSamples) -> None:
    stream = io.BytesIO()
    names = {"depth": "d_depth", "inertial": "d_iner", "skeleton": "d_skel"}
    scipy.io.savemat(stream, {names[sensor]: value})
    sequences.load_with(path_of(sequences.root, "a1_s3_t1", sensor), stream.getvalue(), policy)


@pytest.fixture(scope="module")
def skeletons(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    root = tmp_path_factory.mktemp("skeletons")
    write_ntu(root)
    return Folder.of(root, motions.cards()["ntu"])


@inputs(40)
@given(damages(), POLICIES)
def test_damaged_skeleton_files(
    skeletons: Folder, damage: Callable[[bytes], bytes], policy: BadSamples
) -> None:
    file = sorted(skeletons.sound)[0]
    skeletons.load_with(file, damage(skeletons.sound[file]), policy)


# NYU Depth v2


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    root = tmp_path_factory.mktemp("rooms")
    write_nyuv2(root, nyuv2_contents((6, 8)))
    write_mappings(root)
    halves = {"trainNdxs": np.arange(1, 8)[:, None], "testNdxs": np.arange(8, 12)[:, None]}
    scipy.io.savemat(root / "splits.mat", halves)
    return Folder.of(root, scenes.cards()["nyuv2_segmentation_13"])


@inputs(90)
@given(damages(), POLICIES)
def test_damaged_labelled_files_of_nyuv2(
    rooms: Folder, damage: Callable[[bytes], bytes], policy: BadSamples
) -> None:
    file = rooms.root / scenes.LABELLED
    rooms.load_with(file, damage(rooms.sound[file]), policy)


@inputs(60)
@given(damages(), st.sampled_from([scenes.SPLITS, *scenes.MAPPING_40, scenes.MAPPING_13[0]]), POLICIES)
def test_damaged_splits_and_mappings_of_nyuv2(
    rooms: Folder, damage: Callable[[bytes], bytes], name: str, policy: BadSamples
) -> None:
    file = rooms.root / name
    rooms.load_with(file, damage(rooms.sound[file]), policy)


@inputs(60)
@given(
    st.sampled_from(["images", "depths", "labels", "scenes", "sceneTypes"]),
    st.sampled_from(["uint8", "int16", "int64", "float32", "float64", "S3"]),
    st.sampled_from([-1, 0, 3, 894, 895, 70000, 1e38, np.nan, np.inf]),
    st.sampled_from(["same", "transposed", "less", "none", "one"]),
    POLICIES,
)
def test_labelled_files_of_nyuv2_with_any_variable(
    rooms: Folder, name: str, kind: str, filling: float, shape: str, policy: BadSamples
) -> None:
    file = rooms.root / scenes.LABELLED
    with h5py.File(io.BytesIO(rooms.sound[file])) as content:
        sound = content[name].shape
    shapes = {
        "same": sound,
        "transposed": sound[::-1],
        "less": sound[1:],
        "none": (0, *sound[1:]),
        "one": (1,),
    }
    with np.errstate(all="ignore"):
        value = np.full(shapes[shape], filling).astype(kind)
    altered = io.BytesIO(rooms.sound[file])
    with h5py.File(altered, "r+") as content:
        del content[name]
        content[name] = value
    rooms.load_with(file, altered.getvalue(), policy)


# Kept arrays


@inputs(150)
@given(damages(), st.sampled_from(["bytes", "bytes", "bytes", "folder"]))
def test_damaged_caches(
    tmp_path_factory: pytest.TempPathFactory, damage: Callable[[bytes], bytes], state: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "caches"
    said: list[str] = []
    wanted = {"x": np.arange(64, dtype=np.float32).reshape(4, 16), "names": np.array(["a", "bc"])}

    def load() -> dict[str, np.ndarray]:
        return cached(Request(cache=folder, say=said.append), "numbers", {}, lambda report: dict(wanted))

    load()
    (file,) = folder.iterdir()
    content = damage(file.read_bytes())
    if state == "folder":
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes(content)
    found = load()
    shutil.rmtree(folder)
    assert found.keys() == wanted.keys()
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)
    assert all(line.isprintable() for line in said)
