"""Torch tensors as what transformers give: ``set_output(transform="torch")``.

scikit-learn keeps a list of containers for `set_output`, to which others may add.
Importing this file adds torch's. Estimators that have not asked for it are as before.

References
----------
``sklearn.utils._set_output.ContainerAdapterProtocol``
"""

from numbers import Real

import numpy as np
from sklearn.exceptions import NotFittedError

from .devices import resolve_device
from .validation import OUTPUT_CONTAINERS, dense, output_config, shorten


def as_output(estimator, array, *holders):
    """Return what `set_output` says of an estimator: the array, or a tensor of it.

    Parameters
    ----------
    estimator : transformer
    array : ndarray of shape (n_samples, n_features)
    *holders : estimator
        The first that has a parameter ``device``, of its own or nested, says where the
        tensor goes; without one it stays on the CPU.

    Returns
    -------
    ndarray or torch.Tensor
        Frames are made of the array by scikit-learn, later.
    """
    if output_config("transform", estimator)["dense"] != TorchAdapter.container_lib:
        return array
    return _on_device(_as_tensor(array, None), _device_of(holders))


class TorchAdapter:
    """Adapter of a container, which scikit-learn's `set_output` needs.

    Arrays become tensors that share their memory, on the CPU, or on the device of the
    input where that was a tensor. Tensors stay where they are.
    """

    container_lib = "torch"

    def create_container(self, X_output, X_original, columns, inplace=True):
        """Return a tensor of what a transformer gave."""
        import torch

        names = _names(columns)
        if isinstance(X_output, torch.Tensor):
            # It may be the caller's own, and is to have no names then.
            tensor = X_output.view_as(X_output)
        else:
            tensor = _as_tensor(X_output, names)
            if isinstance(X_original, torch.Tensor):
                tensor = _on_device(tensor, X_original.device)
        return tensor if names is None else self.rename_columns(tensor, names)

    def is_supported_container(self, X):
        """Whether `hstack` takes it."""
        import torch

        return isinstance(X, torch.Tensor) and hasattr(X, "columns")

    def rename_columns(self, X, columns):
        """Give names, which FeatureUnion and ColumnTransformer read before `hstack`."""
        X.columns = list(columns)
        return X

    def hstack(self, Xs):
        """Return tensors side by side; those on the CPU join others on their device."""
        import torch

        devices = [X.device for X in Xs]
        device = next((d for d in devices if d.type != "cpu"), devices[0])
        joined = [_on_device(X, device) if X.device.type == "cpu" else X for X in Xs]
        return torch.cat(joined, dim=1)


OUTPUT_CONTAINERS.adapters.setdefault(TorchAdapter.container_lib, TorchAdapter())


def _names(columns):
    if not callable(columns):
        return columns
    try:
        return columns()
    except AttributeError as err:
        # Encoders need no fit, and names do.
        is_unfitted = isinstance(err, NotFittedError)
        if is_unfitted or "does not provide get_feature_names_out" in str(err):
            return None
        raise


def _device_of(holders):
    for holder in holders:
        for name, value in sorted(holder.get_params().items()):
            if name.split("__")[-1] == "device" and value is not None:
                return resolve_device(value)
    return resolve_device("cpu")


def _on_device(tensor, device):
    import torch

    if device.type == "mps" and tensor.dtype == torch.float64:
        tensor = tensor.float()  # which has no float64
    return tensor.to(device)


def _as_tensor(values, names):
    """Return a tensor on the CPU, of the same memory where torch can use it.

    Raises
    ------
    ValueError
        If a column does not hold numbers.
    """
    import torch

    array = dense(values)
    if array.dtype.kind not in "biuf":
        array = _numbers(array, names)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    # torch has no negative strides, and warns of memory that must not be written to.
    if not array.flags.writeable or min(array.strides, default=0) < 0:
        array = array.copy()
    return torch.from_numpy(array)


def _numbers(array, names):
    """Return the numbers in an array of objects, which frames of mixed types become."""
    for position, column in enumerate(array.T):
        odd = next((v for v in column if not isinstance(v, (Real, np.bool_))), None)
        if odd is None:
            continue
        name = position if names is None else names[position]
        raise ValueError(
            f"set_output(transform='torch') takes columns of numbers; column {name!r} "
            f"holds {shorten(odd)} ({type(odd).__name__}). Encode such columns first, "
            "as with OneHotEncoder(sparse_output=False), or drop them."
        )
    return array.astype(np.float64)
