"""``python -m sktransfer encode``: many rows to Parquet files of features."""

import argparse
import sys
from pathlib import Path

DESCRIPTION = """\
Send a folder of images, or a column of CSV or Parquet files, through a pretrained
network, and write Parquet files with one named column for each feature.

Rows that cannot be used go to _rejected/ with the reason. When it is interrupted or
killed, the same command goes on behind the last finished part."""


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
    encode.add_argument("--out", metavar="DIR", type=Path, required=True)
    encode.add_argument("--column", metavar="NAME", help="the column to encode")
    encode.add_argument(
        "--keep",
        metavar="NAME",
        action="append",
        default=[],
        help="copy this column too; may be given several times",
    )
    encode.add_argument("--backbone", metavar="NAME", help="the network")
    encode.add_argument("--modality", choices=("image", "text"))
    encode.add_argument(
        "--depth", type=_depth, default="all", help="as in ImageEncoder (default: all)"
    )
    encode.add_argument("--pooling", default="auto")
    encode.add_argument(
        "--cell",
        choices=("path", "base64", "url", "intranet", "bytes"),
        default="path",
        help="what a string in a column of images is (default: path)",
    )
    encode.add_argument(
        "--rows-per-part", metavar="N", type=_count, default=1024, help="default: 1024"
    )
    encode.add_argument("--batch-size", metavar="N", type=_count)
    encode.add_argument("--device", default="auto")
    encode.add_argument("--precision", default="float32")
    encode.add_argument(
        "--scheduler", metavar="ADDRESS", help="compute on this Dask cluster"
    )
    encode.add_argument("--quiet", action="store_true", help="no progress bar")
    encode.set_defaults(run=run)


def run(args):
    """Run ``encode``; return the exit code."""
    from .. import bulk
    from ..exceptions import SKTransferError

    try:
        done = bulk.encode(
            args.source,
            args.out,
            column=args.column,
            keep=args.keep,
            backbone=args.backbone,
            modality=args.modality,
            depth=args.depth,
            pooling=args.pooling,
            cell=args.cell,
            rows_per_part=args.rows_per_part,
            batch_size="auto" if args.batch_size is None else args.batch_size,
            device=args.device,
            precision=args.precision,
            scheduler=args.scheduler,
            verbose=0 if args.quiet else 1,
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
    found = f", {done.n_found:,} of them found" if done.n_found else ""
    print(f"{done.n_rows:,} rows in {done.n_parts:,} parts{found}: {done.out}")
    if done.n_rejected:
        print(f"{done.n_rejected:,} rows rejected: {done.out / '_rejected'}")
    return 0


def _count(text):
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive whole number")
    return count


def _depth(text):
    try:
        return int(text)
    except ValueError:
        return text
