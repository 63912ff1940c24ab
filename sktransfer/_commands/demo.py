"""``python -m sktransfer demo``: the gain by a pretrained network on a table."""

import argparse
import contextlib
import functools
import sys
from pathlib import Path

MIN_ROWS = 40  # five folds that hold both classes, and rows set aside

DESCRIPTION = """\
Without --text, the demo predicts whether a solar cell is defective, from a table with
an image and the type of each cell. With --text, it predicts a column of categories from
a column of texts in your own CSV file.

Each image or text runs through a pretrained network once; a cache keeps the result for
later runs. A grid search over the depth of the network then needs no further pass. The
scores are printed, and figures are written as PNG files."""


def add_parser(commands):
    """Add the command to a command line."""
    demo = commands.add_parser(
        "demo",
        help="see what a pretrained network adds, on solar cells or on your texts",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    demo.add_argument("--text", action="store_true", help="use texts instead of images")
    demo.add_argument("--csv", metavar="FILE", help="table for --text")
    demo.add_argument("--text-column", metavar="NAME", help="column of texts")
    demo.add_argument("--target", metavar="NAME", help="column of categories")
    demo.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=Path("sktransfer-demo"),
        help="folder for the figures (default: %(default)s)",
    )
    demo.add_argument(
        "--cache",
        metavar="DIR",
        type=Path,
        help="folder of the feature cache (default: the environment variable "
        "SKTRANSFER_CACHE, else sktransfer/ in your cache folder)",
    )
    demo.add_argument(
        "--rows",
        metavar="N",
        type=_row_count,
        help="use N rows, drawn with seed 0 (default: all)",
    )
    demo.add_argument(
        "--backbone",
        metavar="NAME",
        help="network to use (default: efficientnet_lite0, with --text "
        "all-MiniLM-L6-v2)",
    )
    demo.set_defaults(run=functools.partial(run, parser=demo))


def run(args, parser):
    """Run ``demo``; return the exit code."""
    from ..exceptions import SKTransferError

    try:
        _run(args, parser)
    except SKTransferError as err:
        print(f"{parser.prog}: error: {err}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "\nInterrupted; computed features stay in the cache.",
            file=sys.stderr,
        )
        return 130
    return 0


def _row_count(text):
    try:
        n_rows = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
    if n_rows < MIN_ROWS:
        raise argparse.ArgumentTypeError(f"{n_rows} is too few: at least {MIN_ROWS}")
    return n_rows


def _run(args, parser):
    """Check what can be checked at once, then run."""
    csv_options = {
        "--csv": args.csv,
        "--text-column": args.text_column,
        "--target": args.target,
    }
    missing = [name for name, value in csv_options.items() if value is None]
    if args.text and args.csv is None:
        parser.error(f"--text needs {', '.join(missing)}")
    if not args.text and len(missing) < len(csv_options):
        given = [name for name in csv_options if name not in missing]
        parser.error(f"{', '.join(given)}: only with --text")

    from .. import demo

    with _new_folder(args.out, parser):
        try:
            if args.text:
                # Without names this fails with the columns that the file has.
                table = demo.read_texts(
                    args.csv, args.text_column, args.target, rows=args.rows
                )
            options = {"out": args.out, "cache": args.cache}
            if args.backbone is not None:
                options["backbone"] = _checked_backbone(args)
        except FileNotFoundError as err:
            parser.error(f"there is no such file: {err.filename}")
        except OSError as err:
            parser.error(
                f"{err.filename or 'a file'} cannot be used: {err.strerror or err}"
            )
        except ValueError as err:
            parser.error(str(err))
        if args.text:
            demo.run_texts(table["text"], table["label"], **options)
        else:
            demo.run_images(rows=args.rows, **options)


@contextlib.contextmanager
def _new_folder(path, parser):
    """Make the folder of the result; remove it if the demo fails and left it empty."""
    made = [place for place in (path, *path.parents) if not place.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        parser.error(f"--out {path} cannot be used as a folder: {err.strerror or err}")
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # it has files, and so have those above
            for place in made:
                place.rmdir()
        raise


def _checked_backbone(args):
    from ..backbones import load_backbone

    load_backbone(args.backbone, modality="text" if args.text else "image")
    return args.backbone
