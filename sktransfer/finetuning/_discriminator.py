"""Discriminators: they tell the domain of a row, and return the gradient reversed."""

import torch
from torch import nn
from torch.nn import functional

from .._utils.names import on_disk

HIDDEN = 256  # units of a discriminator's two hidden layers
MAX_PRODUCT = 4096  # numbers that cdan's outer product may have; the paper's bound
N_PROJECTED = 1024  # and what stands for it beyond that


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features, factor):
        ctx.factor = factor
        return features.view_as(features)

    @staticmethod
    def backward(ctx, gradient):
        return -ctx.factor * gradient, None


def reverse_gradient(features, factor):
    """Return the features as they are; their gradient comes back times ``-factor``.

    References
    ----------
    Y. Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 17, 2016,
    https://arxiv.org/abs/1505.07818
    """
    return _Reverse.apply(features, factor)


@on_disk
class Discriminator(nn.Sequential):
    """Says from which domain a row is, and by its reversed gradient unlearns to.

    Parameters
    ----------
    n_features : int
    """

    def __init__(self, n_features):
        super().__init__(
            nn.Linear(n_features, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, 1),
        )

    def loss(self, features, n_source, factor):
        """Return its cross entropy, half for each domain."""
        outputs = self(reverse_gradient(features, factor))[:, 0]
        wanted = torch.zeros_like(outputs)
        wanted[:n_source] = 1.0
        losses = functional.binary_cross_entropy_with_logits(
            outputs, wanted, reduction="none"
        )
        return (losses[:n_source].mean() + losses[n_source:].mean()) / 2


@on_disk
class Product(nn.Module):
    """Each feature times each predicted probability, which get no gradient from it.

    Beyond `MAX_PRODUCT` numbers, the product of random projections of both.

    Parameters
    ----------
    n_features, n_outputs : int

    References
    ----------
    M. Long et al., "Conditional Adversarial Domain Adaptation", NeurIPS 2018,
    https://arxiv.org/abs/1705.10667
    """

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.is_projected = n_features * n_outputs > MAX_PRODUCT
        self.width = N_PROJECTED if self.is_projected else n_features * n_outputs
        if self.is_projected:
            for name, n in (("of_features", n_features), ("of_shares", n_outputs)):
                self.register_buffer(name, torch.randn(n, N_PROJECTED))

    def forward(self, features, outputs):
        """Map features and outputs to one vector per row."""
        shares = outputs.detach().softmax(1)
        if not self.is_projected:
            return (features[:, :, None] * shares[:, None]).flatten(1)
        product = (features @ self.of_features) * (shares @ self.of_shares)
        return product / self.width**0.5
