"""The command line: all campaigns, or those that are named."""

import argparse
import json
import os
import sys
import tempfile
import time

from . import __doc__ as description
from .budgets import budgets
from .columns import columns
from .inputs import images, texts
from .jobs import killed_jobs, two_workers
from .modes import modes
from .reading import reading
from .saves import tampered_saves
from .serving import serving
from .stores import damage, full_disk, kills, together

CAMPAIGNS = {
    "together": together,
    "kills": kills,
    "damage": damage,
    "full_disk": full_disk,
    "budgets": budgets,
    "reading": reading,
    "columns": columns,
    "images": images,
    "modes": modes,
    "texts": texts,
    "tampered_saves": tampered_saves,
    "killed_jobs": killed_jobs,
    "two_workers": two_workers,
    "serving": serving,
}


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="benchmarks.reliability",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("campaigns", nargs="*", metavar="campaign", help="default: all")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.campaigns) - set(CAMPAIGNS))
    if unknown:
        parser.error(f"no campaign {unknown}; the campaigns are {list(CAMPAIGNS)}")
    os.environ.pop("SKTRANSFER_CACHE", None)
    for name in options.campaigns or CAMPAIGNS:
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            outcome = CAMPAIGNS[name](folder)
        print(f"{name} ({time.perf_counter() - start:.0f} s)")
        print(json.dumps(outcome, indent=1), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
