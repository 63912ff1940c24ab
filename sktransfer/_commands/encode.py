"""``python -m sktransfer encode``: many rows to Parquet files of features."""

import argparse
import sys
import warnings
from pathlib import Path

from .._utils.arithmetic import PRECISIONS

N_REASONS = 3  # that are printed

DESCRIPTION = """\
Encode a folder of images, or a column of CSV or Parquet files, with a pretrained
network, and write Parquet files with one named column per feature.

Rows that cannot be used are written to _rejected/ with the reason. The same command
resumes an interrupted or killed run after the last finished part. The exit code is 1
if no row could be encoded."""


def add_parser(commands):
    """Add the command to a command line."""
    encode = commands.add_parser(
        "encode",
        help="encode many images or texts to Parquet files of features",
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
        help="folder for the result: a new one, or the folder of an earlier run of the "
        "same job",
    )
    encode.add_argument("--column", metavar="NAME", help="column to encode")
    encode.add_argument(
        "--keep",
        metavar="NAME",
        action="append",
        default=[],
        help="also copy this column; may be given several times",
    )
    encode.add_argument(
        "--modality",
        choices=("image", "text"),
        help="kind of the cells (default: that of the network; without --backbone, "
        "images for a folder of images and for bytes, else texts)",
    )
    encode.add_argument(
        "--missing",
        choices=("empty", "reject"),
        help="policy for null cells: encode the empty text, or reject the row "
        "(default: empty for texts, reject for images)",
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
        help="blocks of the network to run: all, -1 for all but the last block, 6 for "
        "the first six, or the name of a block (default: all)",
    )
    group.add_argument(
        "--pooling",
        choices=("auto", "mean", "max", "cls", "last"),
        default="auto",
        help="reduction of the activations to one vector (default: auto, that of the "
        "network)",
    )
    group.add_argument(
        "--normalize", action="store_true", help="scale each vector to length 1"
    )


def _add_images(group):
    group.add_argument(
        "--cell",
        choices=("path", "base64", "url", "intranet", "bytes"),
        default="path",
        help="how to interpret strings in a column of images (default: path, relative "
        "to the folder of its file)",
    )
    group.add_argument(
        "--image-size",
        metavar="N",
        type=_count,
        help="height and width of the network's input in pixels (default: that of the "
        "network)",
    )
    group.add_argument(
        "--max-pixels",
        metavar="N",
        type=_count,
        help="greatest number of pixels; larger images are rejected before they are "
        "decoded (default: 178 million)",
    )


def _add_texts(group):
    group.add_argument(
        "--max-length",
        metavar="N|pieces",
        type=_count_or_pieces,
        help="greatest number of tokens per text (default: the limit of the network); "
        "pieces: split longer texts into overlapping pieces and average their "
        "vectors",
    )
    group.add_argument(
        "--prompt-name",
        metavar="NAME",
        help="name of a prompt in the network's configuration to put in front of each "
        "text (default: its default prompt; most have none)",
    )
    group.add_argument(
        "--prompt", metavar="TEXT", help="text to put in front instead, unchanged"
    )


def _add_computation(group):
    group.add_argument(
        "--rows-per-part",
        metavar="N",
        type=_count,
        default=1024,
        help="rows per part: in memory at the same time, and in one file (default: "
        "1024)",
    )
    group.add_argument(
        "--batch-size",
        metavar="N",
        type=_count,
        help="rows per forward pass (default: what suits the device)",
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
        help="precision of the computation (default: float32)",
    )
    group.add_argument(
        "--engine",
        choices=("auto", "torch", "compile", "onnxruntime", "openvino"),
        default="torch",
        help="engine that computes the features (default: torch)",
    )
    group.add_argument(
        "--cache",
        metavar="DIR",
        help="folder that keeps features for other jobs, or auto for that of "
        "SKTRANSFER_CACHE (default: memory, until the end of the job)",
    )
    group.add_argument(
        "--scheduler", metavar="ADDRESS", help="Dask cluster to compute on"
    )
    group.add_argument("--quiet", action="store_true", help="show no progress bar")


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
            "\nInterrupted; the same command resumes after the last finished part.",
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
