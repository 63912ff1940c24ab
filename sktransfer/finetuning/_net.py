"""The skorch net that trains: its loss and its steps."""

import numpy as np
import skorch
import torch
from sklearn.metrics import accuracy_score, r2_score
from skorch.utils import to_tensor

from .._utils.arithmetic import autocast
from .._utils.names import on_disk
from ..exceptions import NonFiniteLossError
from ._batches import SAMPLE_WEIGHT
from ._callbacks import OWN_CALLBACKS


@on_disk
class FineTuneNet(skorch.NeuralNet):
    """A skorch net with parameter groups, mixed precision, and halved batches.

    Batches are inputs with the weights of the rows, and targets. To skorch's scoring
    callbacks it is a classifier of class numbers, or a regressor of scaled numbers.

    Parameters
    ----------
    codec : ClassCodec or NumberCodec, default=None
    parameter_groups : list of dict, default=None
        What the optimizer gets.
    precision : {"float32", "tf32", "bfloat16", "float16"}, default="float32"
    """

    def __init__(
        self,
        *args,
        codec=None,
        parameter_groups=None,
        precision="float32",
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        self.codec = codec
        self.parameter_groups = parameter_groups
        self.precision = precision

    def get_params_for_optimizer(self, prefix, named_parameters):
        """Return the groups instead of skorch's name patterns."""
        args, kwargs = super().get_params_for_optimizer(prefix, named_parameters)
        if prefix == "optimizer" and self.parameter_groups:
            args = (self.parameter_groups,)
        return args, kwargs

    def initialize_optimizer(self, triggered_directly=None):
        """Make the optimizer, and a gradient scaler for float16 on CUDA."""
        super().initialize_optimizer(triggered_directly)
        device = torch.device(self.device)
        is_scaled = self.precision == "float16" and device.type == "cuda"
        self.scaler = torch.amp.GradScaler(enabled=True) if is_scaled else None
        return self

    def infer(self, x, **fit_params):
        """Run the module at the given precision."""
        x = {key: value for key, value in x.items() if key != SAMPLE_WEIGHT}
        device = torch.device(self.device)
        if device.type == "cuda":
            pinned = {k: v if v.is_cuda else v.pin_memory() for k, v in x.items()}
            x = {k: v.to(device, non_blocking=True) for k, v in pinned.items()}
        with autocast(device, self.precision, is_trained=True):
            return super().infer(x, **fit_params)

    def train_step_single(self, batch, **fit_params):
        """Compute gradients; in two halves where the device's memory is too small."""
        self._set_training(True)
        inputs, y = batch
        try:
            return self._backward(inputs, y, 1.0)
        except torch.OutOfMemoryError:
            n_rows = len(y)
            if n_rows == 1:
                raise
        self._zero_grad_optimizer()
        torch.cuda.empty_cache()
        steps = [
            self._backward(part, part_y, len(part_y) / n_rows)
            for part, part_y in self._halves(inputs, y)
        ]
        return {
            "loss": steps[0]["loss"] + steps[1]["loss"],
            "y_pred": torch.cat([step["y_pred"] for step in steps]),
        }

    def _halves(self, inputs, y):
        for part in self._half_slices(len(y)):
            yield {k: v[part] for k, v in inputs.items()}, y[part]

    def _half_slices(self, n_rows):
        half = -(-n_rows // 2)
        return slice(0, half), slice(half, None)

    def _backward(self, inputs, y, share):
        outputs = self.infer(inputs)
        loss = share * self.get_loss(outputs.float(), y, X=inputs, training=True)
        self._send_back(loss)
        return {"loss": loss.detach(), "y_pred": outputs.detach()}

    def _send_back(self, loss):
        if not torch.isfinite(loss):
            raise NonFiniteLossError(f"the loss is {loss.item()}")
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()

    def _step_optimizer(self, step_fn):
        """Step, through the scaler if there is one."""
        if self.scaler is None:
            super()._step_optimizer(step_fn)
            return
        step_fn()
        self.scaler.step(self.optimizer_)
        self.scaler.update()

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Return the loss of the rows with targets, which stand first in a batch."""
        weight = X[SAMPLE_WEIGHT][: len(y_true)]
        y, weight = to_tensor((y_true, weight), device=self.device)
        return self.criterion_(y_pred, y, weight)

    # -- what scorers ask for ----------------------------------------------------------

    @property
    def classes_(self):
        """Class numbers."""
        return np.arange(self.codec.n_outputs)

    def forward_iter(self, X, training=False, device="cpu"):
        """Yield the outputs of a dataset by batches, or those of one batch."""
        if isinstance(X, dict):
            yield self.evaluation_step((X, None), training=training).to(device)
        else:
            yield from super().forward_iter(X, training=training, device=device)

    def _outputs(self, X):
        return np.concatenate([out.float().cpu() for out in self.forward_iter(X)])

    def predict_proba(self, X):
        """Return probabilities; numbers are what they are."""
        return self.codec.proba(self._outputs(X))

    def predict(self, X):
        """Return class numbers, indicators of labels, or scaled numbers."""
        return self.codec.choose(self._outputs(X))

    def score(self, X, y):
        """Return the accuracy, or R2 of numbers."""
        score = r2_score if self.codec.task == "numbers" else accuracy_score
        return score(y, self.predict(X))

    def __sklearn_tags__(self):
        """Say whether it is a classifier or a regressor."""
        tags = super().__sklearn_tags__()
        is_numbers = self.codec is not None and self.codec.task == "numbers"
        tags.estimator_type = "regressor" if is_numbers else "classifier"
        return tags

    def __getstate__(self):
        """Leave out what only training needs, above all the rows that were set aside.

        skorch would write the weights several times over: as a parameter, as an
        attribute, and in optimizer, parameter groups and callbacks.
        """
        slim = object.__new__(type(self))
        slim.__dict__.update(self.__dict__)
        slim.__dict__.update(
            module=None,
            train_split=None,
            parameter_groups=None,
            scaler=None,
            initialized_=False,
            callbacks=_without_own(self.callbacks),
            callbacks_=_without_own(getattr(self, "callbacks_", [])),
        )
        slim.__dict__.pop("optimizer_", None)
        return super(FineTuneNet, slim).__getstate__()

    def __setstate__(self, state):
        """Restore a net that predicts; `initialize` makes one that trains of it."""
        super().__setstate__(state)
        self.module = self.module_


def _without_own(callbacks):
    def is_own(entry):
        return isinstance(entry, tuple) and entry[0] in OWN_CALLBACKS

    return [entry for entry in callbacks or [] if not is_own(entry)]
