"""Run benchmark cases: ``python -m benchmarks.run [case ...]``."""

import argparse
import importlib
import json
import os
import pkgutil
import re
import subprocess
import sys

from threadpoolctl import threadpool_limits

from . import cases
from ._harness import ROOT, MissingDataError, record

FOLDER = ROOT / "benchmarks"
RESULTS = FOLDER / "results"
README = FOLDER / "README.md"
NAMES = [module.name for module in pkgutil.iter_modules(cases.__path__)]


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="benchmarks.run", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="case", help="default: all")
    parser.add_argument("--list", action="store_true", help="list the cases")
    parser.add_argument(
        "--full", action="store_true", help="run rivals whole, however long it takes"
    )
    parser.add_argument(
        "--tables", action="store_true", help="only write README.md's tables again"
    )
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.cases) - set(NAMES))
    if unknown:
        parser.error(f"no case {unknown}; the cases are {NAMES}")
    if options.list:
        for name in NAMES:
            print(f"{name:18}{load(name).__doc__.splitlines()[0]}")
        return 0
    if options.tables:
        write_tables(NAMES)
        return 0
    names = options.cases or NAMES
    if len(names) == 1:
        return run(names[0], options.full)
    # A process each: a case must not find networks loaded or rows cached.
    flags = ["--full"] if options.full else []
    command = [sys.executable, "-m", "benchmarks.run", *flags]
    codes = [subprocess.run([*command, name], cwd=ROOT).returncode for name in names]
    return max(codes)


def load(name):
    return importlib.import_module(f"{cases.__name__}.{name}")


def run(name, full):
    """Run a case here; return 1 if something that it was to show does not hold."""
    os.environ.pop("SKTRANSFER_CACHE", None)  # cold means cold
    print(f"{name}: running", flush=True)
    try:
        case = load(name)
        # BLAS threads that wait for each other made the heads of the grids, which are
        # the same for all, 8 times slower than one thread; torch has its own threads.
        with threadpool_limits(1, user_api="blas"):
            result = record(name, full, case.run(full))
    except MissingDataError as err:
        print(f"{name}: skipped: {err}.\n")
        return 0
    except ModuleNotFoundError as err:
        print(f'{name}: skipped: {err}; pip install "sktransfer[bench]".\n')
        return 0
    return publish(name, result, RESULTS / f"{name}.json")


def publish(name, result, path=None):
    """Write a record and print it; return 1 if something in it did not come out.

    Parameters
    ----------
    name : str
        The case.
    result : dict
        Record of the run, from `record`.
    path : Path, default=None
        File to write; None writes nothing.
    """
    if path is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n")
    print(markdown(load(name).table(result)))
    for one in result["claims"]:
        state = {True: "holds", False: "DOES NOT HOLD", None: one.get("why")}
        print(
            f"{one['claim']}: {one['value']} ({one['target']}): {state[one['holds']]}"
        )
    if path is not None:
        print(f"-> {os.path.relpath(path, ROOT)}\n", flush=True)
        if path == RESULTS / f"{name}.json":
            write_tables([name])
    has_failed = any(one["holds"] is False for one in result["claims"])
    return 1 if has_failed or result.get("errors") else 0


def markdown(table):
    """Return a table, headings first, as aligned Markdown."""
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in table
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def write_tables(names):
    """Replace what stands between README.md's markers by tables of the results."""

    def fill(match):
        path = RESULTS / f"{match['name']}.json"
        if match["name"] not in names or not path.exists():
            return match[0]
        result = json.loads(path.read_text())
        body = [markdown(load(match["name"]).table(result)), footer(result)]
        return "\n\n".join([match["start"], *body, match["end"]])

    pattern = r"(?P<start><!-- table: (?P<name>\w+) -->).*?(?P<end><!-- end -->)"
    README.write_text(re.sub(pattern, fill, README.read_text(), flags=re.DOTALL))


def footer(result):
    machine, versions = result["machine"], result["versions"]
    used = ("torch", "scikit-learn", "timm", "sentence-transformers", "skrub")
    listed = ", ".join(f"{n} {versions[n]}" for n in used if n in versions)
    card = f"{machine['card']}, " if machine.get("card") else ""
    return (
        f"{result['date']}, {card}{machine['cores']} cores of {machine['cpu']}, "
        f"load average {machine['load_average_15_min']}; {listed}."
    )


if __name__ == "__main__":
    sys.exit(main())
