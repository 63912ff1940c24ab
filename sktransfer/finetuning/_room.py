"""Batches in parts that fit into a device's memory."""

import numpy as np

from .._utils.device_memory import give_back, is_out_of_memory

LESS_PER_ROW = (
    "a lower precision, more frozen blocks (freeze_depth), shorter texts or smaller "
    "images, a smaller network, or device='cpu'"
)


class Room:
    """The most rows that a device's memory has room for, learned when it runs out.

    The first batch that does not fit is computed again in halves, quarters and so on.
    Later batches start with parts of that size, so that memory runs out once.

    Parameters
    ----------
    device : torch.device
    why_whole : str, default=None
        Reason why a batch cannot be computed in parts, for the message; None if it can.
    """

    def __init__(self, device, why_whole=None):
        self.device, self.why_whole = device, why_whole
        self.most = None

    def parts(self, n_rows, most=None):
        """Return the slices of a batch, of like size."""
        limits = [limit for limit in (self.most, most) if limit is not None]
        n_parts = -(-n_rows // min(limits)) if limits else 1
        ends = [0, *np.cumsum([len(p) for p in np.array_split(range(n_rows), n_parts)])]
        return [slice(*map(int, ends[i : i + 2])) for i in range(n_parts)]

    def run(self, compute, n_rows, start_again=None, most=None):
        """Return ``compute(part)`` for each part of a batch.

        Parameters
        ----------
        compute : callable
            Takes a slice of the rows.
        n_rows : int
        start_again : callable, default=None
            Called before the batch is computed anew, to undo what parts have left.
        most : int, default=None
            The most rows of a part, whatever there is room for.

        Raises
        ------
        torch.OutOfMemoryError
            If a single row does not fit, or the batch cannot be computed in parts.
        """
        while True:
            try:
                return [compute(part) for part in self.parts(n_rows, most)]
            except RuntimeError as err:
                if not is_out_of_memory(err):
                    raise
                self._shrink(n_rows, err)
            # Outside the handler, whose traceback holds the tensors that did not fit.
            if start_again is not None:
                start_again()
            give_back(self.device)

    def _shrink(self, n_rows, err):
        import torch

        first = self.parts(n_rows)[0]
        n_together = first.stop - first.start
        if self.why_whole is not None:
            raise torch.OutOfMemoryError(
                f"The memory of {self.device} has no room for a batch of {n_rows} rows "
                f"({err}). {self.why_whole} Use a smaller batch_size, {LESS_PER_ROW}."
            ) from err
        if n_together == 1:
            raise torch.OutOfMemoryError(
                f"The memory of {self.device} has no room for a single row ({err}). "
                f"Use {LESS_PER_ROW}."
            ) from err
        self.most = -(-n_together // 2)
