"""The embedded motions of the privileged task: people, what is recorded of them, and how it is divided."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark import Data, Request
from benchmark.models import architectures, build
from benchmark.plugins import Registry
from tasks.privileged import cards
from tasks.privileged import motions as dataset
from tasks.synthetic.motion.actions import ACTIONS
from tasks.synthetic.motion.figure import BONES, CHANNELS, JOINTS, Build, mirrored, positions
from tasks.synthetic.motion.performances import CLASSES, FRAMES, Clip, make_subject, motions, perform
from tasks.synthetic.motion.recording import SAMPLE_RATE, SECONDS, SOUND_FRAMES, Sound, hear, log_mel, turned

SEED = 3
FROZEN = "2c5d57877d4e9107"
"""Hash of one clip of each action by person 0 of SEED. Another one means that other clips are drawn: numbers
made before can't be compared with numbers made now, so think twice, and raise `motions.VERSION`."""

PHASES = np.linspace(0, 1, 40, endpoint=False)
PLAIN = Sound(step_pitch=100, clap_pitch=1500, hardness=0.4, loudness=1.0)


def generator(*seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(list(seed)))


@pytest.fixture(scope="module")
def clips() -> dict[str, Clip]:
    """One clip of every action by one person."""
    subject = make_subject(SEED, 0)
    return {name: perform(subject, name, generator(SEED, number)) for number, name in enumerate(ACTIONS)}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dataset with three subjects and one or two clips of each action."""
    monkeypatch.setattr(dataset, "TRAIN_SUBJECTS", range(2))
    monkeypatch.setattr(dataset, "TEST_SUBJECTS", range(2, 3))
    monkeypatch.setattr(dataset, "TRAIN_TAKES", 2)
    monkeypatch.setattr(dataset, "TEST_TAKES", 1)


@pytest.fixture
def data(few: None) -> Data:
    return dataset.load(Request())


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    first, again, other = (motions(range(1), 1, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not any(np.array_equal(first[name], other[name]) for name in ("skeleton", "video", "audio"))


def test_the_clips_are_those_that_published_numbers_were_made_with() -> None:
    drawn = motions(range(1), 1, SEED)
    content = b"".join(drawn[name].tobytes() for name in ("skeleton", "video", "audio"))
    assert hashlib.sha256(content).hexdigest()[:16] == FROZEN


def test_a_clip_does_not_depend_on_which_others_are_drawn() -> None:
    alone, among = motions(range(1, 2), 1, SEED), motions(range(2), 1, SEED)
    for name, array in alone.items():
        assert np.array_equal(array, among[name][len(CLASSES) :]), name


def test_no_two_clips_are_alike() -> None:
    drawn = motions(range(1), 3, SEED)
    for name in ("skeleton", "video", "audio"):
        assert len(np.unique(drawn[name].reshape(36, -1), axis=0)) == 36, name


@pytest.mark.parametrize("name", ACTIONS)
def test_bones_keep_their_lengths_over_a_clip(name: str, clips: dict[str, Clip]) -> None:
    joints = clips[name].joints
    assert joints.shape == (FRAMES, len(JOINTS), 3)
    for parent, joint in BONES:
        length = np.linalg.norm(joints[:, joint] - joints[:, parent], axis=1)
        assert length.min() > 0.02
        assert np.ptp(length) < 1e-9, (JOINTS[parent], JOINTS[joint])


@pytest.mark.parametrize("name", ACTIONS)
def test_nobody_sinks_into_the_floor_or_floats(name: str) -> None:
    joints = positions(ACTIONS[name].pose(PHASES), Build())
    lower = joints[:, [JOINTS.index("left foot"), JOINTS.index("right foot")], 2].min(axis=1)
    assert lower.min() >= -1e-9
    assert lower.min() < 0.02


@pytest.mark.parametrize("name", ACTIONS)
def test_poses_go_round_without_a_jump(name: str) -> None:
    phase = np.linspace(0, 2, 400)
    steps = np.abs(np.diff(ACTIONS[name].pose(phase), axis=0))
    assert steps.max() < 0.15


def test_feet_are_on_the_floor_when_a_footfall_is_heard() -> None:
    for name, action in ACTIONS.items():
        for impact in action.impacts:
            if impact.kind != "clap":
                joints = positions(action.pose(np.array([impact.phase])), Build())[0]
                assert joints[[JOINTS.index("left foot"), JOINTS.index("right foot")], 2].min() < 0.02, name


def test_hands_meet_when_a_clap_is_heard() -> None:
    (impact,) = ACTIONS["clap"].impacts
    phase = np.append(PHASES, impact.phase)
    joints = positions(ACTIONS["clap"].pose(phase), Build())
    distance = np.linalg.norm(
        joints[:, JOINTS.index("left hand")] - joints[:, JOINTS.index("right hand")], axis=1
    )
    assert distance[-1] < 0.1
    assert distance[-1] <= distance.min() + 0.05
    assert distance.max() > 0.4


def test_a_mirrored_pose_exchanges_the_sides() -> None:
    pose = ACTIONS["throw"].pose(PHASES)
    joints, other = positions(pose, Build()), positions(mirrored(pose), Build())
    swapped = [
        JOINTS.index(" ".join({"left": "right", "right": "left"}.get(word, word) for word in joint.split()))
        for joint in JOINTS
    ]
    assert np.allclose(other, joints[:, swapped] * [1, -1, 1])
    assert np.allclose(mirrored(mirrored(pose)), pose)
    assert pose.shape == (len(PHASES), len(CHANNELS))


def test_a_turn_of_the_camera_keeps_distances_and_heights(clips: dict[str, Clip]) -> None:
    joints = clips["kick"].joints
    seen = turned(joints, 0.7)
    assert np.allclose(np.linalg.norm(seen, axis=2), np.linalg.norm(joints, axis=2))
    assert np.allclose(seen[..., 2], joints[..., 2])
    assert not np.allclose(seen[..., 0], joints[..., 0])


def test_people_differ_in_build_and_style() -> None:
    one, other = make_subject(SEED, 0), make_subject(SEED, 1)
    assert one.build != other.build
    assert one.tempo != other.tempo
    assert not np.array_equal(one.posture, other.posture)


@pytest.mark.parametrize("kind", ["step", "stamp", "landing", "clap"])
def test_an_impact_is_louder_than_the_rest(kind: str) -> None:
    class Quiet(np.random.Generator):
        """Draws no knocks from elsewhere."""

        def integers(self, *arguments, **options):
            return 0

    moments = (0.5, 1.3)
    wave = hear([(each, kind, 1.0) for each in moments], np.zeros(10), PLAIN, Quiet(np.random.PCG64(0)))
    assert wave.shape == (SECONDS * SAMPLE_RATE,)
    loudness = np.exp(log_mel(wave[None])[0]).sum(axis=0)
    frames = [round(each * SOUND_FRAMES / SECONDS) for each in moments]
    hit = {frame + step for frame in frames for step in range(-1, 5)}
    rest = [frame for frame in range(SOUND_FRAMES) if frame not in hit]
    for frame in frames:
        assert loudness[frame : frame + 2].max() > 5 * np.median(loudness[rest])


def test_noisy_actions_have_impacts_and_quiet_ones_none(clips: dict[str, Clip]) -> None:
    heard = {name for name, clip in clips.items() if clip.impacts}
    assert {"run", "stamp", "clap", "jumping jack"} <= heard
    assert not heard & {"bow", "squat", "wave", "punch"}
    for clip in clips.values():
        assert all(0 <= moment <= SECONDS and loudness >= 0 for moment, _, loudness in clip.impacts)


def test_modalities_have_their_shapes_types_and_finite_values(data: Data) -> None:
    expected = {
        "skeleton": ((45, 32), torch.float32),
        "video": ((2, 12, 20, 16), torch.uint8),
        "audio": ((24, 32), torch.float32),
    }
    assert data.modalities.keys() == expected.keys()
    assert cards.cards()["motions"].shapes == {name: shape for name, (shape, _) in expected.items()}
    for samples in (data.train, data.test):
        for name, (shape, dtype) in expected.items():
            x = samples.modalities[name]
            assert tuple(x.shape) == (len(samples), *shape) == (len(samples), *data.modalities[name].shape)
            assert x.dtype == dtype
            assert torch.isfinite(x.float()).all()
        assert samples.labels.dtype == samples.groups.dtype == torch.int64
    assert [name for name, each in data.modalities.items() if each.spatial] == ["video"]
    assert data.synthetic
    assert not data.flip


def test_no_subject_is_in_both_splits_and_every_class_is_in_both(data: Data) -> None:
    assert not set(data.train.groups.tolist()) & set(data.test.groups.tolist())
    for samples in (data.train, data.test):
        assert samples.labels.bincount(minlength=len(data.classes)).min() > 0


def test_the_whole_dataset_divides_its_people_too() -> None:
    assert not set(dataset.TRAIN_SUBJECTS) & set(dataset.TEST_SUBJECTS)
    assert len(dataset.TRAIN_SUBJECTS) > len(dataset.TEST_SUBJECTS) > 1


def test_statistics_are_those_of_the_train_split(data: Data) -> None:
    for name, modality in data.modalities.items():
        x = data.train.modalities[name].double() / modality.scale
        assert torch.allclose(
            x.transpose(0, 1).flatten(1).mean(1), torch.tensor(modality.mean).double(), atol=1e-3
        )
        assert min(modality.std) > 0


def test_the_second_load_reads_the_cache(few: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = dataset.load(Request(cache=tmp_path))
    monkeypatch.setattr(dataset, "_draw", lambda report: pytest.fail("drawn again"))
    assert dataset.load(Request(cache=tmp_path)).fingerprint == first.fingerprint


def test_every_pair_can_be_built_and_the_teacher_sees_what_the_student_sees(
    registry: Registry, data: Data
) -> None:
    task, known = registry.tasks["privileged"], architectures()
    for name, pair in task.pairs("motions").items():
        assert name == f"{'+'.join(pair.teacher_modalities)}-{'+'.join(pair.student_modalities)}"
        assert set(pair.student_modalities) < set(pair.teacher_modalities)
        assert pair.teacher_modalities[-1] == pair.student_modalities[-1]
        for network, seen in (
            (pair.teacher, pair.teacher_modalities),
            (pair.student, pair.student_modalities),
        ):
            assert network in known
            build(network, [data.modalities[each].shape for each in seen], len(data.classes))
