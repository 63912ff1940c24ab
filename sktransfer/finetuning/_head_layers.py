"""Layers of heads: standardisation, and cosines with directions or prototypes."""

import torch
from torch import nn

from .._utils.names import on_disk


@on_disk
class Standardize(nn.Module):
    """Subtract means and divide by one number, which are not trained.

    One number for all features: those that vary little are mostly noise, and a linear
    model with a penalty does worse where each is brought to the same scale.
    """

    def __init__(self, n_features):
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, features):
        """Map features to features."""
        return (features - self.mean) / self.scale


@on_disk
class Cosine(nn.Module):
    """Cosines between a row and one direction for each output, times a scale."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_outputs, n_features) * 0.01)
        self.scale = nn.Parameter(torch.tensor(10.0))

    def forward(self, features):
        """Map features to outputs."""
        unit = nn.functional.normalize(features, dim=1)
        return self.scale * unit @ nn.functional.normalize(self.weight, dim=1).T


@on_disk
class Prototypes(nn.Module):
    """Cosines between a row and the mean of each class, times a scale; not trained.

    The logarithm of a class's share of the rows is added, as Bayes' rule says: without
    it, the rarer of two classes would get most rows between the means.

    Beside the directions it keeps the means and weights of the classes, so that rows
    and classes can be added without the rows so far.
    """

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.directions: torch.Tensor
        self.means: torch.Tensor
        self.totals: torch.Tensor
        self.log_shares: torch.Tensor
        self.n_scaled: torch.Tensor
        self.register_buffer("directions", torch.zeros(n_outputs, n_features))
        self.register_buffer("means", torch.zeros(n_outputs, n_features))
        self.register_buffer("totals", torch.zeros(n_outputs))
        self.register_buffer("log_shares", torch.zeros(n_outputs))
        self.register_buffer("n_scaled", torch.zeros(()))  # rows behind the scale
        self.scale = nn.Parameter(torch.tensor(10.0), requires_grad=False)

    def forward(self, features):
        """Map features to outputs; a class without rows gets less than any other."""
        unit = nn.functional.normalize(features, dim=1)
        is_absent = ~self.directions.any(dim=1)
        cosines = unit @ self.directions.T - 2.0 * is_absent
        return self.scale * cosines + self.log_shares

    def make_room(self, places, n_outputs):
        """Add classes without rows, in place; `places` are those of the old classes."""
        for name in ("directions", "means", "totals", "log_shares"):
            old = getattr(self, name)
            new = old.new_zeros((n_outputs, *old.shape[1:]))
            new[torch.from_numpy(places).to(old.device)] = old
            setattr(self, name, new)
