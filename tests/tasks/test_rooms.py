"""The embedded rooms: geometry that agrees with arithmetic, sensors that behave, labels that all occur."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from benchmark import Request
from benchmark.models import build
from tasks.cross_modal import CrossModal, cards, pairs, rooms
from tasks.synthetic import rooms as synthetic
from tasks.synthetic.rendering.furniture import BED, FLOOR, PANEL, PARTS, WALL
from tasks.synthetic.rendering.layouts import KINDS
from tasks.synthetic.rendering.scenes import compose
from tasks.synthetic.rendering.sensor import FARTHEST, SIDE, photograph, sense
from tasks.synthetic.rendering.solids import BOX, ELLIPSOID, FRUSTUM, Camera, Material, Solid, cast

FROZEN = "bf3b6577922b426e"
"""SHA-256 over all of 30 scenes; it changes only together with every number made on them."""

GREY = Material((0.5, 0.5, 0.5))
WALL_AT_5 = Solid(BOX, WALL, GREY, (0, 5.5, 0), (50, 0.5, 50))


def seen(solid: Solid, camera: Camera | None = None) -> tuple[np.ndarray, np.ndarray, Camera]:
    """Depth and rays of a solid before a wall that stands 5 m ahead of the origin."""
    camera = camera or Camera((0, 0, 0))
    return cast([WALL_AT_5, solid], camera, 41).depth, camera.rays(41), camera


@pytest.fixture(scope="module")
def drawn() -> synthetic.Rendered:
    return synthetic.rooms(100, seed=1)


def test_the_rooms_are_frozen() -> None:
    some = synthetic.rooms(30, seed=5)
    content = b"".join(part.tobytes() for part in (some.rgb, some.depth, some.mask, some.label))
    assert hashlib.sha256(content).hexdigest()[:16] == FROZEN


def test_fewer_scenes_are_a_prefix_of_more_and_another_seed_draws_others(drawn: synthetic.Rendered) -> None:
    few, other = synthetic.rooms(7, seed=1), synthetic.rooms(7, seed=2)
    for name in ("rgb", "depth", "mask", "label"):
        assert np.array_equal(getattr(few, name), getattr(drawn, name)[:7])
    assert not np.array_equal(few.rgb, other.rgb)


def test_a_sphere_is_as_far_as_the_quadratic_formula_says() -> None:
    depth, rays, _ = seen(Solid(ELLIPSOID, 0, GREY, (0.3, 3, 0.2), (0.8, 0.8, 0.8)))
    centre = np.array([0.3, 3, 0.2])[:, None, None]
    square, half = (rays**2).sum(0), (rays * centre).sum(0)
    root = half**2 - square * ((centre**2).sum() - 0.64)
    expected = np.where(root > 0, (half - np.sqrt(np.maximum(root, 0))) / square, 5.0)
    assert np.allclose(depth, expected)
    assert depth[20, 20] < 2.4


def test_a_box_turned_by_a_quarter_shows_its_other_side() -> None:
    depth, _, _ = seen(Solid(BOX, 0, GREY, (0, 3, 0), (0.25, 1, 0.5), yaw=0.0))
    turned, _, _ = seen(Solid(BOX, 0, GREY, (0, 3, 0), (0.25, 1, 0.5), yaw=np.pi / 2))
    assert depth[20, 20] == pytest.approx(2.0)
    assert turned[20, 20] == pytest.approx(2.75)
    assert (turned < 5).sum() > (depth < 5).sum()


def test_a_cone_narrows_upwards_and_a_cylinder_does_not() -> None:
    def widths(taper: float) -> np.ndarray:
        depth, _, _ = seen(Solid(FRUSTUM, 0, GREY, (0, 3, 0), (0.8, 0.8, 0.8), taper=taper))
        return (depth < 5).sum(axis=1)[13:30]

    cone, cylinder = widths(0.0), widths(1.0)
    assert (np.diff(cone) >= 0).all()
    assert cone[0] < 4 < cone[-1]
    assert cylinder[4:13].min() == cylinder[4:13].max()


def test_a_cap_and_a_slope_are_hit_where_the_frustum_ends() -> None:
    above = Camera((0, 3, 4), pitch=-np.pi / 2)
    floor = Solid(BOX, FLOOR, GREY, (0, 0, -1.5), (50, 50, 0.5))
    cut = Solid(FRUSTUM, 0, GREY, (0, 3, 0), (1, 1, 1), taper=0.5)
    view = cast([floor, cut], above, 41)
    assert view.depth[20, 20] == pytest.approx(3.0)
    assert np.allclose(view.normals[:, 20, 20], [0, 0, 1])
    radius = np.hypot(view.points[0], view.points[1] - 3)
    flank = (view.solid == 1) & (radius > 0.55)
    assert flank.any()
    assert np.allclose(view.points[2][flank], 1 - 4 * (radius[flank] - 0.5))
    # The surface falls by 4 while it goes out by 1: its normal rises by 1 while it goes out by 4.
    assert np.allclose(view.normals[2][flank], 1 / np.sqrt(17))


def test_every_window_holds_all_of_its_solid() -> None:
    """Rays are followed only where a solid can be seen; outside there must be nothing to be missed."""
    scene = compose("library", np.random.default_rng(3))
    together = cast(scene.solids, scene.camera, 32)
    random = np.random.default_rng(4)
    for row, column in random.integers(0, 32, (40, 2)):
        ray = scene.camera.rays(32)[:, row, column]
        reached = [_slowly(each, np.array(scene.camera.position), ray) for each in scene.solids]
        assert together.depth[row, column] == pytest.approx(min(reached), abs=0.02)


def _slowly(solid: Solid, origin: np.ndarray, ray: np.ndarray) -> float:
    """The depth at which small steps along the ray come into the solid."""
    steps = np.arange(0.05, 9, 0.01)
    x, y, z = solid.matrix() @ ((origin - solid.centre)[:, None] + ray[:, None] * steps)
    radius = 1 + (solid.taper - 1) * (z + 1) / 2
    inside = {
        BOX: np.maximum(np.maximum(abs(x), abs(y)), abs(z)) <= 1,
        ELLIPSOID: x**2 + y**2 + z**2 <= 1,
        FRUSTUM: (x**2 + y**2 <= radius**2) & (abs(z) <= 1),
    }[solid.kind]
    return float(steps[inside.argmax()]) if inside.any() else np.inf


@pytest.mark.parametrize("kind", ["bedroom", "workshop"])
def test_a_mirrored_scene_gives_the_mirrored_depth_and_mask(kind: str) -> None:
    scene = compose(kind, np.random.default_rng(0))
    depth = cast(scene.solids, scene.camera, 32).depth
    mirrored = scene.mirrored()
    assert np.allclose(cast(mirrored.solids, mirrored.camera, 32).depth, depth[:, ::-1])
    mask = photograph(scene, np.random.default_rng(0))[2]
    assert (photograph(mirrored, np.random.default_rng(0))[2] == mask[:, ::-1]).mean() > 0.995


def test_arrays_have_the_documented_types(drawn: synthetic.Rendered) -> None:
    assert (drawn.rgb.shape, drawn.rgb.dtype) == ((100, 3, SIDE, SIDE), np.uint8)
    assert (drawn.depth.shape, drawn.depth.dtype) == ((100, 1, SIDE, SIDE), np.int16)
    assert (drawn.mask.shape, drawn.mask.dtype) == ((100, SIDE, SIDE), np.int64)
    assert drawn.rgb.reshape(100, -1).std(axis=1).min() > 10


def test_classes_are_equally_frequent_and_every_part_occurs(drawn: synthetic.Rendered) -> None:
    assert np.bincount(drawn.label).tolist() == [10] * len(KINDS)
    assert set(np.unique(drawn.mask)) == set(range(len(PARTS)))


@pytest.mark.parametrize(("kind", "part"), [("bedroom", BED), ("nursery", BED), ("classroom", PANEL)])
def test_a_kind_shows_what_it_is_known_for(drawn: synthetic.Rendered, kind: str, part: int) -> None:
    own = drawn.label == synthetic.CLASSES.index(kind)
    share = (drawn.mask == part).any(axis=(1, 2))
    assert share[own].mean() >= 0.7


def test_depth_is_metric_with_some_holes(drawn: synthetic.Rendered) -> None:
    holes = drawn.depth == 0
    assert 0.01 < holes.mean() < 0.15
    valid = drawn.depth[~holes]
    assert valid.min() > 200
    assert valid.max() < 1000 * FARTHEST * 1.1


def test_depth_noise_grows_with_the_square_of_the_distance() -> None:
    random, ones = np.random.default_rng(0), np.ones((SIDE, SIDE))
    bright = np.full((3, SIDE, SIDE), 200, np.uint8)

    def spread(metres: float) -> float:
        told = sense(metres * ones, ones, 0 * ones, bright, random)
        return float(told[told > 0].std()) / 1000

    assert spread(4.0) / spread(1.0) == pytest.approx(16, rel=0.3)


def test_the_sensor_is_blind_beyond_its_range_and_seldom_sees_grazed_or_shiny_surfaces() -> None:
    random, ones = np.random.default_rng(0), np.ones((SIDE, SIDE))
    bright = np.full((3, SIDE, SIDE), 200, np.uint8)

    def holes(metres: float, facing: float, shine: float) -> float:
        return float((sense(metres * ones, facing * ones, shine * ones, bright, random) == 0).mean())

    assert holes(FARTHEST + 0.5, 1.0, 0.0) == 1
    assert holes(2.0, 1.0, 0.0) < 0.03
    assert holes(2.0, 0.05, 0.0) > 0.5
    assert holes(2.0, 1.0, 0.9) > 0.3


def test_holes_gather_where_the_depth_jumps() -> None:
    random, ones = np.random.default_rng(0), np.ones((SIDE, SIDE))
    bright = np.full((3, SIDE, SIDE), 200, np.uint8)
    step = np.where(np.arange(SIDE) < SIDE // 2, 1.5, 3.0) * ones
    holes = sense(step, ones, 0 * ones, bright, random) == 0
    assert holes[:, SIDE // 2 - 1 : SIDE // 2 + 1].mean() > 0.15
    assert holes[:, : SIDE // 2 - 2].mean() < 0.03


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "TRAIN", 20)
    monkeypatch.setattr(rooms, "TEST", 10)


@pytest.mark.usefixtures("small")
def test_rooms_are_drawn_once_and_then_come_from_the_cache(tmp_path, monkeypatch) -> None:
    said: list[str] = []
    request = Request(cache=tmp_path, say=said.append)
    first = cards.cards()["rooms"].load(request)
    monkeypatch.setattr(rooms, "rooms", lambda *_: pytest.fail("drawn again"))
    second = cards.cards()["rooms"].load(request)
    dense = cards.cards()["rooms_segmentation"].load(request)
    assert len(said) == 1
    assert first.fingerprint == second.fingerprint != dense.fingerprint
    assert torch.equal(first.train.modalities["depth"], dense.train.modalities["depth"])


@pytest.mark.usefixtures("small")
def test_both_datasets_load_with_labels_within_their_classes() -> None:
    for name, shape in (("rooms", (20,)), ("rooms_segmentation", (20, SIDE, SIDE))):
        data = CrossModal().datasets()[name].load(Request(say=lambda _: None))
        assert data.train.labels.shape == shape
        assert len(data.test) == 10
        assert 0 <= int(data.train.labels.min()) <= int(data.train.labels.max()) < len(data.classes)
        for each, modality in data.modalities.items():
            assert tuple(data.train.modalities[each].shape[1:]) == modality.shape
            assert cards.cards()[name].shapes[each] == modality.shape


def test_statistics_are_those_of_the_scenes(drawn: synthetic.Rendered) -> None:
    mean, std = rooms.RGB_STATISTICS
    assert drawn.rgb.mean(axis=(0, 2, 3)) / 255 == pytest.approx(mean, abs=0.04)
    assert drawn.rgb.std(axis=(0, 2, 3)) / 255 == pytest.approx(std, abs=0.04)
    assert drawn.depth.mean() / 1000 == pytest.approx(rooms.DEPTH_STATISTICS[0][0], rel=0.1)
    assert drawn.depth.std() / 1000 == pytest.approx(rooms.DEPTH_STATISTICS[1][0], rel=0.1)


def test_the_teacher_sees_colour_and_the_student_depth_or_luma_and_chroma() -> None:
    for pair in pairs.pairs("rooms").values():
        assert (pair.teacher_modalities, pair.student_modalities) == (("rgb",), ("depth",))
    for pair in pairs.pairs("luma_chroma_cifar10").values():
        assert (pair.teacher_modalities, pair.student_modalities) == (("luma",), ("chroma",))


def test_networks_of_segmentation_pairs_answer_for_every_pixel() -> None:
    for pair in pairs.pairs("rooms_segmentation").values():
        student = build(pair.student, [(1, SIDE, SIDE)], len(PARTS))
        assert student.show(torch.zeros(1, 1, SIDE, SIDE)).logits.shape == (1, len(PARTS), SIDE, SIDE)


def test_any_two_architectures_make_a_pair_and_anything_else_makes_none() -> None:
    task = CrossModal()
    pair = task.custom_pair("rooms", "resnet20-conv2d_4")
    assert (pair.teacher, pair.student, pair.student_modalities) == ("resnet20", "conv2d_4", ("depth",))
    assert task.custom_pair("rooms", "resnet20-nonsense") is None
    assert task.custom_pair("rooms", "resnet20") is None


def test_every_preset_has_few_labels_and_a_teacher_of_its_own_scenes() -> None:
    task = CrossModal()
    assert set(task.presets()) == {"quick", "standard", "paper"}
    for preset in task.presets().values():
        assert (preset.label_fraction, preset.teacher_data) == (0.1, "disjoint")
        for dataset in preset.datasets:
            assert set(preset.pairs) <= set(task.pairs(dataset))
