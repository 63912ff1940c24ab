"""The skorch net that trains: its loss and its steps."""

import contextlib
import math

import numpy as np
import skorch
import torch
from sklearn.metrics import accuracy_score, r2_score
from skorch.dataset import get_len
from skorch.utils import to_tensor

from .._utils.arithmetic import autocast
from .._utils.device_memory import to_device
from .._utils.names import on_disk
from ..exceptions import NonFiniteLossError
from ._batches import SAMPLE_WEIGHT
from ._callbacks import OWN_CALLBACKS
from ._room import Room

STEPS_BETWEEN_LOOKS = 16  # at losses, each of which waits for the device
PARTS_AT_ONCE = 64  # on a CPU, of rows that have several
WHY_WHOLE = (
    "The loss compares the rows of a batch with each other, so that it cannot be "
    "computed in parts."
)


@on_disk
class FineTuneNet(skorch.NeuralNet):
    """A skorch net with parameter groups, mixed precision, and batches in parts.

    Batches are inputs with the weights of the rows, and targets. To skorch's scoring
    callbacks it is a classifier of class numbers, or a regressor of scaled numbers.

    Parameters
    ----------
    codec : ClassCodec or NumberCodec, default=None
    parameter_groups : list of dict, default=None
        Groups that the optimizer gets.
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
        device = torch.device(self.device)
        x = {
            key: to_device(value, device)
            for key, value in x.items()
            if key != SAMPLE_WEIGHT
        }
        with autocast(device, self.precision, is_trained=True):
            return super().infer(x, **fit_params)

    # -- batches that do not fit -------------------------------------------------------

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        """Forget what memory there was room for."""
        super().on_train_begin(net, X=X, y=y, **kwargs)
        self.rooms_ = {}

    def room(self, is_trained):
        """Return what is known of the rows that memory has room for."""
        rooms = self.__dict__.setdefault("rooms_", {})
        if is_trained not in rooms:
            why_whole = None
            if is_trained and not hasattr(self.criterion_, "of_rows"):
                why_whole = WHY_WHOLE
            rooms[is_trained] = Room(torch.device(self.device), why_whole)
        return rooms[is_trained]

    def _part(self, inputs, y, part):
        """Return some of the rows of a batch."""
        if part == slice(0, len(y)):
            return inputs, y
        return {k: v[part] for k, v in inputs.items()}, y[part]

    def _rows_at_once(self, inputs):
        """Return how many rows of several parts may run together; None is all.

        A CPU does not say when its memory ends: the system ends the process. Where rows
        know nothing of each other, parts of a batch have the gradients of the whole.
        """
        is_sum = hasattr(self.criterion_, "of_rows") and self.is_on_cpu
        is_apart = self.module_.batch_norm in ("frozen", "eval")
        if "n_parts" not in inputs or not (is_sum and is_apart):
            return None
        return max(1, PARTS_AT_ONCE // inputs["hidden"].shape[1])

    def outputs_of(self, inputs):
        """Return the outputs of rows, without gradients; in parts where they must."""
        n_rows = len(inputs["hidden"])

        def run(part):
            return self.infer({k: v[part] for k, v in inputs.items()})

        outputs = self.room(is_trained=False).run(run, n_rows)
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    def evaluation_step(self, batch, training=False):
        """Return the outputs of a batch."""
        if training:
            return super().evaluation_step(batch, training=training)
        self._set_training(False)
        with torch.no_grad():
            return self.outputs_of(batch[0])

    def validation_step(self, batch, **fit_params):
        """Return the loss and the outputs of a batch to watch."""
        self._set_training(False)
        inputs, y = batch
        with torch.no_grad():
            outputs = self.outputs_of(inputs)
            return {"loss": self.get_loss(outputs, y, X=inputs), "y_pred": outputs}

    def train_step_single(self, batch, **fit_params):
        """Compute gradients; in parts where the device's memory is too small."""
        self._set_training(True)
        inputs, y = batch
        n_rows = len(y)

        def run(part):
            of_part, part_y = self._part(inputs, y, part)
            # The loss is a mean over rows: scaled by its share of the rows, the
            # gradients of the parts add up to those of the whole batch.
            return self._backward(of_part, part_y, len(part_y) / n_rows)

        room, most = self.room(is_trained=True), self._rows_at_once(inputs)
        steps = room.run(run, n_rows, self._zero_grad_optimizer, most)
        if len(steps) == 1:
            return steps[0]
        return {
            name: torch.cat(values) if name == "y_pred" else torch.stack(values).sum()
            for name in steps[0]
            for values in [[step[name] for step in steps]]
        }

    def _backward(self, inputs, y, share):
        outputs = self.infer(inputs)
        loss = share * self.get_loss(outputs.float(), y, X=inputs, training=True)
        self._send_back(loss)
        return {"loss": loss.detach(), "y_pred": outputs.detach()}

    # -- steps that do not wait for the device -----------------------------------------

    @property
    def is_on_cpu(self):
        """Whether a number is there as soon as it is asked for."""
        return torch.device(self.device).type == "cpu"

    def _send_back(self, loss):
        if not self.is_on_cpu:
            # To look at it now would wait for the device: `_look` does so later.
            self.__dict__.setdefault("sent_", []).append(loss.detach())
        elif not torch.isfinite(loss):
            raise NonFiniteLossError(f"the loss is {loss.item()}")
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Run an epoch as skorch does, and on a device without waiting for each step.

        There a batch's row of the history has losses as tensors at first. After some
        steps, and at the end, they become numbers, and are looked at.
        """
        if iterator is None or self.is_on_cpu:
            super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
            return
        self.sent_, n_batches = [], 0
        try:
            with contextlib.closing(iterator.ahead()) as batches:
                for batch in batches:
                    self.notify("on_batch_begin", batch=batch, training=training)
                    step = step_fn(batch, **fit_params)
                    self.history.record_batch(f"{prefix}_loss", step["loss"])
                    size = get_len(batch[0])
                    self.history.record_batch(f"{prefix}_batch_size", size)
                    self.notify("on_batch_end", batch=batch, training=training, **step)
                    n_batches += 1
                    if n_batches % STEPS_BETWEEN_LOOKS == 0:
                        self._look()
        except BaseException:
            with contextlib.suppress(RuntimeError):  # of a device that has failed
                self._numbers()
            raise
        self._look()
        self.history.record(f"{prefix}_batch_count", n_batches)

    def _look(self):
        """Make numbers of the losses; raise an error if one is not finite."""
        for value in self._numbers():
            if not math.isfinite(value):
                raise NonFiniteLossError(f"the loss is {value}")

    def _numbers(self):
        """Make numbers of the losses in the history; return those of the steps."""
        # All others are numbers since the last look.
        rows = self.history[-1]["batches"][-STEPS_BETWEEN_LOOKS - 1 :]
        places = [
            (row, name)
            for row in rows
            for name, value in row.items()
            if isinstance(value, torch.Tensor)
        ]
        tensors = [row[name] for row, name in places] + self.sent_
        self.sent_ = []
        if not tensors:
            return []
        values = torch.stack([tensor.detach().float() for tensor in tensors]).tolist()
        for (row, name), value in zip(places, values, strict=False):
            row[name] = value
        return values[len(places) :]

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
        for name in ("optimizer_", "rooms_", "sent_"):
            slim.__dict__.pop(name, None)
        return super(FineTuneNet, slim).__getstate__()

    def __setstate__(self, state):
        """Restore a net that predicts; `initialize` makes one that trains of it."""
        super().__setstate__(state)
        self.module = self.module_


def _without_own(callbacks):
    def is_own(entry):
        return isinstance(entry, tuple) and entry[0] in OWN_CALLBACKS

    return [entry for entry in callbacks or [] if not is_own(entry)]
