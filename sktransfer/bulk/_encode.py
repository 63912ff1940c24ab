"""Encode many rows to Parquet: in parts, in bounded memory, resumable after a crash."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .._utils.names import set_module
from .._utils.optional import import_optional
from .._utils.validation import is_integer
from .._utils.whole_file import write_whole
from ..backbones import load_backbone
from ..encoders import ImageEncoder, TextEncoder
from ..exceptions import BulkError
from ._cluster import check_travels, connected, on_cluster
from ._parts import REJECTED, compute, n_rows, part_path, rejected_path, write_part
from ._sources import open_source

if TYPE_CHECKING:
    import distributed

    from ..backbones._registry import BackboneSpec
    from ..cache._default import CacheLike

JOB = "_job.json"  # readers of Parquet folders skip such names
LOCK = ".lock"
DEFAULT_BACKBONES = {"image": "efficientnet_lite0", "text": "all-MiniLM-L6-v2"}


@set_module("sktransfer.bulk")
class BulkResult(NamedTuple):
    """What a run did.

    Attributes
    ----------
    out : Path
        The folder.
    n_rows : int
        Rows in all parts.
    n_rejected : int
        Rows that could not be encoded, in all parts.
    n_parts : int
    n_found : int
        Parts that an earlier run had finished.
    """

    out: Path
    n_rows: int
    n_rejected: int
    n_parts: int
    n_found: int


@set_module("sktransfer.bulk")
def encode(
    source: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    column: str | None = None,
    backbone: str | Path | BackboneSpec | None = None,
    modality: Literal["image", "text"] | None = None,
    depth: int | str = "all",
    pooling: Literal["auto", "mean", "max", "cls", "last"] = "auto",
    cell: Literal["path", "base64", "url", "intranet", "bytes"] = "path",
    keep: Sequence[str] = (),
    rows_per_part: int = 1024,
    batch_size: int | Literal["auto"] = "auto",
    device: str = "auto",
    precision: Literal["float32", "bfloat16", "float16"] = "float32",
    cache: CacheLike = None,
    scheduler: str | distributed.Client | None = None,
    verbose: int = 1,
) -> BulkResult:
    r"""Send a column of a data set through a network, and write Parquet files.

    Each part of `rows_per_part` rows becomes ``part-00000.parquet`` with the columns
    ``source_file`` and ``source_row`` (the file and the row in it, from 0), those of
    `keep`, and one float32 column for each feature, named ``photo_0``, ``photo_1`` and
    so on after `column`. Rows that cannot be encoded go to
    ``_rejected/part-00000.parquet`` with the reason, and nowhere else. A part is
    written beside its place and renamed: it is whole, or not there. A later run with
    the same arguments goes on behind the last finished part.

    Parameters
    ----------
    source : str, Path or list of them
        A folder of images (with its subfolders), a CSV or Parquet file, a folder of
        Parquet or CSV files, or several files.
    out : str or Path
        Folder for the result: a new one, or that of the same job before.
    column : str, default=None
        The column to encode. Not for a folder of images, whose column is "path".
    backbone : str, Path or BackboneSpec, default=None
        None takes the encoder's own default.
    modality : {"image", "text"}, default=None
        None asks the backbone; without one, images for a folder of them, else texts.
    depth, pooling, batch_size, device, precision, cache : see `ImageEncoder`
        `cache` is None by default: a part that is finished is not computed again.
    cell : {"path", "base64", "url", "intranet", "bytes"}, default="path"
        What a string in a column of images is. Relative paths start at the folder of
        the file that names them.
    keep : sequence of str, default=()
        Columns to copy, such as an identifier; those of CSV files are copied as text.
    rows_per_part : int, default=1024
        So many rows are in memory at once, and are lost at most when a run is killed.
    scheduler : str or distributed.Client, default=None
        Address or client of a Dask cluster, whose workers compute the parts; this
        process reads the source and writes the result. Workers need sktransfer and the
        weights, and see image files under the same paths. They get the parameters of
        the encoder, never weights. None computes here.
    verbose : int, default=1
        1 shows a progress bar with rate and time left.

    Returns
    -------
    BulkResult

    Raises
    ------
    BulkError
        If the source has nothing to encode or lacks the column, `out` is the result
        of another job, or the cluster cannot do it.
    MissingDependencyError
        If pyarrow is not installed, or distributed where `scheduler` is given.
    WeightsMismatchError
        If a worker of the cluster has other weights than this process.

    Examples
    --------
    >>> from pathlib import Path
    >>> from sktransfer import bulk
    >>> _ = Path("mails.csv").write_text("id,mail\n1,hello\n2,good bye\n")
    >>> done = bulk.encode("mails.csv", "vectors", column="mail", keep=["id"],
    ...                    backbone="tiny-bert", verbose=0)
    >>> done.n_rows, done.n_parts
    (2, 1)
    """
    import_optional("pyarrow", extra="bulk", purpose="sktransfer.bulk.encode")
    if not is_integer(rows_per_part) or rows_per_part < 1:
        raise ValueError(f"rows_per_part={rows_per_part!r} must be a positive int.")
    if scheduler is not None:
        check_travels(backbone)
    data = open_source(source, column, keep)
    reads: Any = modality
    if reads is None:
        reads = data.modality
        if backbone is not None:
            reads = load_backbone(backbone).modality
    if reads not in DEFAULT_BACKBONES:
        raise ValueError(f"modality={reads!r} must be 'image' or 'text'.")
    options: dict[str, Any] = {
        "depth": depth,
        "pooling": pooling,
        "batch_size": batch_size,
        "device": device,
        "precision": precision,
        "cache": cache,
    }
    name = DEFAULT_BACKBONES[reads] if backbone is None else backbone
    encoder: ImageEncoder | TextEncoder
    if reads == "image":
        encoder = ImageEncoder(
            name, source=cell, missing="nan", on_error="nan", **options
        )
    else:
        encoder = TextEncoder(name, missing="empty", **options)
    network = load_backbone(name, modality=reads)
    job = {
        "protocol": 1,
        "files": data.fingerprints(),
        "column": data.column,
        "keep": list(keep),
        "cell": cell if reads == "image" else None,
        "network": network.name,
        "fingerprint": network.fingerprint,
        "depth": network.resolve_depth(depth),
        "pooling": network.resolve_pooling(pooling),
        "precision": precision,
        "rows_per_part": int(rows_per_part),
    }
    data.opens_paths = reads == "image" and cell == "path"
    out = Path(out).expanduser().absolute()
    known = {LOCK, REJECTED, JOB}
    if (
        out.exists()
        and not (out / JOB).is_file()
        and any(p.name not in known and p.suffix != ".tmp" for p in out.iterdir())
    ):
        raise BulkError(f"{out} has files, but no {JOB}: give a new folder.")
    (out / REJECTED).mkdir(parents=True, exist_ok=True)
    with _alone(out):
        _start(out, job)
        return _run(data, out, encoder, rows_per_part, verbose, scheduler)


@contextlib.contextmanager
def _alone(out):
    """Keep other processes out of a folder; a process that is killed lets go."""
    with open(out / LOCK, "a") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # no such locks on this system
            pass
        except OSError as err:
            raise BulkError(
                f"Another process is writing to {out}; wait for it, or give another "
                "folder."
            ) from err
        yield


def _start(out, job):
    """Write down the job, or see that it is the same as before."""
    path = out / JOB
    if path.is_file():
        try:
            before = json.loads(path.read_bytes())
        except ValueError as err:
            raise BulkError(f"{path} is damaged ({err}); use another folder.") from err
        changed = sorted(k for k in job if before.get(k) != job[k])
        if changed:
            is_are = "is" if len(changed) == 1 else "are"
            raise BulkError(
                f"{out} is the result of another job: {', '.join(changed)} {is_are} "
                "not the same. Use another folder, or the same arguments and files."
            )
        for stale in (*out.glob(".*.tmp"), *(out / REJECTED).glob(".*.tmp")):
            stale.unlink(missing_ok=True)
        return
    write_whole(path, json.dumps(job, indent=1).encode())


def _run(data, out, encoder, rows_per_part, verbose, scheduler):
    counts = dict.fromkeys(("n_rows", "n_rejected", "n_parts", "n_found"), 0)

    def count(number, chunk):
        rejected = n_rows(rejected_path(out, number))
        counts["n_rows"] += chunk.n_rows - rejected
        counts["n_rejected"] += rejected
        counts["n_parts"] += 1

    def to_do():
        for number, chunk in enumerate(data.chunks(rows_per_part, _is_done(out))):
            if chunk.cells is not None:
                yield number, chunk
                continue
            count(number, chunk)
            counts["n_found"] += 1
            bar.update(chunk.n_rows, is_work=False)

    with contextlib.ExitStack() as stack:
        bar = stack.enter_context(_Bar(data.n_rows, verbose))
        if scheduler is None:
            parts = ((n, c, *compute(encoder, c.cells)) for n, c in to_do())
        else:
            parts = on_cluster(
                stack.enter_context(connected(scheduler)), encoder, to_do()
            )
        with contextlib.closing(parts):
            for number, chunk, vectors, bad in parts:
                write_part(out, number, chunk, data.column, vectors, bad)
                count(number, chunk)
                bar.update(chunk.n_rows)
    return BulkResult(out, **counts)


def _is_done(out):
    return lambda number: part_path(out, number).is_file()


class _Bar:
    """A progress bar whose rate leaves out the parts that were there."""

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
        if not is_work:
            self.bar.initial += n_rows
            self.bar.n += n_rows
            self.bar.refresh()
        else:
            self.bar.update(n_rows)
