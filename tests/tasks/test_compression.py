"""The compression task: its datasets, pairs and presets."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark import Request, Samples, UserError
from benchmark.cli import main
from benchmark.models import build
from benchmark.plugins import Registry
from tasks.compression.datasets import CIFAR_STATISTICS, IMAGENET_STATISTICS
from tests.data.test_readers import encoded, plain, write_parquet
from tests.tasks.conftest import pixel_statistics

PUBLISHED = [
    "wrn_40_2-wrn_16_2",
    "wrn_40_2-wrn_40_1",
    "resnet56-resnet20",
    "resnet110-resnet20",
    "resnet110-resnet32",
    "resnet32x4-resnet8x4",
    "vgg13-vgg8",
    "vgg13-MobileNetV2",
    "ResNet50-MobileNetV2",
    "ResNet50-vgg8",
    "resnet32x4-ShuffleV1",
    "resnet32x4-ShuffleV2",
    "wrn_40_2-ShuffleV1",
]


DATASETS = Path(__file__).resolve().parents[2] / "docs" / "datasets.md"


@pytest.mark.parametrize(
    ("row", "statistics"),
    [*((f"`{name}`", each) for name, each in CIFAR_STATISTICS.items()), ("`imagenet`", IMAGENET_STATISTICS)],
)
def test_the_page_gives_the_statistics_that_networks_see(
    row: str, statistics: tuple[tuple[float, ...], tuple[float, ...]]
) -> None:
    table = DATASETS.read_text().partition("### Normalisation and order of classes")[2].partition("\n## ")[0]
    (line,) = [each for each in table.splitlines() if each.startswith("|") and row in each]
    for numbers in statistics:
        assert ", ".join(map(str, numbers)) in line


def task(registry: Registry):
    return registry.tasks["compression"]


def test_the_thirteen_published_pairs_have_their_published_recipe(registry: Registry) -> None:
    pairs = task(registry).pairs("cifar100")
    assert set(PUBLISHED) <= pairs.keys()
    for name in PUBLISHED:
        low = name.split("-")[1] in ("MobileNetV2", "ShuffleV1", "ShuffleV2")
        recipe = pairs[name].recipe
        assert (recipe.epochs, recipe.batch_size, recipe.learning_rate) == (240, 64, 0.01 if low else 0.05)
        assert [round(240 * each) for each in recipe.milestones] == [150, 180, 210]
        assert pairs[name].teacher_recipe.learning_rate == 0.05


def test_every_pair_names_architectures_that_there_are(registry: Registry) -> None:
    for name, pair in task(registry).pairs("cifar10").items():
        assert name == f"{pair.teacher}-{pair.student}"
        for architecture in (pair.teacher, pair.student):
            build(architecture, [(3, 32, 32)], 10)


def test_any_two_architectures_make_a_pair(registry: Registry) -> None:
    pair = task(registry).custom_pair("cifar10", "torchvision:resnet18-resnet8")
    assert (pair.teacher, pair.student) == ("torchvision:resnet18", "resnet8")
    assert task(registry).custom_pair("cifar10", "resnet8-nonsense") is None


@pytest.mark.parametrize("inside", [True, False])
def test_cifar_is_found_in_the_data_folder_and_beside_others_in_it(
    tmp_path: Path, registry: Registry, inside: bool
) -> None:
    folder = tmp_path if inside else tmp_path / "cifar10"
    for split in ("train", "test"):
        write_parquet(folder / f"{split}.parquet", *plain(12))
    data = task(registry).datasets()["cifar10"].load(Request(tmp_path))
    assert (len(data.train), len(data.test), len(data.classes), data.synthetic) == (12, 12, 10, False)


@pytest.mark.parametrize("name", ["cifar100", "luma_chroma_cifar100"])
def test_cifar10_is_not_taken_for_cifar100(tmp_path: Path, registry: Registry, name: str) -> None:
    card = next(each.datasets()[name] for each in registry.tasks.values() if name in each.datasets())
    images, labels = plain(12)
    write_parquet(tmp_path / "test.parquet", images, labels)
    write_parquet(tmp_path / "train.parquet", images, [*labels[1:], 9])
    with pytest.raises(UserError, match=r"train\.parquet: the highest training label is 9, .* cifar10"):
        card.load(Request(tmp_path))
    write_parquet(tmp_path / "train.parquet", images, [*labels[1:], 10])
    assert len(card.load(Request(tmp_path)).train) == 12


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "image_folder"])
@pytest.mark.parametrize("state", ["missing", "empty", "without"])
def test_missing_and_empty_folders_are_named_with_the_layouts_expected(
    name: str, state: str, tmp_path: Path, registry: Registry
) -> None:
    folder = {"missing": tmp_path / "nowhere", "empty": tmp_path, "without": None}[state]
    layout = "train/<class>" if name == "image_folder" else f"{name}/train.parquet"
    with pytest.raises(UserError) as caught:
        task(registry).datasets()[name].load(Request(folder))
    assert layout in str(caught.value)
    assert ("--data-dir" if folder is None else str(folder)) in str(caught.value)


def test_a_damaged_image_ends_the_command_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = plain(12)
    write_parquet(tmp_path / "test.parquet", images, labels)
    write_parquet(tmp_path / "train.parquet", [*images[:2], b"broken", *images[3:]], labels)
    arguments = ["--datasets", "cifar10", "--pairs", "resnet20-resnet8", "--data-dir", str(tmp_path)]
    assert main([*arguments, "--results-dir", str(tmp_path / "results")]) == 2
    line = capsys.readouterr().err
    assert "row 2" in line
    assert len(line.strip().splitlines()) == 1


def test_an_image_folder_trains_to_a_report(tmp_path: Path) -> None:
    for split, count in (("train", 12), ("test", 3)):
        for number, name in enumerate(("red", "green", "blue")):
            folder = tmp_path / "image_folder" / split / name
            folder.mkdir(parents=True)
            colour = [0, 0, 0]
            for i in range(count):
                colour[number] = 120 + 3 * i
                (folder / f"{i}.jpg").write_bytes(encoded(colour, 36, ".jpg"))
    arguments = [
        "--datasets",
        "image_folder",
        "--data-dir",
        str(tmp_path),
        "--results-dir",
        str(tmp_path / "results"),
    ]
    small = [
        "--pairs",
        "resnet8-torchvision:squeezenet1_1",
        "conv2d_8-conv2d_4",
        "--seeds",
        "0",
        "--epochs",
        "1",
    ]
    small += ["--teacher-epochs", "1", "--batch-size", "16", "--no-probes", "--baselines", "scratch", "kd"]
    assert main([*arguments, *small]) == 0
    assert (tmp_path / "results" / "quick" / "tables" / "compression.md").exists()


@pytest.mark.real_data
def test_the_real_cifar10_has_its_known_counts(real_cifar10: tuple[Samples, Samples]) -> None:
    train, test = real_cifar10
    assert train.labels.bincount().tolist() == [5000] * 10
    assert test.labels.bincount().tolist() == [1000] * 10
    mean = pixel_statistics(train.modalities["rgb"])[0]
    assert mean == pytest.approx(CIFAR_STATISTICS["cifar10"][0], abs=0.01)
