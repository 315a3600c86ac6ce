"""The golden command: our losses agree with the reference values, and it says so only when they do."""

from pathlib import Path

import numpy as np
import pytest

from tests.golden.__main__ import errors_of, main
from tests.golden.adapters.registry import TOLERANCE, adapter_of, tolerance_of

FOLDER = Path(__file__).parent
FILES = sorted(FOLDER.glob("*.npz"))


def arrays_of(name: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f"{name}.npz") as stored:
        return dict(stored)


def kd_reference(rng: np.random.Generator, batch: int = 5, classes: int = 9, temperature: float = 2.5):
    """A kd file from float64 NumPy: the loss by its formula, the gradient T / B * (p_s - p_t)."""
    student, teacher = rng.normal(size=(2, batch, classes)) * 3
    probabilities = [np.exp(z / temperature) for z in (student, teacher)]
    p_s, p_t = (p / p.sum(1, keepdims=True) for p in probabilities)
    loss = 0.0
    for b in range(batch):
        for k in range(classes):
            loss += temperature**2 / batch * p_t[b, k] * (np.log(p_t[b, k]) - np.log(p_s[b, k]))
    return {
        "student_logits": student.astype(np.float32),
        "teacher_logits": teacher.astype(np.float32),
        "hp.T": np.float64(temperature),
        "loss": np.float32(loss),
        "grad_student_logits": (temperature / batch * (p_s - p_t)).astype(np.float32),
    }


def crd_step(arrays: dict, suffix: str, banks: list[np.ndarray], normalizers: list[float] | None):
    """One CRD step in float64 loops: (both losses, normalizers, embedded); moves `banks`."""
    temperature, samples = float(arrays["hp.T"]), int(arrays["hp.n_data"])
    rows = arrays[f"idx{suffix}"]
    embedded = []
    for side, network in (("s", "student"), ("t", "teacher")):
        weight, bias = arrays[f"param.embed_{side}.linear.weight"], arrays[f"param.embed_{side}.linear.bias"]
        v = arrays[f"{network}_embedding{suffix}"].astype(np.float64) @ weight.astype(np.float64).T + bias
        embedded.append(v / np.sqrt((v**2).sum(1, keepdims=True)))
    batch, columns = rows.shape
    noise = (columns - 1) / samples
    losses, constants = [], []
    for side in range(2):
        exponentials = np.empty(rows.shape)
        for b in range(batch):
            for j in range(columns):
                exponentials[b, j] = np.exp(banks[1 - side][rows[b, j]] @ embedded[side][b] / temperature)
        z = samples * exponentials.mean() if normalizers is None else normalizers[side]
        loss = 0.0
        for b in range(batch):
            for j in range(columns):
                p = exponentials[b, j] / z
                loss -= np.log((p if j == 0 else noise) / (p + noise + 1e-7)) / batch
        losses.append(loss)
        constants.append(z)
    for side in range(2):
        for b in range(batch):
            moved = float(arrays["hp.momentum"]) * banks[side][rows[b, 0]]
            moved = moved + (1 - float(arrays["hp.momentum"])) * embedded[side][b]
            banks[side][rows[b, 0]] = moved / np.sqrt((moved**2).sum())
    return losses, constants, embedded


def crd_reference(rng: np.random.Generator, batch=6, samples=31, negatives=11, dimension=7, widths=(9, 13)):
    """A crd file of two steps from float64 NumPy loops, without gradients."""
    arrays = {
        "hp.T": np.float64(0.1),
        "hp.K": np.int64(negatives),
        "hp.n_data": np.int64(samples),
        "hp.feat_dim": np.int64(dimension),
        "hp.momentum": np.float64(0.3),
        "memory_v1": rng.uniform(-0.6, 0.6, (samples, dimension)).astype(np.float32),
        "memory_v2": rng.uniform(-0.6, 0.6, (samples, dimension)).astype(np.float32),
    }
    for side, network, width in zip("st", ("student", "teacher"), widths, strict=True):
        arrays[f"param.embed_{side}.linear.weight"] = rng.normal(size=(dimension, width)).astype(np.float32)
        arrays[f"param.embed_{side}.linear.bias"] = rng.normal(size=dimension).astype(np.float32)
        for suffix in ("", "_step2"):
            arrays[f"{network}_embedding{suffix}"] = rng.normal(size=(batch, width)).astype(np.float32)
    for suffix in ("", "_step2"):
        rows = np.stack([rng.permutation(samples)[: negatives + 1] for _ in range(batch)])
        rows[:, 0] = rng.permutation(samples)[:batch]
        arrays[f"y{suffix}"], arrays[f"idx{suffix}"] = rows[:, 0], rows
    banks = [arrays[f"memory_v{i}"].astype(np.float64) for i in (1, 2)]
    (loss_s, loss_t), normalizers, embedded = crd_step(arrays, "", banks, None)
    arrays |= {"loss_s": loss_s, "loss_t": loss_t, "loss": loss_s + loss_t}
    arrays |= {"Z_v1": normalizers[0], "Z_v2": normalizers[1]}
    arrays |= {"out_embed_s": embedded[0], "out_embed_t": embedded[1]}
    arrays |= {f"updated_rows_v{i + 1}": banks[i][arrays["y"]].copy() for i in range(2)}
    arrays["loss_step2"] = np.sum(crd_step(arrays, "_step2", banks, normalizers)[0])
    return arrays


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_golden_file_is_met_in_all_that_it_stores(file):
    errors = errors_of(file)
    assert errors is not None
    with np.load(file) as stored:
        wanted = {
            name for name in stored.files if name.startswith(("loss", "grad_", "out_", "Z_", "updated_"))
        }
    assert set(errors) >= wanted - {"loss64"}
    assert all(error <= tolerance_of(file.stem, name) for name, error in errors.items()), errors


def test_the_command_passes_on_the_folder(capsys):
    assert main([str(FOLDER)]) == 0
    assert f"{len(FILES)} checked, 0 failed" in capsys.readouterr().out


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
@pytest.mark.parametrize("spoil", [lambda x: x * 1.01, lambda x: x * np.nan], ids=["1 % off", "NaN"])
def test_a_loss_or_a_gradient_that_is_off_fails(file, spoil, tmp_path):
    arrays = arrays_of(file.stem)
    gradient = next(name for name in arrays if name.startswith("grad_"))
    for name in ("loss", gradient):
        np.savez(tmp_path / file.name, **arrays | {name: spoil(arrays[name])})
        assert main([str(tmp_path / file.name)]) == 1


@pytest.mark.parametrize(("name", "reference"), [("kd_other_shape", kd_reference), ("crd_b", crd_reference)])
@pytest.mark.parametrize("seed", [0, 1])
def test_files_of_other_shapes_from_independent_maths_pass(name, reference, seed, tmp_path):
    np.savez(tmp_path / f"{name}.npz", **reference(np.random.default_rng(seed)))
    errors = errors_of(tmp_path / f"{name}.npz")
    assert max(errors.values()) < TOLERANCE, errors
    assert main([str(tmp_path)]) == 0


def test_an_unknown_file_is_named_and_fails_nothing(tmp_path, capsys):
    np.savez(tmp_path / "unheard_of.npz", **arrays_of("kd"))
    assert main([str(tmp_path)]) == 0
    assert "unheard_of.npz: no adapter" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"not an archive", b"", None], ids=["garbage", "empty", "missing"])
def test_an_unreadable_file_is_named_in_one_line(content, tmp_path, capsys):
    file = tmp_path / "kd.npz"
    if content is not None:
        file.write_bytes(content)
    assert main([str(file)]) == 2
    message = capsys.readouterr().err
    assert str(file) in message
    assert message.count("\n") == 1


def test_an_incomplete_file_is_named_in_one_line(tmp_path, capsys):
    arrays = arrays_of("kd")
    del arrays["teacher_logits"]
    np.savez(tmp_path / "kd.npz", **arrays)
    assert main([str(tmp_path)]) == 2
    assert "teacher_logits" in capsys.readouterr().err


def test_a_stem_matches_up_to_a_letter():
    assert adapter_of("crd_b") is adapter_of("crd") is adapter_of("crd2")
    assert adapter_of("crdx") is None
    assert adapter_of("fitnet_convreg_up") is adapter_of("fitnet_core")
