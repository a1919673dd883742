"""Cuts whose features are views: of tokens, of chunks, of what is changed in place."""

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from featcodec import split
from featcodec.networks.families import NetworkWish, cut_network, describe


class Tokens(nn.Module):
    """Patches to tokens and back: what its neck returns is a view of what its norm returned."""

    def __init__(self, how):
        super().__init__()
        self.patch, self.norm, self.neck = nn.Conv2d(3, 8, 16, 16), nn.LayerNorm(8), nn.Identity()
        self.cls = nn.Parameter(torch.randn(1, 1, 8))
        self.out, self.narrow = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 4, 1)
        self.how = how

    def forward(self, x):
        f = self.patch(x)
        b, c, h, w = f.shape
        t = self.norm(torch.cat((self.cls.expand(b, -1, -1), f.flatten(2).transpose(1, 2)), 1))
        return getattr(self, self.how)(t[:, 1:].transpose(1, 2).reshape(b, c, h, w), t)

    def reshaped(self, g, _):
        return self.out(self.neck(g))

    def sliced(self, g, _):
        return self.out(self.neck(g[:, :, 1:-1, 1:-1]))

    def permuted(self, g, _):
        return self.out(self.neck(g.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))

    def one_half(self, g, _):
        return self.narrow(self.neck(g.chunk(2, 1)[1]))

    def one_of_two(self, g, _):
        return self.narrow(self.neck(g.chunk(2, 1))[1])

    def part_of_it(self, g, _):
        return self.narrow(self.neck(g)[:, 2:6])

    def changed_before(self, g, _):
        return self.out(self.neck(g.mul_(2)))

    def changed_after(self, g, _):
        return self.out(self.neck(g).relu_())

    def partly_changed_after(self, g, _):
        g = self.neck(g)
        g[:, :4].mul_(3)
        return self.out(g)

    def more_is_needed(self, g, t):
        return self.out(self.neck(g)), t[:, 0]


class TestViews:
    """What a layer returns is what crosses after it, even where it is a view of an earlier layer's output."""

    @pytest.mark.parametrize(
        ("how", "name", "shape"),
        [
            ("reshaped", "neck", (1, 8, 4, 4)),
            ("sliced", "neck", (1, 8, 2, 2)),
            ("permuted", "neck", (1, 4, 4, 8)),
            ("one_half", "neck", (1, 4, 4, 4)),
            ("one_of_two", "neck[1]", (1, 4, 4, 4)),
            ("part_of_it", "neck", (1, 8, 4, 4)),
            ("changed_before", "neck", (1, 8, 4, 4)),
            ("changed_after", "neck", (1, 8, 4, 4)),
            ("partly_changed_after", "neck", (1, 8, 4, 4)),
            ("more_is_needed", "norm", (1, 17, 8)),
        ],
    )
    def test_it_is_named_with_its_shape_and_the_tail_takes_it(self, how, name, shape):
        torch.manual_seed(0)
        network = Tokens(how).eval()
        cut = split(network, at="neck", example=torch.rand(1, 3, 64, 64))
        assert (cut.crossing, cut.layer.shapes) == ((name,), (shape,))
        x = torch.rand(2, 3, 96, 64)
        with torch.no_grad():
            features, whole = cut.head(x), network(x)
            kept = features[0].clone()
            assert torch.equal(cut.head(x)[0], kept)
            for given in (features, (kept.contiguous(),)):  # in the layout of a view, and in one of its own
                again = cut.tail(given, like=x)
                torch.testing.assert_close(again, whole, rtol=1e-5, atol=1e-6)
            assert torch.equal(features[0], kept)
        learned = kept.clone().requires_grad_()
        tree_leaves(cut.tail((learned,), like=x))[0].sum().backward()
        assert float(learned.grad.abs().sum()) > 0

    def test_views_that_are_all_of_a_value_together_cross_as_several(self):
        class Halves(nn.Module):
            def forward(self, x):
                return (2 * x).chunk(2, 1)

        class Whole(nn.Module):
            def __init__(self):
                super().__init__()
                self.first, self.halves, self.last = nn.Conv2d(3, 8, 4, 4), Halves(), nn.Conv2d(4, 2, 1)

            def forward(self, x):
                a, b = self.halves(self.first(x))
                return self.last(a) + self.last(b.relu_())

        network = Whole().eval()
        cut = split(network, at="halves", example=torch.rand(1, 3, 32, 32))
        assert cut.crossing == ("halves[0]", "halves[1]")
        x = torch.rand(2, 3, 32, 64)
        with torch.no_grad():
            torch.testing.assert_close(cut.tail(cut.head(x)), network(x))

    def test_a_codec_is_fitted_to_a_view(self):
        torch.manual_seed(0)
        network = Tokens("reshaped").eval()
        cut = cut_network(network, describe(network, NetworkWish(at="neck", model="tokens")), size=64)
        assert [(c.channels, c.stride) for c in cut.crossing] == [(8, 16)]
