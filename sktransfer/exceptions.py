"""Errors and warnings of sktransfer.

Every error is also a subclass of the builtin error in brackets::

    SKTransferError
    ├── MissingDependencyError (ImportError)     an optional package is needed
    ├── UnknownBackboneError   (ValueError)      no network has that name
    ├── WeightsNotFoundError   (OSError)         its weights are not available
    ├── WeightsMismatchError   (ValueError)      the weights are not the expected ones
    ├── RemoteCodeError        (ValueError)      a network asks to run its own code
    ├── BulkError              (ValueError)      a job cannot use the source or folder
    ├── BackboneCutError       (ValueError)      the blocks differ from the network
    ├── DepthError             (ValueError)      a depth that the network does not have
    ├── NonFiniteLossError     (ValueError)      the loss became NaN or infinite
    ├── PoolingError           (ValueError)      a pooling that cannot be used
    ├── WaitError              (TimeoutError)    another thread does not finish
    ├── ForkedDeviceError      (RuntimeError)    a device that a fork cannot use
    ├── ExportError            (ValueError)      a step that ONNX cannot express
    ├── SaveError              (ValueError)      a save that cannot be made or used
    │   ├── IncompleteSaveError                  files are missing, or it is no save
    │   ├── DamagedSaveError                     its bytes have changed
    │   ├── UnsafeSaveError                      it has names or files that no save has
    │   ├── UntrustedTypeError                   it has a type that is not trusted
    │   └── NewerProtocolError                   a later version of sktransfer wrote it
    └── InvalidRowError        (ValueError)      a row that cannot be used
        ├── MissingRowError                      the cell is null
        └── UnreadableRowError                   the cell cannot be read
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = [
    "BackboneCutError",
    "BulkError",
    "DamagedSaveError",
    "DepthError",
    "ExportError",
    "ForkedDeviceError",
    "IncompleteSaveError",
    "InvalidRowError",
    "MissingDependencyError",
    "MissingRowError",
    "NewerProtocolError",
    "NonFiniteLossError",
    "PoolingError",
    "RemoteCodeError",
    "SKTransferError",
    "SaveError",
    "UnknownBackboneError",
    "UnreadableRowError",
    "UnsafeSaveError",
    "UntrustedTypeError",
    "VersionMismatchWarning",
    "WaitError",
    "WeightsMismatchError",
    "WeightsNotFoundError",
]


class SKTransferError(Exception):
    """Base of every error that sktransfer raises on purpose."""


class MissingDependencyError(SKTransferError, ImportError):
    """An optional package is not installed; the message has the pip command."""


class UnknownBackboneError(SKTransferError, ValueError):
    """No network has that name; the message lists similar names."""


class WeightsNotFoundError(SKTransferError, OSError):
    """The network is known, but its weights are neither installed nor reachable."""


class WeightsMismatchError(SKTransferError, ValueError):
    """The weights are not those that were published or saved under that name."""


class RemoteCodeError(SKTransferError, ValueError):
    """A network's configuration asks for its own code, or for files elsewhere."""


class BackboneCutError(SKTransferError, ValueError):
    """The blocks compute something else than the network, whole or cut."""


class BulkError(SKTransferError, ValueError):
    """A source has nothing to encode, or a folder is the result of another job."""


class DepthError(SKTransferError, ValueError):
    """A depth or freeze depth that the network does not have."""


class NonFiniteLossError(SKTransferError, ValueError):
    """The loss became NaN or infinite in the first epoch."""


class PoolingError(SKTransferError, ValueError):
    """A pooling that the network's activations do not allow."""


class WaitError(SKTransferError, TimeoutError):
    """Another thread holds a resource that is needed here, and does not finish."""


class ForkedDeviceError(SKTransferError, RuntimeError):
    """A forked process cannot use the device, because its parent had started it."""


class ExportError(SKTransferError, ValueError):
    """ONNX cannot express a step of a pipeline, or computes something else."""


class SaveError(SKTransferError, ValueError):
    """An estimator cannot be saved, or a save cannot be used."""


class IncompleteSaveError(SaveError):
    """The folder is no save, or files of it are missing."""


class DamagedSaveError(SaveError):
    """The bytes of a save have changed since it was written, or make no sense."""


class UnsafeSaveError(SaveError):
    """A save has parts that `save` never writes: outside names, links, packed files."""


class UntrustedTypeError(SaveError):
    """A save has a type or function that is not trusted.

    Parameters
    ----------
    message : str
    types : iterable of str

    Attributes
    ----------
    types : tuple of str
        Dotted names of these types and functions.
    """

    def __init__(self, message: str, types: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.types = tuple(types)


class NewerProtocolError(SaveError):
    """A later version of sktransfer wrote the save, in a newer format."""


class VersionMismatchWarning(UserWarning):
    """A save was written with other versions of the packages than are installed."""


class InvalidRowError(SKTransferError, ValueError):
    """A row that cannot be used.

    Parameters
    ----------
    message : str
    row, label, source, reason : optional
        As the attributes.

    Attributes
    ----------
    row : int
        Position of the row in ``X``, from 0.
    label : object
        Index label of the row if ``X`` has an index; else `row`.
    source : str
        Cell, shortened.
    reason : str
        Cause without advice, for the sender of the row, such as a client of a service.
        The message also says what to do about it in Python, and may name files.
    """

    def __init__(
        self,
        message: str,
        *,
        row: int | None = None,
        label: Any = None,
        source: str | None = None,
        reason: str = "it cannot be used",
    ) -> None:
        super().__init__(message)
        self.row = row
        self.label = label
        self.source = source
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the attributes, so that joblib workers can raise it."""
        names = ("row", "label", "source", "reason")
        kwargs = {name: getattr(self, name) for name in names}
        return _rebuild_row_error, (type(self), self.args[0], kwargs)


def _rebuild_row_error(cls, message, kwargs):
    return cls(message, **kwargs)


class MissingRowError(InvalidRowError):
    """The cell is null (None, NaN, pandas.NA) and ``missing="raise"``."""


class UnreadableRowError(InvalidRowError):
    """The cell cannot be read, and ``on_error="raise"``."""
