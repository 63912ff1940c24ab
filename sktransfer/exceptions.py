"""The errors that sktransfer raises.

Every error is also the builtin that one would catch without knowing it::

    SKTransferError
    ├── MissingDependencyError (ImportError)     an optional package is needed
    ├── UnknownBackboneError   (ValueError)      no network goes by that name
    ├── WeightsNotFoundError   (OSError)         its weights are not here
    ├── WeightsMismatchError   (ValueError)      the weights are not the expected ones
    ├── RemoteCodeError        (ValueError)      a record asks for code of its own
    ├── BulkError              (ValueError)      a job cannot use the source or folder
    ├── BackboneCutError       (ValueError)      the blocks are not the network
    ├── DepthError             (ValueError)      a depth that the network does not have
    ├── NonFiniteLossError     (ValueError)      training went astray
    ├── PoolingError           (ValueError)      a pooling that the network cannot do
    ├── WaitError              (TimeoutError)    another thread does not come to an end
    ├── ForkedDeviceError      (RuntimeError)    a device that a fork cannot use
    ├── ExportError            (ValueError)      a step that has no form in ONNX
    ├── SaveError              (ValueError)      a save that cannot be made or used
    │   ├── IncompleteSaveError                  files are missing, or it is no save
    │   ├── DamagedSaveError                     bytes are not those that were written
    │   ├── UnsafeSaveError                      names or files that a save never has
    │   ├── UntrustedTypeError                   a type that is not on the list
    │   └── NewerProtocolError                   a later version of sktransfer wrote it
    └── InvalidRowError        (ValueError)      a row that cannot be used
        ├── MissingRowError                      the cell is null
        └── UnreadableRowError                   the cell is there, its content is not
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
    """An optional package is not installed; the message has the pip line."""


class UnknownBackboneError(SKTransferError, ValueError):
    """No network goes by that name; the message lists close matches."""


class WeightsNotFoundError(SKTransferError, OSError):
    """The network is known, but its weights are neither installed nor reachable."""


class WeightsMismatchError(SKTransferError, ValueError):
    """A weights file is not the one that was published under that name."""


class RemoteCodeError(SKTransferError, ValueError):
    """A network's record asks for code of its own, or for files elsewhere."""


class BackboneCutError(SKTransferError, ValueError):
    """The blocks do not compute what the network does, whole or cut."""


class BulkError(SKTransferError, ValueError):
    """A source has nothing to encode, or a folder is the result of another job."""


class DepthError(SKTransferError, ValueError):
    """A depth or freeze depth that the network does not have."""


class NonFiniteLossError(SKTransferError, ValueError):
    """The loss became NaN or infinite before one epoch was over."""


class PoolingError(SKTransferError, ValueError):
    """A pooling that the network's activations do not allow."""


class WaitError(SKTransferError, TimeoutError):
    """Another thread holds what is needed here and does not come to an end."""


class ForkedDeviceError(SKTransferError, RuntimeError):
    """The parent of a forked process had started the device, which is lost here."""


class ExportError(SKTransferError, ValueError):
    """A step of a pipeline has no form in ONNX, or computes something else there."""


class SaveError(SKTransferError, ValueError):
    """An estimator cannot be saved, or a save cannot be used."""


class IncompleteSaveError(SaveError):
    """The folder is no save, or files of it are missing."""


class DamagedSaveError(SaveError):
    """The bytes of a save are not those that were written, or make no sense."""


class UnsafeSaveError(SaveError):
    """A save has what `save` never writes: names that leave it, links, packed files."""


class UntrustedTypeError(SaveError):
    """A save has a type or function that is on no list of trusted ones.

    Parameters
    ----------
    message : str
    types : iterable of str

    Attributes
    ----------
    types : tuple of str
        Their dotted names.
    """

    def __init__(self, message: str, types: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.types = tuple(types)


class NewerProtocolError(SaveError):
    """A later version of sktransfer wrote the save, in a form that this one lacks."""


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
        Its index label, where ``X`` has an index; else `row`.
    source : str
        The cell, shortened.
    reason : str
        Cause alone, for whoever sent the row, such as the client of a service. The
        message also says what to do about it in Python, and may name files.
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
    """The cell is there but cannot be read, and ``on_error="raise"``."""
