"""The command line: all stages, or those that are named."""

import argparse
import json
import signal
import sys
from pathlib import Path

from .._harness import machine, record, versions
from ..run import RESULTS, publish
from . import __doc__ as description
from .report import CASE, STAGES, card, contestant, has_card, outcome

DEFAULT = RESULTS / f"{CASE}.json"
NO_CARD = (
    "benchmarks.gpu needs a CUDA device, and torch finds none here. "
    "`python -m benchmarks.gpu --small` runs it with tiny numbers on the CPU, which "
    "judges nothing."
)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="benchmarks.gpu",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "stages", nargs="*", metavar="stage", help=f"of {', '.join(STAGES)}; all"
    )
    parser.add_argument("--small", action="store_true", help="tiny, on the CPU")
    parser.add_argument(
        "--match", default="", help="only contestants whose name contains this"
    )
    parser.add_argument(
        "--record",
        type=Path,
        help="file for the record; its other stages are kept if card and versions are "
        f"the same (default: {RESULTS.name}/{DEFAULT.name}, and none with --small or "
        "--match)",
    )
    parser.add_argument(
        "--folder", help="where to make images and networks, and find those made before"
    )
    parser.add_argument("--contestant", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.contestant:
        stage, name = options.contestant
        print(json.dumps(contestant(stage, name, options.folder, options.small)))
        return 0
    unknown = sorted(set(options.stages) - set(STAGES))
    if unknown:
        parser.error(f"no stage {unknown}; the stages are {list(STAGES)}")
    if not options.small and not has_card():
        print(NO_CARD, file=sys.stderr)
        return 1
    return run(options)


def run(options):
    """Run stages and publish their record; return 1 if anything is not as it should."""
    if options.small and options.record and options.record.resolve() == DEFAULT:
        print(
            f"{options.record} is of a real card; name another file.", file=sys.stderr
        )
        return 1
    # Without this, contestants would outlive a run that a time limit ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    path = options.record
    if path is None and not options.small and not options.match:
        path = DEFAULT
    before = None
    if path is not None and path.exists():
        before = json.loads(path.read_text())
    print(f"{CASE}: {_where(options.small)}", flush=True)
    found = outcome(
        options.stages,
        is_small=options.small,
        match=options.match,
        folder=options.folder,
        before=before,
    )
    return publish(CASE, record(CASE, False, found), path)


def _where(is_small):
    """Name the machine of a run and the versions that it runs with."""
    device = "the CPU, small" if is_small else json.dumps(card())
    about, used = machine(), versions()
    names = "python", "torch", "timm", "sentence-transformers", "scikit-learn"
    listed = ", ".join(f"{name} {used[name]}" for name in names if name in used)
    return f"{device}; {about['cores']} cores of {about['cpu']}; {listed}"


if __name__ == "__main__":
    sys.exit(main())
