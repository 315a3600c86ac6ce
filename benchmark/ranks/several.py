"""Several ranks: what they send each other while they train, over torch.distributed.

Tensors go by the device's own backend (nccl, gloo), everything else by gloo. Before each exchange ranks tell
each other that they are well: one that failed alone is noticed by all, and none waits for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.modules.batchnorm import _NormBase

from benchmark.contracts import Activations, Batch
from benchmark.errors import RanksApart, UserError, reason_of
from benchmark.ranks import Ranks, Share
from benchmark.ranks.gathering import Gathered, OwnRows, WholeBatch, classify_once
from benchmark.seeds import RandomStream, derive

Value = TypeVar("Value")

ANSWER = timedelta(minutes=30)
"""How long tensors may be under way, once all ranks are well and have them."""
PATIENCE = timedelta(days=1)
"""How long ranks wait for one that is alive: the first may have to wait for another command, say."""


class Several(Ranks):
    """Ranks that have met (torch's default process group is there).

    synchronised   whether batch norms of students and teachers in training see whole batches
    """

    def __init__(self, share: Share, device: torch.device, synchronised: bool):
        self.share, self._device, self._synchronised = share, device, synchronised
        self._tensors: Any = dist.new_group(timeout=ANSWER)
        self._words: Any = dist.new_group(backend="gloo", timeout=PATIENCE)

    def together(self) -> AbstractContextManager[None]:
        return self._together()

    @contextmanager
    def _together(self) -> Iterator[None]:
        try:
            yield
        except RanksApart:
            raise
        except (Exception, SystemExit) as error:
            self._exchange(error)
            raise

    @contextmanager
    def _own_draws(self, seed: int) -> Iterator[None]:
        with RandomStream(seed, self._device).active():
            yield

    def own_draws(self, seed: int, *names: object) -> AbstractContextManager[None]:
        return self._own_draws(derive(seed, "rank", self.share.rank, *names))

    def prepared(self, network: nn.Module, name: str) -> None:
        if self._synchronised:
            synchronise(network, name)

    def shown(self, own: Activations, total: int) -> Activations:
        if not own.logits.requires_grad:
            return Gathered.of(own, partial(self._gathered, total), own.classify)
        return Gathered.of(
            own, partial(self._with_gradient, total), classify_once(own.classify, self.share.count)
        )

    def whole(self, batch: Batch, facts: Batch) -> Batch:
        return WholeBatch(facts, batch, partial(self._gathered, len(facts["index"])))

    def reduce(self, network: nn.Module, parameters: Iterable[nn.Parameter]) -> None:
        of_network = {id(parameter) for parameter in network.parameters()}
        summed, averaged = [], list(running_statistics(network))
        for parameter in parameters:
            if parameter.grad is not None:
                (summed if id(parameter) in of_network else averaged).append(parameter.grad)
        self._exchange()
        for kind in dict.fromkeys(tensor.dtype for tensor in (*summed, *averaged)):
            self._sum([each for each in summed if each.dtype == kind], 1)
            self._sum([each for each in averaged if each.dtype == kind], self.share.count)

    @torch.no_grad()
    def _sum(self, tensors: Sequence[Tensor], divisor: int) -> None:
        """Puts the sum over ranks, divided, in the tensors' place; all of them travel as one."""
        if not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with _lost():
            dist.all_reduce(flat, group=self._tensors)
        flat /= divisor
        for tensor, part in zip(tensors, flat.split([each.numel() for each in tensors]), strict=True):
            tensor.copy_(part.view(tensor.shape))

    def signal(self, heard: int | None) -> int | None:
        return next((signum for _, signum in self._exchange(signum=heard or 0) if signum), None)

    def from_first(self, value: Value) -> Value:
        self._exchange()
        content: list[Any] = [value]
        with _lost():
            dist.broadcast_object_list(content, 0, group=self._words, device=torch.device("cpu"))
        return content[0]

    def in_turn(self, own: Sequence[Value]) -> Sequence[Value]:
        self._exchange()
        dealt = self._all(own)
        return [own[turn] for turn in range(len(dealt[0])) for own in dealt if turn < len(own)]

    def tell(self, *order: Any) -> None:
        if self.first:
            self.from_first(order)

    def told(self) -> tuple[Any, ...]:
        """What the first rank tells the others, who wait for it. Raises RanksApart where it has ended."""
        return self.from_first(())

    def _with_gradient(self, total: int, own: Tensor) -> Tensor:
        begin = self.share.rows(total).start * (len(own) // self._size(total))
        return OwnRows.apply(own, partial(self._gathered, total), begin)  # pyright: ignore[reportReturnType]

    def _size(self, total: int) -> int:
        rows = self.share.rows(total)
        return rows.stop - rows.start

    def _gathered(self, total: int, own: Tensor) -> Tensor:
        """The rows of all ranks; one may have several for each of the `total` samples."""
        self._exchange()
        each = len(own) // self._size(total)
        sizes = [(rows.stop - rows.start) * each for rows in (s.rows(total) for s in self.share.of_each())]
        sent = own.detach().contiguous()
        if len(sent) < max(sizes):
            sent = torch.cat([sent, sent.new_zeros(max(sizes) - len(sent), *sent.shape[1:])])
        found = [torch.empty_like(sent) for _ in sizes]
        with _lost():
            dist.all_gather(found, sent, group=self._tensors)
        return torch.cat([part[:size] for part, size in zip(found, sizes, strict=True)])

    def _exchange(self, error: BaseException | None = None, signum: int = 0) -> list[tuple[bool, int]]:
        """Whether each rank has failed, and the signal that it heard. Raises RanksApart where some failed."""
        mine = torch.tensor([error is not None, signum])
        found = [torch.empty_like(mine) for _ in range(self.share.count)]
        with _lost():
            dist.all_gather(found, mine, group=self._words)
        told = [(bool(failed), int(heard)) for failed, heard in (each.tolist() for each in found)]
        failed = [rank for rank, (has_failed, _) in enumerate(told) if has_failed]
        if failed and len(failed) < self.share.count:
            reasons = self._all("" if error is None else reason_of(error))
            raise RanksApart(f"process {failed[0]} of {self.share.count} failed alone: {reasons[failed[0]]}")
        return told

    def _all(self, own: Value) -> list[Value]:
        found: list[Any] = [None] * self.share.count
        with _lost():
            dist.all_gather_object(found, own, group=self._words)
        return found


@contextmanager
def _lost() -> Iterator[None]:
    """What torch raises where a process is gone, or silent for too long."""
    try:
        yield
    except RuntimeError as error:
        raise RanksApart(
            f"a process that trains along has ended or gives no answer ({reason_of(error)}); start the same "
            "command again: it goes on from what is kept"
        ) from error


def running_statistics(network: nn.Module) -> Iterator[Tensor]:
    """The running means and variances of a network's batch norms."""
    for module in network.modules():
        if isinstance(module, _NormBase):
            yield from (x for x in (module.running_mean, module.running_var) if x is not None)


PLAIN_NORMS: tuple[type[nn.Module], ...] = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def synchronise(network: nn.Module, name: str) -> None:
    """Has the batch norms inside a network see the rows of all ranks; hooks on them stay.

    Raises UserError where it has any of a kind of its own: torch would put a plain one in its place.
    """
    before = {path: each for path, each in network.named_modules() if isinstance(each, _NormBase)}
    for module in before.values():
        if type(module) not in (*PLAIN_NORMS, nn.SyncBatchNorm):
            raise UserError(
                f"{name} has batch norms of its own kind ({type(module).__name__}): give --batch-norm rank"
            )
    nn.SyncBatchNorm.convert_sync_batchnorm(network)
    after = dict(network.named_modules())
    for path, module in before.items():
        for hooks in ("_forward_hooks", "_forward_pre_hooks"):
            getattr(after[path], hooks).update(getattr(module, hooks))
