"""Encode many rows to Parquet: in parts, in bounded memory, resumable after a crash."""

from __future__ import annotations

import contextlib
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from .._cells.guess import holds_images, is_url
from .._extraction.estimator import cut_message
from .._utils.names import set_module
from .._utils.optional import import_optional
from .._utils.validation import is_integer, is_null, shorten
from ..backbones import load_backbone
from ..encoders import ImageEncoder, Pieces, TextEncoder
from ..exceptions import BulkError
from ._cluster import check_travels, connected, on_cluster
from ._folder import job_folder
from ._job_cache import JobCache
from ._parts import compute, part_path, reasons_in, rejected_path, write_part
from ._progress import ProgressBar
from ._sources import open_source, say_left_out

if TYPE_CHECKING:
    import distributed

    from ..backbones._registry import BackboneSpec
    from ..cache._default import CacheLike

DEFAULT_BACKBONES = {"image": "efficientnet_lite0", "text": "all-MiniLM-L6-v2"}
N_REASONS = 10  # that are told


@set_module("sktransfer.bulk")
class BulkResult(NamedTuple):
    """Result of a run.

    Attributes
    ----------
    out : Path
        Folder of the result.
    n_rows : int
        Number of rows in all parts.
    n_rejected : int
        Number of rows that could not be encoded, in all parts.
    n_parts : int
        Number of parts.
    n_found : int
        Number of parts that an earlier run had finished.
    reasons : dict of str to int
        Most frequent reasons of rejected rows, at most 10, with their counts.
    left_out : dict of str to int
        Number of files in folders that are not rows, by suffix ("" for none).
    """

    out: Path
    n_rows: int
    n_rejected: int
    n_parts: int
    n_found: int
    reasons: dict[str, int]
    left_out: dict[str, int]


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
    image_size: int | None = None,
    max_length: int | Literal["pieces"] | Pieces | None = None,
    prompt: str | None = None,
    prompt_name: str | None = None,
    normalize: bool = False,
    cell: Literal["path", "base64", "url", "intranet", "bytes"] = "path",
    max_pixels: int | None = None,
    missing: Literal["empty", "reject"] | None = None,
    keep: Sequence[str] = (),
    rows_per_part: int = 1024,
    batch_size: int | Literal["auto"] = "auto",
    device: str = "auto",
    precision: Literal["float32", "tf32", "bfloat16", "float16"] = "float32",
    engine: Literal["auto", "torch", "compile", "onnxruntime", "openvino"] = "torch",
    cache: CacheLike = None,
    scheduler: str | distributed.Client | None = None,
    verbose: int = 1,
) -> BulkResult:
    r"""Encode a column of a data set with a network, and write Parquet files.

    Each part of `rows_per_part` rows becomes ``part-00000.parquet`` with the columns
    ``source_file`` and ``source_row`` (the file and the row in it, from 0), the columns
    of `keep`, and one float32 column per feature, named ``photo_0``, ``photo_1`` and so
    on after `column`. Rows that cannot be encoded are only in
    ``_rejected/part-00000.parquet``, with the columns ``reason`` and ``rejected_cell``:
    the text or path that the cell holds, up to 200 characters, else null. A part is
    written under another name and then renamed, so it is complete or absent. A later
    run with the same arguments resumes after the last finished part.

    Parameters
    ----------
    source : str, Path or list of them
        Data to encode: a folder of images, a CSV or Parquet file, a folder of such
        files, or several files. In a folder, images are files with a suffix that Pillow
        knows; subfolders and links to folders are included, names that begin with a dot
        are not.
    out : str or Path
        Folder for the result: a new folder, or the folder of an earlier run of the same
        job.
    column : str, default=None
        Column to encode. A folder of images has none; its column is called "path".
        Cells of images may also have the form of the Hub's data sets,
        ``{"bytes": ..., "path": ...}``.
    backbone : str, Path or BackboneSpec, default=None
        Network to use. None uses the default of the encoder.
    modality : {"image", "text"}, default=None
        Kind of the cells. None uses the kind that `backbone` reads. Without `backbone`
        it is "image" for a folder of images and for cells of bytes, else "text". A
        column of names of image files needs `modality`, because both are possible.
    depth, pooling, normalize : see `ImageEncoder`
    image_size, max_pixels : int, default=None
        Settings for images, as in `ImageEncoder`.
    max_length, prompt, prompt_name : default=None
        Settings for texts, as in `TextEncoder`.
    cell : {"path", "base64", "url", "intranet", "bytes"}, default="path"
        How to interpret strings in a column of images. Relative paths start at the
        folder of the file that contains them.
    missing : {"empty", "reject"}, default=None
        Policy for null cells. "reject" rejects the row; "empty" encodes the empty text.
        None is "empty" for texts and "reject" for images.
    keep : sequence of str, default=()
        Columns to copy to the result, such as an identifier. Columns of CSV files are
        copied as text.
    rows_per_part : int, default=1024
        Number of rows per part, which are in memory at the same time. A run that is
        killed loses at most one part.
    batch_size, device, precision, engine : see `ImageEncoder`
    cache : "auto", str, Path, FeatureCache or None, default=None
        Store of the features. None keeps them in memory until the end of the job, up to
        1 GiB (on a cluster 256 MiB per worker), so that repeated rows run once. Other
        values are as in `ImageEncoder`.
    scheduler : str or distributed.Client, default=None
        Address or client of a Dask cluster whose workers compute the parts; this
        process reads the source and writes the result. Workers need sktransfer and the
        weights, and must see image files under the same paths. They get the parameters
        of the encoder, never weights. None computes in this process.
    verbose : int, default=1
        1 shows a progress bar with rate and remaining time.

    Returns
    -------
    BulkResult
        Counts of the run. If no row could be encoded, ``n_rows`` is 0 with a warning,
        and the command line ends with exit code 1.

    Raises
    ------
    BulkError
        If the source has nothing to encode, lacks the column or has it twice; if a file
        or folder of several has nothing to encode; if `out` cannot be made or is the
        result of another job; if `backbone` reads another kind than the cells seem to
        be, or cells are names of image files, and `modality` is not given; or if the
        cluster cannot do the job.
    MissingDependencyError
        If pyarrow is not installed, or distributed if `scheduler` is given.
    WeightsMismatchError
        If a worker of the cluster has other weights than this process.

    See Also
    --------
    ImageEncoder, TextEncoder : The encoders, for rows in memory.

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
    data, left_out = open_source(source, column, keep)
    if left_out:
        warnings.warn(f"{say_left_out(left_out)}.", stacklevel=2)
    reads = _modality(data, modality, backbone, cell)
    if missing is None:
        missing = "empty" if reads == "text" else "reject"
    if missing not in ("empty", "reject") or (missing == "empty" and reads == "image"):
        raise ValueError(
            f"missing={missing!r} must be 'reject', or 'empty' for texts, or None."
        )
    only: dict[str, dict[str, Any]] = {
        "image": {"image_size": image_size, "max_pixels": max_pixels},
        "text": {
            "max_length": max_length,
            "prompt": prompt,
            "prompt_name": prompt_name,
        },
    }
    _refuse_options_of_others(reads, only, cell, data.column is None)
    options: dict[str, Any] = {
        "depth": depth,
        "pooling": pooling,
        "normalize": normalize,
        "batch_size": batch_size,
        "device": device,
        "precision": precision,
        "engine": engine,
        "cache": JobCache() if cache is None else cache,
        **only[reads],
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
    encoder._validate_params()
    # Whatever is wrong with them is said before a folder is made.
    request = encoder._resolved()
    job = {
        "protocol": 1,
        "files": data.fingerprints(),
        "column": data.column,
        "keep": list(keep),
        "cell": cell if reads == "image" else None,
        "network": network.name,
        "fingerprint": network.fingerprint,
        "identity": network.cache_identity,
        "preprocess": request.preprocess.key,
        "depth": network.resolve_depth(depth),
        "pooling": network.resolve_pooling(pooling),
        "normalize": bool(normalize),
        "precision": precision,
        "engine": engine,
        "missing": missing,
        "rows_per_part": int(rows_per_part),
        **only[reads],
        "prompt": encoder._prompt(network) if reads == "text" else None,
    }
    pieces = encoder._options("max_length") if reads == "text" else None
    if pieces is not None:
        job["max_length"] = pieces.get_params()
    data.opens_paths = reads == "image" and cell == "path"
    out = Path(out).expanduser().absolute()
    with job_folder(out, job):
        done = _run(data, out, encoder, missing, rows_per_part, verbose, scheduler)
    done = done._replace(left_out=left_out)
    if not done.n_rows:
        worst = next(iter(done.reasons), "there are none")
        warnings.warn(
            f"None of the {done.n_rejected:,} rows could be encoded; the most frequent "
            f"reason is: {worst}.",
            stacklevel=2,
        )
    return done


def _modality(data, modality, backbone, cell):
    """Say what the cells are; ask where they may be names of files or texts."""
    is_told = modality is not None
    if not is_told:
        modality = data.modality
        if backbone is not None:
            modality = load_backbone(backbone).modality
    if modality not in DEFAULT_BACKBONES:
        raise ValueError(f"modality={modality!r} must be 'image' or 'text'.")
    if is_told or data.modality == modality == "image":
        return modality
    cells = [cell for cell in data.sample() if not is_null(cell)]
    what = "The folder" if data.column is None else f"Column {data.column!r}"
    if modality == "image":
        if cell == "path" and cells and not data.may_be_files(cells):
            raise BulkError(
                f"{what} seems to hold texts, such as {shorten(cells[0])}, and the "
                f"network {str(backbone)!r} reads images. Choose a network that reads "
                "texts, or set modality='image' (--modality image) if the cells are "
                "names of files."
            )
        return modality
    if not holds_images([_without_address(cell) for cell in cells]):
        return modality
    if backbone is None and not any(isinstance(cell, str) for cell in cells):
        return "image"
    seems = f"{what} seems to hold images, such as {shorten(cells[0])}"
    if backbone is not None:
        raise BulkError(
            f"{seems}, and the network {str(backbone)!r} reads texts. Choose a network "
            f"that reads images, such as {DEFAULT_BACKBONES['image']!r}, or set "
            "modality='text' (--modality text) to encode the cells as texts."
        )
    raise BulkError(
        f"{seems}. Set modality='image' to read them, or modality='text' to encode the "
        "cells as texts (--modality image or --modality text)."
    )


def _without_address(cell):
    """Return the name of the file at the end of an address."""
    if not isinstance(cell, str) or not is_url(cell):
        return cell
    return "x.png" if cell.startswith("data:image") else urlsplit(cell).path


def _refuse_options_of_others(reads, only, cell, is_folder):
    """Refuse what would change nothing, as no encoder of that kind has it."""
    other = "text" if reads == "image" else "image"
    given = [name for name, value in only[other].items() if value is not None]
    if reads == "text" and cell != "path":
        given.append("cell")
    if is_folder and cell != "path":
        raise ValueError(f"cell={cell!r}: a folder has files; leave cell='path'.")
    if given:
        raise ValueError(
            f"{', '.join(given)}: for {other}s only, and the cells are {reads}s."
        )


def _run(data, out, encoder, missing, rows_per_part, verbose, scheduler):
    n_cut = n_computed = 0
    counts = dict.fromkeys(("n_rows", "n_rejected", "n_parts", "n_found"), 0)
    reasons: Counter[str] = Counter()

    def count(number, chunk):
        rejected = reasons_in(rejected_path(out, number))
        reasons.update(rejected)
        counts["n_rows"] += chunk.n_rows - len(rejected)
        counts["n_rejected"] += len(rejected)
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
        bar = stack.enter_context(ProgressBar(data.n_rows, verbose))
        if scheduler is None:
            parts = ((n, c, *compute(encoder, c.cells, missing)) for n, c in to_do())
        else:
            parts = on_cluster(
                stack.enter_context(connected(scheduler)), encoder, missing, to_do()
            )
        with contextlib.closing(parts):
            for number, chunk, vectors, bad, n_cut_here in parts:
                n_cut, n_computed = n_cut + n_cut_here, n_computed + chunk.n_rows
                write_part(out, number, chunk, data.column, vectors, bad)
                count(number, chunk)
                bar.update(chunk.n_rows)
    if n_cut:
        message = cut_message(n_cut, n_computed, encoder._resolved())
        warnings.warn(f"bulk.encode: {message}", stacklevel=3)
    told = dict(reasons.most_common(N_REASONS))
    return BulkResult(out, **counts, reasons=told, left_out={})


def _is_done(out):
    return lambda number: part_path(out, number).is_file()
