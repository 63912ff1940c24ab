"""The command line: ``python -m sktransfer demo``, ``encode`` and ``cache``."""

import argparse
import sys
from pathlib import Path

from ._commands import cache, demo, encode

COMMANDS = (demo, encode, cache)


def main(argv=None):
    """Run the command line.

    Parameters
    ----------
    argv : list of str, default=None
        Arguments. None uses those of the process.

    Returns
    -------
    int
        Exit code: 0 for success, 1 for an error or a damaged cache, 130 if interrupted.

    Raises
    ------
    SystemExit
        With code 2, if the arguments are invalid.

    Examples
    --------
    >>> from sktransfer.__main__ import main
    >>> main([])
    usage: python -m sktransfer ...
    0
    """
    parser = _parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help()
        return 0
    return args.run(args)


def _parser():
    from . import __version__

    # As it was called: the script that pip installs, or the module.
    is_script = Path(sys.argv[0]).stem == "sktransfer"
    parser = argparse.ArgumentParser(
        prog="sktransfer" if is_script else "python -m sktransfer",
        description="Transfer learning that never leaves scikit-learn.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", title="commands")
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
