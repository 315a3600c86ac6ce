"""Processes that train one cohort together: the first one plans, keeps and records, and the others follow it.

Followers wait for orders, rebuild from specs what these name, and do their part of every step. Teachers and
snapshots come with the orders: no folder is shared.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from benchmark import interruption, launching, plugins
from benchmark.errors import RanksApart, UserError
from benchmark.evaluation.cost import Cost
from benchmark.planning.grid import storage_of
from benchmark.planning.specs import CohortSpec, RunSpec
from benchmark.plugins import Registry
from benchmark.ranks import Fabric, Share
from benchmark.ranks.several import Several
from benchmark.running.device import make_fabric
from benchmark.settings import Settings
from benchmark.training.cohort import CohortTraining
from benchmark.training.loop import Position
from benchmark.training.materials import Materials, Workbench
from benchmark.training.run_state import Status
from benchmark.training.snapshots import Snapshot
from benchmark.training.teacher import Teacher, TeacherTraining

PATIENCE = 30.0
"""Seconds that followers have to end, once the first process is done."""


@contextmanager
def together(settings: Settings, fabric: Fabric) -> Iterator[None]:
    """The other processes of this machine train along in the body; nothing where there are none.

    A process that another one started (torchrun) starts none itself.
    """
    if settings.ranks == 1:
        yield
        return
    if settings.batch_norm == "sync" and fabric.device.type != "cuda":
        raise UserError("--batch-norm sync: torch synchronises batch norms on CUDA alone: give rank")
    with _on_this_machine(settings), _joined(settings, fabric) as ranks:
        yield
        ranks.tell("end")


@contextmanager
def _on_this_machine(settings: Settings) -> Iterator[None]:
    """Starts a process for each device but the first, unless torchrun has started them all."""
    if launching.by_torchrun():
        yield
        return
    before = {name: os.environ.get(name) for name in (*launching.MEETING_POINT, "LOCAL_RANK")}
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_PORT", str(_free_port()))
    os.environ |= {"NODE_RANK": str(launching.node()), "LOCAL_RANK": "0"}
    context = multiprocessing.get_context("spawn")
    processes: list[BaseProcess] = []
    try:
        for number in range(1, settings.devices):
            # No daemon: those may not start the processes that read data ahead.
            processes.append(context.Process(target=_serve, args=(settings, dict(os.environ), number)))
            processes[-1].start()
        yield
    except BaseException:
        for process in processes:
            process.kill()  # they keep nothing, and may wait for an order that does not come
        raise
    finally:
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value
        for process in processes:
            process.join(PATIENCE)
            process.kill()


def _serve(settings: Settings, environment: Mapping[str, str], number: int) -> None:
    os.environ.update(environment)
    os.environ["LOCAL_RANK"] = str(number)
    with interruption.signals_heard():
        raise SystemExit(_follow(settings, plugins.load(settings.plugin)))


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def _joined(settings: Settings, fabric: Fabric) -> Iterator[Several]:
    """This process as one of the ranks; cores are shared out among those of a machine."""
    threads = torch.get_num_threads()
    if not launching.by_torchrun():  # which gives each process its own
        threads = max(1, threads // settings.devices)
    for name in ("lightning_fabric", "lightning_utilities"):
        logging.getLogger(name).setLevel(logging.WARNING)  # they would tell of each process
    fabric.launch()
    torch.set_num_threads(threads)
    share = Share(fabric.global_rank, fabric.world_size)
    fabric.ranks = ranks = Several(share, fabric.device, settings.batch_norm == "sync")
    try:
        yield ranks
    finally:
        dist.destroy_process_group()


def follow(settings: Settings, registry: Registry) -> int:
    """What a process does that is not the first; the first one of a machine starts its others, too.

    Returns its exit code: 1 where it did not come to the end, 130 or 143 where it was asked to stop.
    """
    if launching.local() or launching.by_torchrun():
        return _follow(settings, registry)
    with _on_this_machine(settings):
        return _follow(settings, registry)


def _follow(settings: Settings, registry: Registry) -> int:
    try:
        return _orders_taken(settings, registry)
    except interruption.Interrupted as stop:
        return stop.exit_code


def _orders_taken(settings: Settings, registry: Registry) -> int:
    # A signal waits for the step at which all ranks agree to stop, or for the end.
    with interruption.between_steps():
        fabric = make_fabric(settings.device, settings.precision, *settings.processes)
        fabric.fuse, fabric.fold = settings.fuse, settings.fold
        with _joined(settings, fabric) as ranks:
            follower, code = _Follower(settings, registry, fabric), 0
            while True:
                try:
                    kind, *content = ranks.told()
                    if kind == "end":
                        return code
                    with ranks.together():
                        getattr(follower, kind)(*content)
                except interruption.Interrupted as stop:
                    code = stop.exit_code
                except RanksApart:
                    return code or 1


class _Follower:
    """Carries out orders; each method is one, told by `Ranks.tell`."""

    def __init__(self, settings: Settings, registry: Registry, fabric: Fabric):
        self._registry, self._fabric = registry, fabric
        self._workbench = Workbench(registry, storage_of(settings), lambda line: None)
        self._companies: dict[int, CohortTraining] = {}
        self._materials: Materials | None = None
        self._teacher: Teacher | None = None

    def teacher(self, spec: CohortSpec, snapshot: Snapshot) -> None:
        """Trains a teacher along, from where the first process goes on."""
        materials = self._workbench.materials(spec)
        training = TeacherTraining(materials, materials.teacher_network(self._fabric.device), self._fabric)
        if snapshot.state:
            training.state.restore(snapshot.state)
        training.train(None, lambda epoch: None, None, snapshot.position)

    def cohort(self, spec: CohortSpec, weights: Mapping[str, Tensor]) -> None:
        """Makes a cohort ready with its teacher; the first process probes and corrupts alone."""
        self._companies.clear()
        materials = self._workbench.materials(replace(spec, probes=False, corruptions=False))
        network = materials.teacher_network(self._fabric.device)
        network.load_state_dict(weights)
        network.eval().requires_grad_(False)
        self._materials = materials
        self._teacher = Teacher(spec.teacher, network, "", {}, {}, torch.empty(0), Cost(0, 0))

    def company(
        self,
        number: int,
        runs: tuple[RunSpec, ...],
        position: Position,
        states: Mapping[str, Any],
        budget: float,
    ) -> None:
        """Makes some runs of the cohort ready to train, from their snapshots."""
        assert self._materials is not None  # a cohort is told first
        assert self._teacher is not None
        self._companies[number] = CohortTraining(
            self._materials,
            runs,
            self._teacher,
            self._fabric,
            self._registry,
            position,
            states,
            budget=budget,
        )

    def release(self, number: int) -> None:
        """Lets go of them."""
        self._companies.pop(number).release()

    def advance(self, number: int, until: int | None, statuses: Mapping[str, tuple[Status, str]]) -> None:
        """Trains them along."""
        training = self._companies[number]
        training.adopt(statuses)
        training.advance(until, None, lambda run, epoch: None)

    def evaluate(self, number: int, name: str) -> None:
        """Predicts its share of the test split."""
        training = self._companies[number]
        training.outcome(next(state for state in training.states if state.name == name))
