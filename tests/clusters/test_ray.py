"""Ray: on a cluster of two nodes the grid is that of one process, whatever dies meanwhile."""

from __future__ import annotations

import builtins
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmark.clusters import ray_cluster
from benchmark.clusters.ray_cluster import packed, unpack
from tests.command import numbers, records, run

ray = pytest.importorskip("ray")
from ray.cluster_utils import Cluster  # noqa: E402 - where Ray is there

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500), pytest.mark.xdist_group("ray")]
NAMES = ("scratch", "kd", "crd")
ARGUMENTS = (
    *("--datasets", "shapes", "--pairs", "conv2d_16-conv2d_8", "--train-samples", "256"),
    *("--teacher-samples", "64", "--teacher-epochs", "1", "--seeds", "0", "1", "2"),
)


@pytest.fixture(scope="module")
def started() -> Iterator[Cluster]:
    """A head without cores; starting one takes longer than all that is done on it."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def cluster(started: Cluster) -> Cluster:
    """That head and two nodes with one core each, whatever became of those of the test before."""
    while len(started.worker_nodes) < 2:
        started.add_node(num_cpus=1)
    started.wait_for_nodes()
    return started


def same(results: Path, others: Path) -> None:
    found, expected = records(results), records(others)
    assert found.keys() == expected.keys()
    for slug, record in found.items():
        assert numbers(record) == numbers(expected[slug])
        assert record.files == expected[slug].files, "weights, arrays and history, to the byte"
        assert (results / "t" / "runs" / slug / "weights.safetensors").exists()


def grid(results: Path, cluster: Cluster | None = None, epochs: int = 2) -> int:
    more = () if cluster is None else ("--executor", "ray", "--jobs", "2", "--ray-address", cluster.address)
    return run(results, *ARGUMENTS, "--epochs", str(epochs), *more, baselines=NAMES, task="compression")


def test_with_a_node_killed_midway_the_records_are_those_of_one_process(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert grid(tmp_path / "one", epochs=12) == 0
    killed = threading.Event()
    elsewhere = ray_cluster.RayExecutor._tell

    def kill_once(executor, board):
        """The second node goes when a student's first epochs have been told."""
        elsewhere(executor, board)
        if not killed.is_set() and (tmp_path / "ray" / "teachers").is_dir():
            time.sleep(1.0)
            cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
            killed.set()

    monkeypatch.setattr(ray_cluster.RayExecutor, "_tell", kill_once)
    assert grid(tmp_path / "ray", cluster, epochs=12) == 0
    assert killed.is_set()
    same(tmp_path / "ray", tmp_path / "one")
    assert not list((tmp_path / "ray").glob(".ray-*"))
    assert not list((tmp_path / "ray").rglob("*.lock"))


def test_what_was_stored_when_the_command_died_is_not_trained_again(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert grid(tmp_path / "one") == 0
    stored = ray_cluster.RayExecutor._stored
    kept: list[str] = []

    def dies(executor, order, parcel):
        done = stored(executor, order, parcel)
        kept.extend(each.slug for each in order.runs)
        if kept:
            raise KeyboardInterrupt
        return done

    with monkeypatch.context() as patch:
        patch.setattr(ray_cluster.RayExecutor, "_stored", dies)
        assert grid(tmp_path / "ray", cluster) == 130
    before = {slug: record.provenance.finished for slug, record in records(tmp_path / "ray").items()}
    assert sorted(before) == sorted(kept)
    assert grid(tmp_path / "ray", cluster) == 0
    same(tmp_path / "ray", tmp_path / "one")
    for slug, finished in before.items():
        assert records(tmp_path / "ray")[slug].provenance.finished == finished


def test_a_plugin_goes_along_and_its_failure_comes_back(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = tmp_path / "shipped.py"
    plugin.write_text(
        "from benchmark import Distiller, baseline\n\n\n"
        '@baseline("shipped", title="Shipped")\nclass Shipped(Distiller):\n'
        '    """Has the student\'s logits small."""\n\n'
        "    def forward(self, teacher, student, batch, progress):\n"
        '        return {"small": student.logits.square().mean()}\n\n\n'
        '@baseline("breaks", title="Breaks")\nclass Breaks(Distiller):\n'
        '    """Fails."""\n\n'
        "    def forward(self, teacher, student, batch, progress):\n"
        '        raise KeyError("a mistake in a plugin")\n'
    )
    own = builtins.print
    code = run(
        tmp_path, *ARGUMENTS, "--epochs", "1", "--plugin", str(plugin), "--executor", "ray", "--jobs", "2",
        "--ray-address", cluster.address, baselines=("kd", "shipped", "breaks"), task="compression",
    )  # fmt: skip
    assert code == 1
    assert builtins.print is own, "Ray has put its own in place of Python's"
    told = capsys.readouterr().out.replace("\n", " ")
    assert "breaks failed: KeyError" in told
    found = [(each.run.baseline, each.status) for each in records(tmp_path).values()]
    assert sorted(set(found)) == [("breaks", "failed"), ("kd", "finished"), ("shipped", "finished")]
    assert len(found) == 9
    (record, *_) = (each for each in records(tmp_path).values() if each.run.baseline == "shipped")
    assert record.provenance.threads == 1
    assert len(list((tmp_path / "teachers").glob("shapes-conv2d_16-*/record.json"))) == 1


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "ray://127.0.0.1:1"])
def test_a_cluster_that_is_not_there_is_told(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--executor", "ray", "--ray-address", address) == 2
    assert f"--ray-address {address}: " in capsys.readouterr().err


def test_nothing_in_a_parcel_gets_out_of_its_place(tmp_path: Path) -> None:
    import io
    import tarfile

    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c.txt").write_text("kept")
    unpack(packed(tmp_path / "a"), tmp_path / "there")
    assert (tmp_path / "there" / "a" / "b" / "c.txt").read_text() == "kept"
    assert packed(tmp_path / "nowhere") == b""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        entry = tarfile.TarInfo("../out.txt")
        entry.size = 1
        archive.addfile(entry, io.BytesIO(b"x"))
    with pytest.raises(tarfile.OutsideDestinationError):
        unpack(stream.getvalue(), tmp_path / "there")
    assert not (tmp_path / "out.txt").exists()
