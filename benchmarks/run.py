"""Run benchmark cases: ``python -m benchmarks.run [case ...]``."""

import argparse
import importlib
import json
import os
import pkgutil
import subprocess
import sys

from threadpoolctl import threadpool_limits

from . import cases
from ._figures import draw_few_labels
from ._harness import ROOT, MissingDataError, record

FOLDER = ROOT / "benchmarks"
RESULTS = FOLDER / "results"
PAGES = ROOT / "docs" / "benchmarks"
CLAIMS = ["to show", "wanted", "found", "holds"]
NAMES = [module.name for module in pkgutil.iter_modules(cases.__path__)]


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="benchmarks.run", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="case", help="default: all")
    parser.add_argument("--list", action="store_true", help="list the cases")
    parser.add_argument(
        "--full", action="store_true", help="run rivals whole, however long it takes"
    )
    parser.add_argument(
        "--tables", action="store_true", help="write tables and figure again, no more"
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


def write_tables(names, folder=PAGES):
    """Write what the records say into the pages, between their markers.

    Parameters
    ----------
    names : list of str
        Cases whose record was made anew.
    folder : Path
        Folder of the pages.
    """
    records = _records()
    for name in set(names) & set(records):
        result = records[name]
        body = [markdown(load(name).table(result)), footer(result)]
        if result["claims"]:
            body.append(markdown([CLAIMS, *map(_claim_row, result["claims"])]))
        _fill(folder / f"{name}.md", f"table: {name}", body)
    rows = [
        [f"[{name}]({name}.md)", *_claim_row(one)]
        for name, result in records.items()
        for one in result["claims"]
    ]
    _fill(folder / "claims.md", "claims", [markdown([["case", *CLAIMS], *rows])])
    if "label_efficiency" in names:
        draw_few_labels(records["label_efficiency"]["figures"])


def _records():
    paths = [RESULTS / f"{name}.json" for name in NAMES]
    return {path.stem: json.loads(path.read_text()) for path in paths if path.exists()}


def _claim_row(one):
    holds = {True: "yes", False: "**no**", None: one.get("why")}[one["holds"]]
    return [
        cell.replace("|", r"\|")
        for cell in (one["claim"], str(one["target"]), _number(one["value"]), holds)
    ]


def _number(value):
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _fill(page, marker, parts):
    """Replace what stands between a page's markers."""
    start, end = f"<!-- {marker} -->", "<!-- end -->"
    before, rest = page.read_text().split(start)
    after = rest.partition(end)[2]
    page.write_text(before + "\n\n".join([start, *parts, end]) + after)


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
