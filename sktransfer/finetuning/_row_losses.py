"""Losses as torch modules: what each row loses, and the weighted mean over rows."""

import torch
from torch import nn
from torch.nn import functional

from .._utils.device_memory import is_out_of_memory
from .._utils.names import on_disk


@on_disk
class CrossEntropy(nn.Module):
    """Cross-entropy under a softmax, with smoothed labels or a focus on hard rows.

    Parameters
    ----------
    label_smoothing : float
    gamma : float, default=0.0
        Exponent of the focal loss.
    """

    def __init__(self, label_smoothing, gamma=0.0):
        super().__init__()
        self.label_smoothing, self.gamma = label_smoothing, gamma

    def forward(self, outputs, y):
        """Return the loss of each row, or of each row and label."""
        losses = self.plain(outputs, y, self.label_smoothing)
        if not self.gamma:
            return losses
        return losses * _rest(self.plain(outputs, y, 0.0)) ** self.gamma

    def plain(self, outputs, y, label_smoothing):
        """Return the loss of each row without a focus, for class indices."""
        return functional.cross_entropy(
            outputs, y, reduction="none", label_smoothing=label_smoothing
        )


@on_disk
class BinaryCrossEntropy(CrossEntropy):
    """The same under a sigmoid, of each row and label."""

    def plain(self, outputs, y, label_smoothing):
        """Return the loss of each row and label without a focus, for indicators."""
        smooth = y * (1 - label_smoothing) + label_smoothing / 2
        return functional.binary_cross_entropy_with_logits(
            outputs, smooth, reduction="none"
        )


def _rest(losses):
    """Return 1 - p of a loss -log p; above 0, where a power of it has a gradient."""
    return -torch.expm1(-losses).clamp(max=-1e-12)


@on_disk
class Pinball(nn.Module):
    """The pinball loss of a quantile.

    Parameters
    ----------
    quantile : float
    """

    def __init__(self, quantile):
        super().__init__()
        self.quantile = quantile

    def forward(self, outputs, y):
        """Return the loss of each row and output."""
        above = y - outputs
        return torch.maximum(self.quantile * above, (self.quantile - 1) * above)


@on_disk
class RowLoss(nn.Module):
    """The mean of the rows' losses, each times its weight.

    Parameters
    ----------
    of_outputs : torch.nn.Module
        ``of_outputs(outputs, targets)`` returns a loss for each row, or for each row
        and output.
    label_weights : ndarray of shape (2, n_labels), default=None
        Weights of the rows that do not have a label, and of those that do.
    """

    def __init__(self, of_outputs, label_weights=None):
        super().__init__()
        self.label_weights: torch.Tensor | None
        self.of_outputs = of_outputs
        if label_weights is not None:
            label_weights = torch.as_tensor(label_weights, dtype=torch.float32)
        self.register_buffer("label_weights", label_weights)

    def forward(self, outputs, y, weight):
        """Return the loss of a batch."""
        return self.of_rows(outputs, y, weight).mean()

    def of_rows(self, outputs, y, weight):
        """Return the loss of each row, times its weight.

        Raises
        ------
        ValueError
            If the module fails, or gives something else than a loss for each row.
        """
        try:
            losses = self.of_outputs(outputs, y)
        except (IndexError, RuntimeError, TypeError, ValueError) as err:
            if is_out_of_memory(err):
                raise
            raise ValueError(
                f"loss={self.of_outputs!r} failed for outputs of shape "
                f"{tuple(outputs.shape)} and targets of shape {tuple(y.shape)}, "
                f"{y.dtype}: {err}"
            ) from err
        if not isinstance(losses, torch.Tensor) or losses.shape[:1] != weight.shape:
            got = tuple(losses.shape) if hasattr(losses, "shape") else type(losses)
            raise ValueError(
                f"loss={self.of_outputs!r} gave {got} for outputs of shape "
                f"{tuple(outputs.shape)}; expected one loss per row, which is "
                "multiplied by the weight of the row. Take reduction='none'."
            )
        if self.label_weights is not None:
            if losses.shape != y.shape:
                raise ValueError(
                    f"loss={self.of_outputs!r} gave losses of shape "
                    f"{tuple(losses.shape)}, and class_weight needs one per row and "
                    f"label, {tuple(y.shape)}. Set class_weight=None."
                )
            weights = self.label_weights
            losses = losses * torch.where(y > 0.5, weights[1], weights[0])
        return (
            losses.flatten(1).mean(1) * weight if losses.ndim > 1 else losses * weight
        )
