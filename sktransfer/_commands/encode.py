"""``python -m sktransfer encode``: many rows to Parquet files of features."""

import argparse
import sys
import warnings
from pathlib import Path

from .._utils.arithmetic import PRECISIONS

N_REASONS = 3  # that are printed

DESCRIPTION = """\
Send a folder of images, or a column of CSV or Parquet files, through a pretrained
network, and write Parquet files with one named column for each feature.

Rows that cannot be used go to _rejected/ with the reason. When it is interrupted or
killed, the same command goes on behind the last finished part. The exit code is 1
where no row could be encoded."""


def add_parser(commands):
    """Add the command to a command line."""
    encode = commands.add_parser(
        "encode",
        help="many images or texts to Parquet files of features",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    encode.add_argument(
        "source",
        metavar="SOURCE",
        nargs="+",
        type=Path,
        help="a folder of images, CSV or Parquet files, or folders of them",
    )
    encode.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        required=True,
        help="folder for the result: a new one, or that of the same job before",
    )
    encode.add_argument("--column", metavar="NAME", help="the column to encode")
    encode.add_argument(
        "--keep",
        metavar="NAME",
        action="append",
        default=[],
        help="copy this column too; may be given several times",
    )
    encode.add_argument(
        "--modality",
        choices=("image", "text"),
        help="kind of the cells (default: that of the network; without --backbone "
        "images for a folder of them and for bytes, else texts)",
    )
    encode.add_argument(
        "--missing",
        choices=("empty", "reject"),
        help="null cells: encode the empty text, or reject the row (default: empty for "
        "texts, reject for images)",
    )
    _add_network(encode.add_argument_group("the network"))
    _add_images(encode.add_argument_group("images only"))
    _add_texts(encode.add_argument_group("texts only"))
    _add_computation(encode.add_argument_group("the computation"))
    encode.set_defaults(run=run)


def _add_network(group):
    group.add_argument(
        "--backbone",
        metavar="NAME",
        help="name or folder of the network (default: efficientnet_lite0 for images, "
        "all-MiniLM-L6-v2 for texts)",
    )
    group.add_argument(
        "--depth",
        type=_depth,
        default="all",
        help="how much of it runs: all, -1 for all but the last block, 6 for the first "
        "six, or the name of a block (default: all)",
    )
    group.add_argument(
        "--pooling",
        choices=("auto", "mean", "max", "cls", "last"),
        default="auto",
        help="how activations become one vector (default: auto, the network's own)",
    )
    group.add_argument(
        "--normalize", action="store_true", help="scale each vector to length 1"
    )


def _add_images(group):
    group.add_argument(
        "--cell",
        choices=("path", "base64", "url", "intranet", "bytes"),
        default="path",
        help="how to read a string in a column of images (default: path, from the "
        "folder of its file)",
    )
    group.add_argument(
        "--image-size",
        metavar="N",
        type=_count,
        help="height and width in pixels that the network sees (default: its own)",
    )
    group.add_argument(
        "--max-pixels",
        metavar="N",
        type=_count,
        help="reject larger images before they are decoded (default: 178 million)",
    )


def _add_texts(group):
    group.add_argument(
        "--max-length",
        metavar="N|pieces",
        type=_count_or_pieces,
        help="tokens of a text that are kept (default: the network's own limit); "
        "pieces: cut longer texts into overlapping pieces and average their vectors",
    )
    group.add_argument(
        "--prompt-name",
        metavar="NAME",
        help="put this prompt of the network's record in front of each text (default: "
        "the record's default, which most do not have)",
    )
    group.add_argument(
        "--prompt", metavar="TEXT", help="put this text in front instead, as it is"
    )


def _add_computation(group):
    group.add_argument(
        "--rows-per-part",
        metavar="N",
        type=_count,
        default=1024,
        help="rows in memory at once, and in a file of the result (default: 1024)",
    )
    group.add_argument(
        "--batch-size",
        metavar="N",
        type=_count,
        help="rows that run together (default: what suits the device)",
    )
    group.add_argument(
        "--device",
        default="auto",
        help="auto, cpu, cuda, cuda:1, mps (default: auto: CUDA, else MPS, else the "
        "CPU)",
    )
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="what the network computes in (default: float32)",
    )
    group.add_argument(
        "--engine",
        choices=("auto", "torch", "compile", "onnxruntime", "openvino"),
        default="torch",
        help="what computes the vectors (default: torch)",
    )
    group.add_argument(
        "--cache",
        metavar="DIR",
        help="folder that keeps vectors for other jobs, or auto for that of "
        "SKTRANSFER_CACHE (default: memory, until the end of the job)",
    )
    group.add_argument(
        "--scheduler", metavar="ADDRESS", help="compute on this Dask cluster"
    )
    group.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args):
    """Run ``encode``; return the exit code."""
    from .. import bulk
    from ..exceptions import SKTransferError

    options = {
        name: value
        for name, value in vars(args).items()
        if name not in ("command", "run", "source", "out", "quiet", "batch_size")
    }
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            done = bulk.encode(
                args.source,
                args.out,
                batch_size="auto" if args.batch_size is None else args.batch_size,
                verbose=0 if args.quiet else 1,
                **options,
            )
    except (SKTransferError, OSError, ValueError) as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "\nInterrupted; the same command goes on behind the last finished part.",
            file=sys.stderr,
        )
        return 130
    parts = "1 part" if done.n_parts == 1 else f"{done.n_parts:,} parts"
    found = f", {done.n_found:,} of them found" if done.n_found else ""
    print(f"{_rows(done.n_rows)} in {parts}{found}: {done.out}")
    if done.n_rejected:
        print(f"{_rows(done.n_rejected)} rejected: {done.out / '_rejected'}")
        for reason, count in list(done.reasons.items())[:N_REASONS]:
            print(f"  {count:,} x {reason}")
    return 0 if done.n_rows else 1


def _show_warning(message, *place, **options):
    """Say a warning as the program's, not as a line of its code."""
    print(f"warning: {message}", file=sys.stderr)


def _rows(n_rows):
    return "1 row" if n_rows == 1 else f"{n_rows:,} rows"


def _count(text):
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive whole number")
    return count


def _count_or_pieces(text):
    return text if text == "pieces" else _count(text)


def _depth(text):
    try:
        return int(text)
    except ValueError:
        return text
