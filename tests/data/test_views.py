"""Second views: what is done to the pixels, which data allows it, and that nothing else notices."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from benchmark import Modality, Samples
from benchmark.contracts.distiller import SecondView
from benchmark.data import views
from benchmark.data.batches import Step, TrainStream
from benchmark.data.views import STRONG_OPERATIONS, StrongDraws, cut, rotated, strong, views_of
from benchmark.seeds import generator
from tests.data.test_batches import ALL, CPU, DATA, coordinate_data, stream
from tests.tiny_task import sensed_data

IMAGES = 60


def images(height: int = 32, width: int = 40) -> torch.Tensor:
    """Smooth noise under finer noise, uint8 [IMAGES, 3, height, width]."""
    coarse = torch.rand(IMAGES, 3, 6, 6)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    return (40 + 150 * smooth + 8 * torch.randn(IMAGES, 3, height, width)).clamp(0, 255).to(torch.uint8)


def spread(share: float, low: float, high: float) -> float:
    return low + share * (high - low)


def affine(image: Image.Image, *matrix: float) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix)


PILLOW = {
    "autocontrast": lambda image, share: ImageOps.autocontrast(image),
    "brightness": lambda image, share: ImageEnhance.Brightness(image).enhance(spread(share, 0.05, 0.95)),
    "color": lambda image, share: ImageEnhance.Color(image).enhance(spread(share, 0.05, 0.95)),
    "contrast": lambda image, share: ImageEnhance.Contrast(image).enhance(spread(share, 0.05, 0.95)),
    "equalize": lambda image, share: ImageOps.equalize(image),
    "identity": lambda image, share: image,
    "posterize": lambda image, share: ImageOps.posterize(image, int(spread(share, 4, 8))),
    "rotate": lambda image, share: image.rotate(spread(share, -30, 30)),
    "sharpness": lambda image, share: ImageEnhance.Sharpness(image).enhance(spread(share, 0.05, 0.95)),
    "shear_x": lambda image, share: affine(image, 1, spread(share, -0.3, 0.3), 0, 0, 1, 0),
    "shear_y": lambda image, share: affine(image, 1, 0, 0, spread(share, -0.3, 0.3), 1, 0),
    "solarize": lambda image, share: ImageOps.solarize(image, spread(share, 0, 256)),
    "translate_x": lambda image, share: affine(image, 1, 0, spread(share, -0.3, 0.3) * image.width, 0, 1, 0),
    "translate_y": lambda image, share: affine(image, 1, 0, 0, 0, 1, spread(share, -0.3, 0.3) * image.height),
}
"""Each operation on one image, as the code that it comes from does it."""


def pixels(batch: torch.Tensor) -> np.ndarray:
    return batch.permute(0, 2, 3, 1).numpy().astype(int)


@pytest.mark.parametrize("name", STRONG_OPERATIONS)
def test_an_operation_does_to_a_batch_what_pillow_does_to_each_image(name: str) -> None:
    shown, share = images(), torch.rand(IMAGES)
    before = shown.clone()
    ours = pixels(STRONG_OPERATIONS[name](shown, share))
    each = [Image.fromarray(image.astype(np.uint8)) for image in pixels(shown)]
    theirs = [
        np.array(PILLOW[name](image, amount)) for image, amount in zip(each, share.tolist(), strict=True)
    ]
    gap = np.abs(ours - np.stack(theirs).astype(int))
    # Rounding of a mean or of a place half-way between two pixels.
    assert (gap > 2).mean() < 1e-3
    assert gap.mean() < 0.6
    assert name == "identity" or np.abs(ours - pixels(shown)).mean() > 1
    assert shown.equal(before)


def test_the_cut_is_pillows_rectangle() -> None:
    shown, size, place = images(), torch.rand(IMAGES), torch.rand(2, IMAGES)
    ours = pixels(cut(shown, size, place))
    for number in range(IMAGES):
        image = Image.fromarray(pixels(shown)[number].astype(np.uint8))
        side = 0.5 * image.width * float(size[number])
        left, top = (
            int(max(0, float(middle) * edge - side / 2))
            for middle, edge in zip(place[:, number].flip(0), image.size, strict=True)
        )
        corner = (min(image.width, left + side), min(image.height, top + side))
        ImageDraw.Draw(image).rectangle((left, top, *corner), views.FILLING)
        assert (np.array(image) == ours[number]).all()


def test_what_becomes_of_an_image_depends_on_its_own_draws_alone() -> None:
    shown, draws = images(), StrongDraws.draw(IMAGES, generator(0, "a"))
    together = strong(shown, draws)
    for number in range(IMAGES):
        own = (getattr(draws, field.name)[..., number : number + 1] for field in dataclasses.fields(draws))
        assert strong(shown[number : number + 1], StrongDraws(*own))[0].equal(together[number])


def test_every_operation_is_drawn_and_two_are_done_in_the_order_of_the_draws() -> None:
    draws = StrongDraws.draw(5000, generator(0, "a"))
    assert draws.operation.flatten().bincount(minlength=len(STRONG_OPERATIONS)).min() > 500
    assert draws.operation.shape == (2, 5000)
    names = list(STRONG_OPERATIONS)
    shown, share = images(), torch.full((2, IMAGES), 0.9)
    operation = torch.tensor([names.index("brightness"), names.index("solarize")])[:, None].expand(2, IMAGES)
    nothing = StrongDraws(operation, share, torch.zeros(IMAGES), torch.full((2, IMAGES), 0.999))
    first = STRONG_OPERATIONS["brightness"](shown, share[0])
    expected = STRONG_OPERATIONS["solarize"](first, share[1])
    assert strong(shown, nothing)[..., :-1, :-1].equal(expected[..., :-1, :-1])


def test_floats_in_0_to_255_are_taken_like_whole_numbers() -> None:
    shown, draws = images(), StrongDraws.draw(IMAGES, generator(0, "a"))
    assert strong(shown.float(), draws).equal(strong(shown, draws))


def test_turned_copies_come_sample_by_sample_and_are_no_known_samples() -> None:
    batch = {"index": torch.arange(4), "label": torch.arange(4) % 2, "rgb": torch.randn(4, 3, 5, 5)}
    batch |= {"video": torch.randn(4, 2, 3, 6, 6)}
    turned = rotated(batch, ("rgb", "video"))
    assert turned.keys() == {"rgb", "video"}
    for name in ("rgb", "video"):
        for row, x in enumerate(turned[name]):
            assert x.equal(batch[name][row // 3].rot90(row % 3 + 1, (-2, -1)))


@pytest.mark.parametrize(
    ("name", "seen", "expected"),
    [
        ("senses", ("rgb",), {"strong", "rotated"}),
        ("senses", ("volume",), {"rotated"}),
        ("senses", ("rgb", "volume"), {"rotated"}),
        ("senses", ("rgb", "signal"), set()),
        ("masks", ("rgb",), set()),
    ],
)
def test_the_data_says_which_views_can_be_made_of_it(name: str, seen: tuple[str, ...], expected: set) -> None:
    assert views_of(sensed_data(name), seen) == expected


@pytest.mark.parametrize(
    ("modality", "expected"),
    [
        (Modality((3, 8, 8), (0.0,) * 3, (1.0,) * 3, scale=255.0), {"strong", "rotated"}),
        (Modality((3, 8, 9), (0.0,) * 3, (1.0,) * 3, scale=255.0), {"strong"}),
        (Modality((3, 8, 8), (0.0,) * 3, (1.0,) * 3), {"rotated"}),
        (Modality((1, 8, 8), (0.0,), (1.0,), scale=255.0), {"rotated"}),
        (Modality((3, 8, 8), (0.0,) * 3, (1.0,) * 3, scale=255.0, spatial=False), set()),
    ],
)
def test_a_strong_view_takes_rgb_in_0_to_255_and_a_turned_one_squares(
    modality: Modality, expected: set
) -> None:
    data = dataclasses.replace(DATA, modalities={"rgb": modality})
    assert views_of(data, ("rgb",)) == expected


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def steps_of(seed: int = 0, epoch: int = 1, purpose: str = "train", first: int = 0) -> list[Step]:
    source = TrainStream(DATA, DATA.train, ALL, 32, seed, CPU, DATA.modalities, purpose)
    return list(source.steps(epoch, first))


def test_batches_are_the_same_whether_or_not_a_view_is_asked_for() -> None:
    expected = list(stream().epoch(1))
    steps = []
    for step in stream().steps(1):
        step.second("strong")
        step.second("rotated")
        steps.append(step.batch)
    assert all(same(one, other) for one, other in zip(steps, expected, strict=True))


def test_a_view_is_the_same_whoever_asks_for_another_one_and_depends_on_seed_epoch_and_purpose() -> None:
    alone = [step.second("strong") for step in steps_of()]
    beside = [(step.second("rotated"), step.second("strong"))[1] for step in steps_of()]
    assert all(same(one, other) for one, other in zip(alone, beside, strict=True))
    assert not alone[0]["rgb"].equal(alone[1]["rgb"])
    for changed in ({"seed": 1}, {"epoch": 2}, {"purpose": "prelude"}):
        other = steps_of(**changed)[0]
        assert not same(other.second("strong"), alone[0])


@pytest.mark.parametrize("view", ["strong", "rotated"])
def test_an_epoch_that_goes_on_in_its_middle_has_the_views_that_it_would_have_had(view: SecondView) -> None:
    expected = [step.second(view) for step in steps_of()][3:]
    later = [step.second(view) for step in steps_of(first=3)]
    assert all(same(one, other) for one, other in zip(later, expected, strict=True))


def test_the_strong_view_has_the_crop_and_the_flip_of_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in STRONG_OPERATIONS:
        monkeypatch.setitem(STRONG_OPERATIONS, name, lambda some, share: some)
    monkeypatch.setattr(views, "cut", lambda some, size, place: some)
    for step in steps_of():
        assert step.second("strong")["rgb"].equal(step.batch["rgb"])


def test_the_strong_view_is_changed_in_raw_values_and_then_normalised() -> None:
    (step, *_) = steps_of()
    second, modality = step.second("strong"), DATA.modalities["rgb"]
    assert not second["rgb"].equal(step.batch["rgb"])
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (modality.mean, modality.std))
    raw = (second["rgb"] * std + mean) * 255
    torch.testing.assert_close(raw, raw.round(), atol=1e-3, rtol=0)
    assert raw.min() >= -1e-3
    assert raw.max() <= 255 + 1e-3
    assert second.keys() == {"rgb"}


def test_all_images_of_a_sample_change_alike() -> None:
    twice = {"left": DATA.train.modalities["rgb"], "right": DATA.train.modalities["rgb"]}
    data = dataclasses.replace(
        DATA,
        train=Samples(twice, DATA.train.labels),
        modalities=dict.fromkeys(twice, DATA.modalities["rgb"]),
    )
    step = next(TrainStream(data, data.train, ALL, 32, 0, CPU, data.modalities).steps(0))
    second = step.second("strong")
    assert second["left"].equal(second["right"])
    assert not second["left"].equal(step.batch["left"])


def test_making_a_view_leaves_the_samples_and_the_batch_as_they_were() -> None:
    floats = dataclasses.replace(
        DATA, train=Samples({"rgb": DATA.train.modalities["rgb"].float()}, DATA.train.labels)
    )
    before = floats.train.modalities["rgb"].clone()
    for step in TrainStream(floats, floats.train, ALL, 32, 0, CPU, floats.modalities).steps(0):
        batch = {name: x.clone() for name, x in step.batch.items()}
        step.second("strong")
        step.second("rotated")
        assert same(step.batch, batch)
    assert floats.train.modalities["rgb"].equal(before)


def test_turning_moves_the_pixels_of_every_modality_alike() -> None:
    data = coordinate_data(16, 8, 8, frames=3)
    seen = ("rgb", "depth", "video")
    labelled = torch.ones(16, dtype=torch.bool)
    step = next(TrainStream(data, data.train, labelled, 16, 0, CPU, seen).steps(0))
    second = step.second("rotated")
    assert len(second["rgb"]) == 48
    for channel in range(3):
        assert second["rgb"][:, channel].equal(second["depth"][:, 0])
    assert second["video"][:, 1, 2].equal(second["depth"][:, 0])
    assert second["depth"][1].equal(step.batch["depth"][0].flip(-1, -2))
