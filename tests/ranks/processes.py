"""Runs a function in several processes that meet over gloo; forked from this one, they import nothing."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

from benchmark.ranks import Share
from benchmark.ranks.several import Several


def in_ranks(place: Path, work: Callable[[Several], Any], count: int = 2) -> list[Any]:
    """What `work` returns on each of the ranks. Raises RuntimeError with the traceback of one that fails."""
    context = multiprocessing.get_context("fork")
    processes, ends = [], []
    for rank in range(count):
        ours, theirs = context.Pipe()
        processes.append(context.Process(target=_serve, args=(theirs, place / "meeting", rank, count, work)))
        processes[-1].start()
        theirs.close()
        ends.append(ours)
    try:
        answers = [end.recv() if end.poll(300) else (False, "no answer") for end in ends]
    finally:
        for process in processes:
            process.join(5)
            process.kill()
    for well, answer in answers:
        if not well:
            raise RuntimeError(answer)
    return [answer for _, answer in answers]


def _serve(end: Connection, meeting: Path, rank: int, count: int, work: Callable[[Several], Any]) -> None:
    torch.set_num_threads(1)
    try:
        dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=count)
        end.send((True, work(Several(Share(rank, count), torch.device("cpu"), False))))
    except BaseException:
        end.send((False, traceback.format_exc()))
    finally:
        dist.destroy_process_group()
