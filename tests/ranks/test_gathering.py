"""Shares of a batch, and what ranks make of them together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmark import Activations
from benchmark.errors import RanksApart, UserError
from benchmark.ranks import Share
from benchmark.ranks.several import Several, synchronise
from tests.ranks.processes import in_ranks


@pytest.mark.parametrize(("total", "count"), [(8, 2), (7, 2), (7, 3), (3, 3), (10, 4)])
def test_shares_are_contiguous_and_nearly_even(total: int, count: int) -> None:
    rows = [list(range(total))[share.rows(total)] for share in Share(0, count).of_each()]
    assert [each for some in rows for each in some] == list(range(total))
    assert max(map(len, rows)) - min(map(len, rows)) <= 1


def test_activations_are_gathered_where_somebody_looks_and_gradients_take_their_own_way(
    tmp_path: Path,
) -> None:
    whole = torch.arange(14.0).view(7, 2)

    def work(ranks: Several) -> None:
        own = whole[ranks.share.rows(7)].clone().requires_grad_()
        thrice = own.repeat_interleave(3, 0)
        seen = ranks.shown(Activations(own, own, (own, own + 1), second=Activations(thrice, thrice)), 7)
        assert torch.equal(seen.logits, whole)
        assert torch.equal(seen.maps[-1], whole + 1)
        assert len(seen.maps) == 2
        assert len(list(seen.tensors())) == 2  # nothing else was sent
        assert seen.second is not None
        assert torch.equal(seen.second.logits, whole.repeat_interleave(3, 0))
        assert torch.equal(replace(seen, logits=whole + 5).embedding, whole)
        weight = torch.arange(7.0)[:, None]
        (seen.logits * weight).sum().backward()
        assert torch.equal(own.grad, weight[ranks.share.rows(7)].expand(-1, 2))

    in_ranks(tmp_path, work)


def test_what_a_loss_does_with_the_students_classifier_is_counted_once(tmp_path: Path) -> None:
    torch.manual_seed(1)
    body, head, inputs = nn.Linear(3, 4), nn.Linear(4, 2), torch.randn(5, 3)
    parameters = [*body.parameters(), *head.parameters()]

    def loss(shown: Activations) -> torch.Tensor:
        assert shown.classify is not None
        return shown.logits.square().sum() + shown.classify(shown.embedding.roll(1, 0)).exp().sum()

    def show(x: torch.Tensor) -> Activations:
        embedding = body(x)
        return Activations(head(embedding), embedding, classify=head)

    wanted = torch.autograd.grad(loss(show(inputs)), parameters)
    wanted = [each.tolist() for each in wanted]

    def work(ranks: Several) -> list[object]:
        network = nn.ModuleList([body, head])
        loss(ranks.shown(show(inputs[ranks.share.rows(5)]), 5)).backward()
        ranks.reduce(network, parameters)
        return [None if each.grad is None else each.grad.tolist() for each in parameters]

    for found in in_ranks(tmp_path, work):
        for ours, theirs in zip(found, wanted, strict=True):
            torch.testing.assert_close(torch.tensor(ours), torch.tensor(theirs))


def test_running_statistics_are_averaged_and_gradients_of_others_are_not_doubled(tmp_path: Path) -> None:
    def work(ranks: Several) -> tuple[list[float], list[float], list[float]]:
        network, other = nn.BatchNorm1d(1), nn.Linear(1, 1, bias=False)
        network(torch.full((2, 1), 10.0 * ranks.share.rank))
        for parameter in (*network.parameters(), *other.parameters()):
            parameter.grad = torch.ones_like(parameter)
        ranks.reduce(network, [*network.parameters(), *other.parameters()])
        assert network.running_mean is not None
        gradients = [each.grad for each in (network.weight, other.weight)]
        return network.running_mean.tolist(), *(g.flatten().tolist() for g in gradients if g is not None)

    assert in_ranks(tmp_path, work) == [([0.5], [2.0], [1.0])] * 2


def test_draws_of_ranks_differ_signals_spread_and_what_was_dealt_comes_back_in_order(tmp_path: Path) -> None:
    def work(ranks: Several) -> tuple[float, float, int | None, list[int], str]:
        torch.manual_seed(0)
        with ranks.own_draws(3, "stage", 4):
            own = float(torch.rand(()))
        heard = ranks.signal(15 if ranks.share.rank == 1 else None)
        dealt = [*ranks.in_turn([*range(5)[ranks.share.rank :: 2]])]
        return own, float(torch.rand(())), heard, dealt, ranks.from_first("ab"[ranks.share.rank])

    first, second = in_ranks(tmp_path, work)
    assert first[0] != second[0]
    assert first[1:] == second[1:]
    assert first[2:] == (15, [0, 1, 2, 3, 4], "a")


def test_a_rank_that_fails_alone_is_noticed_and_one_that_fails_with_the_others_is_not(tmp_path: Path) -> None:
    def work(ranks: Several) -> tuple[str, str]:
        told = []
        for failing in ((0, 1), (1,)):
            try:
                with ranks.together():
                    if ranks.share.rank in failing:
                        raise KeyError("a mistake")
                ranks.signal(None)
            except (KeyError, RanksApart) as error:
                told.append(f"{type(error).__name__} {error}")
        return told[0], told[1]

    for alike, alone in in_ranks(tmp_path, work):
        assert alike == "KeyError 'a mistake'"
        assert alone == "RanksApart process 1 of 2 failed alone: 'a mistake'"


def test_a_rank_that_has_ended_is_noticed(tmp_path: Path) -> None:
    def work(ranks: Several) -> str:
        if not ranks.first:
            return "ended"
        with pytest.raises(RanksApart, match="has ended"):
            ranks.signal(None)
        return "noticed"

    assert in_ranks(tmp_path, work) == ["noticed", "ended"]


def test_synchronised_batch_norms_keep_weights_and_hooks_and_own_kinds_are_refused() -> None:
    network, seen = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)), []
    network[1].register_forward_hook(lambda module, inputs, output: seen.append(module))
    before = network.state_dict()
    synchronise(network, "a network")
    assert isinstance(network[1], nn.SyncBatchNorm)
    assert len(network[1]._forward_hooks) == 1
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())

    class Own(nn.BatchNorm2d):
        pass

    with pytest.raises(
        UserError, match=r"a network has batch norms of its own kind .Own.: give --batch-norm rank"
    ):
        synchronise(nn.Sequential(Own(2)), "a network")
