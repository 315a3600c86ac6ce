"""Ray: on a cluster of two nodes the grid is that of one process, whatever dies meanwhile."""

from __future__ import annotations

import builtins
import gc
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from benchmark.clusters import ray_cluster
from benchmark.clusters.ray_connection import connected
from benchmark.clusters.ray_tasks import packed, unpack
from benchmark.running.display import PlainDisplay
from benchmark.settings import parse
from tests.command import TINY, TINY_TASK, numbers, outcome, records, run, trials

ray = pytest.importorskip("ray")
from ray.cluster_utils import Cluster  # noqa: E402 - where Ray is there

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("ray")]
NAMES = ("scratch", "kd", "crd")
SEEDS = ("--seeds", "0", "1", "2")
BARE = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
"""What a node does without: each is a process that takes seconds to start."""
TUNE = ("--tune", "4", "--seeds", "0")
connections = ExitStack()
"""The connection that tests share, where there is one."""


@pytest.fixture(scope="module")
def started() -> Iterator[Cluster]:
    """A head without cores; starting one takes longer than all that is done on it."""
    made = patient(lambda: Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **BARE}))
    yield made
    connections.close()
    made.shutdown()
    vars(made).clear()
    gc.collect()


def patient(start: Callable[[], Any]) -> Any:
    """Ray gives a node 30 seconds to start, which is too little where others have the cores.

    Its nodes are not to be ended at exit, for `started` does that, and leaves nothing of them: a process that
    a later test forks would end them, too (from Python 3.13 on it clears these handlers), and crash by it.
    """
    for trial in range(5):
        try:
            with mock.patch("atexit.register"):
                return start()
        except Exception as error:
            if trial == 4 or "timed out during startup" not in str(error):
                raise


@pytest.fixture
def nodes(started: Cluster) -> Cluster:
    """That head and two nodes with one core each, whatever became of those of the test before."""
    while len(started.worker_nodes) < 2:
        # These nodes are one machine: one that joins unpacks our code where the others' processes have it.
        connections.close()
        patient(lambda: started.add_node(num_cpus=1, include_log_monitor=False))
    started.wait_for_nodes()
    return started


@pytest.fixture
def cluster(nodes: Cluster) -> Cluster:
    """The same, and connected already: processes of the nodes that have imported our code stay there."""
    if not ray.is_initialized():
        connections.enter_context(connected(ray, parse([*TINY, *on(nodes)])))
    return nodes


@pytest.fixture(params=["shared", "apart"])
def folders(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether nodes share the results folder. Those of a test do; they are told that they don't."""
    if request.param == "apart":
        apart(monkeypatch)
    return request.param


def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "seen_by_all", lambda ray, folder: nullcontext())


def same(results: Path, others: Path) -> None:
    found, expected = records(results), records(others)
    assert found.keys() == expected.keys()
    for slug, record in found.items():
        assert numbers(record) == numbers(expected[slug])
        assert record.files == expected[slug].files, "weights, arrays and history, to the byte"
        assert (results / "t" / "runs" / slug / "weights.safetensors").exists()


def on(cluster: Cluster) -> tuple[str, ...]:
    return ("--executor", "ray", "--jobs", "2", "--ray-address", cluster.address)


def grid(results: Path, *arguments: str, epochs: int = 2) -> int:
    arguments = arguments if "--seeds" in arguments else (*SEEDS, *arguments)
    given = ("--plugin", TINY_TASK, "--teacher-epochs", "1", "--epochs", str(epochs), *arguments)
    return run(results, *given, baselines=NAMES)


def test_trials_of_tuning_choose_what_they_choose_in_one_process(
    folders: str, cluster: Cluster, tmp_path: Path
) -> None:
    assert grid(tmp_path / "one", *TUNE, epochs=4) == 0
    assert grid(tmp_path / "ray", *TUNE, *on(cluster), epochs=4) == 0
    found, expected = trials(tmp_path / "ray"), trials(tmp_path / "one")
    assert found.keys() == expected.keys()
    assert len(found) == 4 * len(NAMES)
    for name, record in found.items():
        assert outcome(record) == outcome(expected[name])
        assert record.files == expected[name].files
    chosen = [(tmp_path / which / "t" / "tuned").glob("*.yaml") for which in ("ray", "one")]
    assert [file.read_text() for file in chosen[0]] == [file.read_text() for file in chosen[1]]
    same(tmp_path / "ray", tmp_path / "one")
    assert not list((tmp_path / "ray").rglob("*.lock"))


def test_a_trial_that_lost_its_record_is_halved_with_those_that_are_recorded(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart(monkeypatch)
    assert grid(tmp_path, *TUNE, epochs=4) == 0
    before = trials(tmp_path)
    (folder,) = (tmp_path / "t" / "trials").glob("*-trial_2_kd-*")
    shutil.rmtree(folder)
    assert grid(tmp_path, *TUNE, *on(cluster), epochs=4) == 0
    after = trials(tmp_path)
    again = [name for name, record in after.items() if record.provenance != before[name].provenance]
    assert again == ["kd 2"]
    assert {name: outcome(each) for name, each in after.items()} == {
        name: outcome(each) for name, each in before.items()
    }


def test_a_checkpoint_that_the_command_alone_has_goes_along(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks start in another folder, where the name of the file names nothing."""
    assert grid(tmp_path / "teacher", "--seeds", "0", epochs=1) == 0
    (weights,) = (tmp_path / "teacher" / "teachers").glob("*/weights.safetensors")
    shutil.copy(weights, tmp_path / "given.safetensors")
    monkeypatch.chdir(tmp_path)
    given = ("--plugin", TINY_TASK, "--seeds", "0", "1", "--teacher-checkpoint", "given.safetensors")
    for where, arguments in (("one", ()), ("ray", on(cluster))):
        assert run(Path(where), *given, *arguments, baselines=NAMES) == 0
    same(tmp_path / "ray", tmp_path / "one")
    for file in (tmp_path / "one" / "t" / "runs").glob("*/config.json"):
        assert (tmp_path / "ray" / file.relative_to(tmp_path / "one")).read_text() == file.read_text()
    assert {each.condition.teacher_checkpoint for each in records(tmp_path / "ray").values()} == {
        "given.safetensors"
    }


def test_what_was_stored_when_the_command_died_is_not_trained_again(
    folders: str, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
        assert grid(tmp_path / "ray", *on(cluster)) == 130
    before = {slug: record.provenance.finished for slug, record in records(tmp_path / "ray").items()}
    assert set(before) >= set(kept)
    if folders == "apart":
        assert sorted(before) == sorted(kept)
    assert grid(tmp_path / "ray", *on(cluster)) == 0
    same(tmp_path / "ray", tmp_path / "one")
    for slug, finished in before.items():
        assert records(tmp_path / "ray")[slug].provenance.finished == finished


def test_with_a_node_killed_midway_the_records_are_those_of_one_process(
    folders: str, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second node goes when students have been told to be in their third epoch."""
    two = ("--seeds", "0", "1")
    assert grid(tmp_path / "one", *two, epochs=12) == 0
    told: dict[str, list[int]] = {}
    killed: list[str] = []

    def kill_once(display: PlainDisplay, title: str, line: str) -> None:
        told.setdefault(title, []).append(int(line.split()[1].partition("/")[0]))
        if line.startswith("epoch 3/12") and not killed:
            killed.append(title)
            cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)

    monkeypatch.setattr(PlainDisplay, "elsewhere", kill_once)
    assert grid(tmp_path / "ray", *two, *on(cluster), "--snapshot-minutes", "0", epochs=12) == 0
    assert killed
    same(tmp_path / "ray", tmp_path / "one")
    if folders == "shared":
        for epochs in told.values():  # by the second one a snapshot was there
            assert 1 not in epochs[epochs.index(2) if 2 in epochs else len(epochs) :], (
                "a training started over, in spite of its snapshots"
            )
    assert not list((tmp_path / "ray").glob(".ray-*"))
    assert not list((tmp_path / "ray").rglob("*.lock"))


def test_a_plugin_goes_along_and_its_failure_comes_back(
    nodes: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    connections.close()  # the command connects by itself
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
        tmp_path, *SEEDS, "--epochs", "1", "--plugin", TINY_TASK, str(plugin), *on(nodes),
        baselines=("kd", "shipped", "breaks"),
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
    assert len(list((tmp_path / "teachers").glob("stripes-tiny_big-*/record.json"))) == 1


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
    unpack(packed(tmp_path, tmp_path / "a" / "b", tmp_path / "nowhere"), tmp_path / "there")
    assert (tmp_path / "there" / "a" / "b" / "c.txt").read_text() == "kept"
    assert packed(tmp_path, tmp_path / "nowhere") == b""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        entry = tarfile.TarInfo("../out.txt")
        entry.size = 1
        archive.addfile(entry, io.BytesIO(b"x"))
    with pytest.raises(tarfile.OutsideDestinationError):
        unpack(stream.getvalue(), tmp_path / "there")
    assert not (tmp_path / "out.txt").exists()
