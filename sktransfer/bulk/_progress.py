"""The progress bar of a job."""

import sys


class ProgressBar:
    """A progress bar that counts the parts that were there, and not into its rate.

    Parameters
    ----------
    total : int or None
        Rows, where they are known.
    verbose : int
        0 shows nothing.
    """

    def __init__(self, total, verbose):
        self.total, self.verbose, self.bar = total, verbose, None

    def __enter__(self):
        if self.verbose and sys.stderr is not None:  # None: no console
            from tqdm import tqdm

            self.bar = tqdm(
                total=self.total, unit="row", desc="encode", file=sys.stderr
            )
        return self

    def __exit__(self, *exc):
        if self.bar is not None:
            self.bar.close()

    def update(self, n_rows, *, is_work=True):
        """Move on."""
        if self.bar is None:
            return
        if is_work:
            self.bar.update(n_rows)
            return
        # All three, or tqdm takes the rows for work of the time since it last drew.
        self.bar.initial += n_rows
        self.bar.last_print_n += n_rows
        self.bar.n += n_rows
        self.bar.refresh()
