"""``python -m sktransfer cache``: look after a folder of features."""

import argparse
import os
import re
import sys
import time
from pathlib import Path

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
DAY_S = 86400


def add_parser(commands):
    """Add the command and its own commands to a command line."""
    cache = commands.add_parser(
        "cache",
        help="inspect and clean a folder that keeps features",
        description="Inspect and clean a folder that keeps features for later runs.",
    )
    actions = cache.add_subparsers(dest="action", title="commands", required=True)
    for name, text in (
        ("info", "show what it holds"),
        ("verify", "read every row and compare checksums; exit code 1 if one is wrong"),
        ("prune", "delete old rows and damaged files, and free their space"),
        ("clear", "delete every row"),
    ):
        action = actions.add_parser(name, help=text, description=text.capitalize())
        action.add_argument(
            "folder",
            metavar="FOLDER",
            type=Path,
            nargs="?",
            help="default: the environment variable SKTRANSFER_CACHE",
        )
        if name == "prune":
            action.add_argument(
                "--max-size",
                metavar="SIZE",
                type=_n_bytes,
                help="keep at most this size, such as 500M or 2G; the least recently "
                "used rows are deleted",
            )
            action.add_argument(
                "--older-than",
                metavar="DAYS",
                type=_days,
                help="delete rows that were not used for this number of days",
            )
            action.add_argument(
                "--stale",
                action="store_true",
                help="delete rows that were computed with another minor version of a "
                "package than the installed one",
            )
    cache.set_defaults(run=run)


def run(args):
    """Run ``cache``; return the exit code."""
    from ..cache import _care as care  # NumPy is not needed to print help
    from ..cache._default import ENV_VARIABLE
    from ..cache._file import FILE_ERRORS

    if args.folder is None and os.environ.get(ENV_VARIABLE):
        args.folder = Path(os.environ[ENV_VARIABLE])
    if args.folder is None:
        print(f"error: give FOLDER, or set {ENV_VARIABLE}", file=sys.stderr)
        return 2

    actions = {"info": _info, "verify": _verify, "prune": _prune, "clear": _clear}
    try:
        return actions[args.action](care, args)
    except FILE_ERRORS as err:
        is_named = str(args.folder) in str(err)
        place = "" if is_named else f"{args.folder}: "
        print(f"error: {place}{err}", file=sys.stderr)
        return 1


def _info(care, args):
    info = care.describe(args.folder)
    print(f"{info.path}: {info.n_rows:,} rows, {_size(info.n_bytes)}")
    if info.n_rows:
        print(f"last used between {_date(info.oldest)} and {_date(info.newest)}")
    for group in info.groups:
        print(_group(group))
    names = sorted({name for group in info.groups for name in group.versions})
    if names:
        print(
            f"An upgrade of {' or '.join(names)} to another minor version makes rows "
            "stale: they are computed again. `cache prune FOLDER --stale` deletes them."
        )
    if info.n_claims:
        print(
            f"{info.n_claims:,} rows are being computed, or belong to a process that "
            "has died"
        )
    for path in info.damaged:
        state = _size(path.stat().st_size) if path.is_file() else "deleted"
        print(f"{path.name}: damaged, not used ({state}); prune deletes it")
    return 0


def _group(group):
    """Say what the rows that the same versions made are, and whether they are used."""
    size = f"{group.n_rows:,} rows, {group.n_bytes / 2**20:,.1f} MiB"
    if not group.versions:
        return f"of unknown origin: {size}"
    state = "of another environment" if group.changed else "in use"
    state = "stale" if group.is_stale else state
    parts = []
    for name, version in group.versions.items():
        installed = group.changed.get(name, version)
        note = "" if installed == version else f" ({installed} is installed)"
        note = " (not installed)" if installed is None else note
        parts.append(f"{name} {version}{note}")
    networks = f"; {', '.join(group.networks)}" if group.networks else ""
    return f"{state}: {size}; {', '.join(parts)}{networks}"


def _verify(care, args):
    health = care.verify(args.folder)
    print(f"{health.n_rows:,} rows read, {health.n_wrong:,} with a wrong checksum")
    for problem in health.problems:
        print(f"SQLite: {problem}")
    if not health.is_sound:
        print(
            "Wrong rows are never used: they are computed again when they are needed."
        )
    return 0 if health.is_sound else 1


def _prune(care, args):
    max_age_s = None if args.older_than is None else args.older_than * DAY_S
    return _deleted(
        care.prune(
            args.folder,
            max_bytes=args.max_size,
            max_age_s=max_age_s,
            stale=args.stale,
        )
    )


def _clear(care, args):
    return _deleted(care.clear(args.folder))


def _deleted(counts):
    n_rows, n_bytes = counts
    print(f"{n_rows:,} rows deleted, {_size(n_bytes)} freed")
    return 0


def _n_bytes(text):
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text, re.IGNORECASE)
    if match is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no size; expected for example 500M or 2G"
        )
    return int(float(match[1]) * UNITS[match[2].upper()])


def _days(text):
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0 <= days < float("inf"):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of days; expected for example 30"
        )
    return days


def _size(n_bytes):
    for unit, factor in reversed(UNITS.items()):
        if abs(n_bytes) >= factor > 1:
            return f"{n_bytes / factor:.1f} {unit}iB"
    return f"{n_bytes} bytes"


def _date(timestamp):
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(timestamp))
