"""Networks of several inputs, and encoder-decoders."""

from __future__ import annotations

import pytest
import torch

from benchmark import UserError
from benchmark.models import build

SEQUENCE, IMAGE, VOLUME = (6, 32), (3, 16, 16), (1, 8, 16, 16)


def inputs(*shapes: tuple[int, ...]) -> list[torch.Tensor]:
    return [torch.randn(4, *shape) for shape in shapes]


@pytest.mark.parametrize(
    "shapes",
    [
        (SEQUENCE,),
        (IMAGE, IMAGE),
        (SEQUENCE, VOLUME),
        (SEQUENCE, IMAGE, VOLUME),
        ((60, 32), SEQUENCE),
    ],
)
def test_inputs_of_any_rank_make_one_embedding(shapes: tuple[tuple[int, ...], ...]) -> None:
    network = build("fusion_8", shapes, 5)
    network.to(memory_format=network.memory_format)
    seen = network.show(*inputs(*shapes))
    assert seen.logits.shape == (4, 5)
    assert seen.embedding.shape == (4, 32)
    assert torch.allclose(network.head(seen.embedding), seen.logits)
    assert len(seen.maps) == len(seen.preactivations) == len(network.norms()) == 4
    for shown, before in zip(seen.maps, seen.preactivations, strict=True):
        assert torch.equal(shown, before.relu())


def test_branches_on_the_last_inputs_grid_show_their_maps_side_by_side() -> None:
    together = build("fusion_8", [(60, 32), SEQUENCE], 5).show(*inputs((60, 32), SEQUENCE))
    assert [tuple(each.shape[1:]) for each in together.maps] == [(16, 32), (16, 16), (32, 8), (64, 4)]
    apart = build("fusion_8", [SEQUENCE, VOLUME], 5).show(*inputs(SEQUENCE, VOLUME))
    assert [each.shape[1] for each in apart.maps] == [8, 8, 16, 32]
    assert apart.maps[0].shape[2:] == VOLUME[1:]


@pytest.mark.parametrize("which", [0, 1])
def test_every_input_reaches_the_logits(which: int) -> None:
    network = build("fusion_8", [SEQUENCE, IMAGE], 5).eval()
    given = inputs(SEQUENCE, IMAGE)
    before = network.show(*given).logits
    given[which] = given[which] + 1
    assert not torch.allclose(network.show(*given).logits, before)


def test_a_shape_without_space_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match="fusion_8 takes inputs of shape"):
        build("fusion_8", [(6,)], 5)


@pytest.mark.parametrize("size", [(16, 16), (15, 21)])
def test_an_encoder_decoder_answers_for_every_pixel(size: tuple[int, int]) -> None:
    network = build("unet2d_4_deep", [(1, *size)], 7)
    seen = network.show(*inputs((1, *size)))
    assert seen.logits.shape == (4, 7, *size)
    assert seen.embedding.shape == (4, 16)
    assert network.head is None
    assert len(seen.maps) == 4


def test_a_pixel_of_the_prediction_sees_its_own_surroundings() -> None:
    network = build("unet2d_4", [(1, 64, 64)], 3).eval()
    x = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        before = network.show(x).logits
        x[..., 10, 10] += 5
        change = (network.show(x).logits - before).abs().sum(1)[0]
    assert divmod(int(change.argmax()), 64) in [
        (row, column) for row in (9, 10, 11) for column in (9, 10, 11)
    ]
    assert float(change[60:, 60:].max()) < 0.5 * float(change.max())


def test_an_encoder_decoder_takes_one_image() -> None:
    with pytest.raises(UserError, match="unet2d_4 takes one input"):
        build("unet2d_4", [IMAGE, IMAGE], 3)
