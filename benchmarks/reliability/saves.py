"""Tampered saves: refused with the reason; nothing is executed, nothing leaves them."""

import collections
import contextlib
import hashlib
import io
import json
import os
import pickle
import random
import shutil
import sys
import time
import zipfile
from pathlib import Path

import numpy as np

from ._shared import alone, peak_mib

MANIFEST, STRUCTURE = "manifest.json", "structure.skops"
LARGEST_GROWTH_MIB = 512
SLOWEST_S = 30
TEXTS = [f"text {i} {i % 3}" for i in range(18)]
LABELS = [0, 1, 2] * 6
# What a file could make of `load`, as (module, name, argument).
GADGETS = (
    ("os", "system", "touch {canary}"),
    ("posix", "system", "touch {canary}"),
    ("subprocess", "Popen", "touch {canary}"),
    ("subprocess", "call", "touch {canary}"),
    ("builtins", "eval", "open('{canary}', 'w')"),
    ("builtins", "exec", "open('{canary}', 'w')"),
    ("builtins", "open", "{canary}"),
    ("pathlib", "Path.touch", "{canary}"),
    ("shutil", "rmtree", "{outside}"),
    ("os", "remove", "{outside}/precious"),
    ("importlib", "import_module", "antigravity"),
    ("antigravity", "fly", ""),
    ("pickle", "loads", "cos\nsystem\n(S'touch {canary}'\ntR."),
    ("joblib", "load", "{outside}/precious"),
    ("numpy", "load", "{outside}/precious"),
    ("torch", "load", "{outside}/precious"),
    ("urllib.request", "urlopen", "http://127.0.0.1:1/"),
    ("socket", "create_connection", "127.0.0.1"),
    ("ctypes", "CDLL", "{outside}/precious"),
    ("webbrowser", "open", "http://127.0.0.1:1/"),
)


def tampered_saves(folder, *, n_saves=200, seed=0):
    """Change saves in ten ways, without their manifest and with it, and load them."""
    (outcome, before), peak = alone(_run, folder, n_saves, seed, timeout_s=3600)
    assert peak - before <= LARGEST_GROWTH_MIB, f"memory grew by {peak - before} MiB"
    return {**outcome, "growth, MiB": peak - before}


def _run(folder, n_saves, seed):
    from sktransfer import load
    from sktransfer.exceptions import DamagedSaveError, SaveError

    rng = random.Random(seed)
    folder = Path(folder)
    outside = folder / "outside"
    outside.mkdir()
    (outside / "precious").write_text("still here")
    names = {"canary": folder / "canary", "outside": outside}
    saves = make_saves(folder / "whole")
    with warnings_as_they_come():
        for save in saves:
            load(save).predict(TEXTS)  # whatever is imported for it is imported now
    watch = Watch()
    watch.test()
    before, slowest = peak_mib(), 0.0
    unsigned = collections.Counter()
    signed = {_name(tamper): collections.Counter() for tamper in TAMPERINGS}
    predicted = collections.Counter()
    n_signed = 0
    for number in range(n_saves):
        tamper = TAMPERINGS[number % len(TAMPERINGS)]
        whole = saves[number // len(TAMPERINGS) % len(saves)]
        save = folder / f"save{number}"
        shutil.copytree(whole, save)
        digest = _sha256((save / MANIFEST).read_bytes())
        tamper(save, rng, names)

        def attempt(save=save, **options):
            try:
                with watch.watching(save), warnings_as_they_come():
                    model = load(save, **options)
            except SaveError as err:
                return type(err)
            # Whoever signs may change what a model says, not what it does.
            with watch.watching(save), warnings_as_they_come():
                predicted[_predict(model)] += 1
            return None

        start = time.perf_counter()
        if _sha256((save / MANIFEST).read_bytes()) == digest:
            refused = attempt()
            assert refused, f"save {number}: {tamper.__name__} was loaded"
            unsigned[refused.__name__] += 1
            sign(save)
        if _sha256((save / MANIFEST).read_bytes()) != digest:
            refused = attempt()
            answer = refused.__name__ if refused else "loaded"
            signed[_name(tamper)][answer] += 1
            assert attempt(sha256=digest) is DamagedSaveError
            n_signed += 1
        slowest = max(slowest, time.perf_counter() - start)
        assert not names["canary"].exists(), f"{tamper.__name__} was executed"
        assert (outside / "precious").read_text() == "still here"
        assert not watch.seen, f"save {number}, {tamper.__name__}: {watch.seen}"
        shutil.rmtree(save)
    assert slowest <= SLOWEST_S, slowest
    outcome = {
        "saves": n_saves,
        "manifest unchanged": dict(unsigned),
        "manifest changed too": signed,
        "predictions of those that loaded": dict(predicted),
        "executed, opened or written outside": 0,
        "refused where sha256= pins the manifest": n_signed,
        "slowest, s": round(slowest, 2),
    }
    return outcome, before


def _predict(model):
    """Say how a prediction with it ends."""
    try:
        answer = model.predict(TEXTS)
    except Exception as err:  # any error will do, a crash or a hang will not
        return type(err).__name__
    return "as before or not, one a row" if len(answer) == len(TEXTS) else "too few"


def _name(tamper):
    return tamper.__name__.strip("_")


def make_saves(folder):
    """Save a tuned network, boosted trees and neighbours; return the folders."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from sktransfer import TextClassifier, TextEncoder, save

    encoder = TextEncoder("tiny-bert")
    trees = HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=1)
    models = [
        TextClassifier("tiny-bert", max_epochs=1, random_state=0),
        make_pipeline(encoder, StandardScaler(), trees),
        make_pipeline(encoder, KNeighborsClassifier(algorithm="kd_tree")),
    ]
    saves = []
    for number, model in enumerate(models):
        saves.append(folder / f"model{number}")
        save(model.fit(TEXTS, LABELS), saves[-1], weights="include")
    return saves


# -- what is watched -------------------------------------------------------------------


class Watch:
    """Notes what Python is about to do that loading a save has no reason for.

    An audit hook cannot be taken away, so there is one for the process, which is silent
    outside `watching`.
    """

    forbidden = (
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.spawn",
        "os.fork",
        "os.forkpty",
        "os.remove",
        "os.rename",
        "os.mkdir",
        "os.rmdir",
        "os.link",
        "os.symlink",
        "os.chmod",
        "os.truncate",
        "os.utime",
        "os.putenv",
        "subprocess.Popen",
        "shutil.",
        "socket.",
        "urllib.Request",
        "webbrowser.open",
        "pickle.find_class",
        "ctypes.",
        "exec",
    )

    def __init__(self):
        import sktransfer

        self.folder, self.seen = None, []
        self.places = tuple(
            str(Path(place).resolve()) for place in {sys.prefix, sys.base_prefix}
        )
        # What an installation from a checkout says of the package's version.
        checkout = Path(sktransfer.__file__).resolve().parents[1]
        self.places += tuple(map(str, checkout.glob("sktransfer*.*-info")))
        self.places += ("/proc/self/statm",)  # a transform asks how large it has grown
        sys.addaudithook(self._hook)

    @contextlib.contextmanager
    def watching(self, folder):
        """Watch the block, which may read `folder` and nothing else."""
        self.folder = str(Path(folder).resolve())
        try:
            yield
        finally:
            self.folder = None

    def test(self):
        """See that the hook notices what it is there for."""

        class Gadget:
            def __reduce__(self):
                return os.system, ("true",)

        content = pickle.dumps(Gadget())
        with self.watching(os.devnull):
            pickle.loads(content)
            open(__file__).close()
        noticed = {event for event, _ in self.seen}
        assert noticed >= {"pickle.find_class", "os.system", "open"}, noticed
        self.seen.clear()

    def _hook(self, event, arguments):
        if self.folder is None:
            return
        if event == "open":
            self._check_open(*arguments)
        elif event == "import":
            if arguments[0].partition(".")[0] not in sys.modules:
                self.seen.append((event, str(arguments[0])))
        elif event == "exec" and arguments[0].co_filename.startswith(self.places):
            pass  # a module that a trusted type lives in is imported
        elif event.startswith(self.forbidden):
            self.seen.append((event, str(arguments)[:200]))

    def _check_open(self, path, mode, flags):
        if isinstance(path, int):
            return
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        path = os.path.abspath(os.fsdecode(path))
        allowed = (self.folder, *(() if writes else self.places))
        if not path.startswith(allowed) or (writes and path != os.devnull):
            self.seen.append(("open", f"{path} {mode}"))


@contextlib.contextmanager
def warnings_as_they_come():
    """Let no warning become an error or a line on the screen."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# -- what is changed -------------------------------------------------------------------


def _sha256(content):
    return hashlib.sha256(content).hexdigest()


def _manifest(save):
    return json.loads((save / MANIFEST).read_bytes())


def sign(save):
    """Make the manifest fit the files, as somebody who means it would."""
    manifest = _manifest(save)
    files = {}
    for path in sorted(save.rglob("*")):
        name = path.relative_to(save).as_posix()
        if path.is_file() and name != MANIFEST:
            content = path.read_bytes()
            files[name] = {"sha256": _sha256(content), "bytes": len(content)}
    manifest["files"] = files
    (save / MANIFEST).write_text(json.dumps(manifest))


def edit_archive(save, edit):
    """Change the parts of the structure by ``edit(name, content) -> name, content``."""
    path = save / STRUCTURE
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(buffer, "w") as new:
        for name in source.namelist():
            new.writestr(*edit(name, source.read(name)))
    path.write_bytes(buffer.getvalue())


def edit_schema(save, edit):
    """Change the JSON of the structure in place by ``edit(schema)``."""

    def change(name, content):
        if name == "schema.json":
            schema = json.loads(content)
            edit(schema)
            content = json.dumps(schema).encode()
        return name, content

    edit_archive(save, change)


def nodes(value):
    """Yield every object of a schema that describes a type."""
    if isinstance(value, dict):
        if "__class__" in value:
            yield value
        for child in value.values():
            yield from nodes(child)
    elif isinstance(value, list):
        for child in value:
            yield from nodes(child)


def _changed_bytes(save, rng, names):
    path = rng.choice(_files(save))
    content = bytearray(path.read_bytes())
    for _ in range(rng.randint(1, 20)):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    content[rng.randrange(len(content))] ^= 1
    path.write_bytes(content)


def _files(save):
    return sorted(p for p in save.rglob("*") if p.is_file() and p.name != MANIFEST)


def _swapped_weights(save, rng, names):
    tensors = sorted(save.rglob("*.safetensors"))
    first, second = (
        rng.sample(tensors, 2) if len(tensors) > 1 else (tensors[0], save / STRUCTURE)
    )
    contents = first.read_bytes(), second.read_bytes()
    second.write_bytes(contents[0])
    first.write_bytes(contents[1])


def _missing_or_more_files(save, rng, names):
    kind = rng.randrange(4)
    path = rng.choice(_files(save))
    if kind == 0:
        path.unlink()
    elif kind == 1:
        os.truncate(path, rng.randrange(path.stat().st_size))
    elif kind == 2:
        more = save / rng.choice(["run.py", "model.pkl", "x.so", "sub/__init__.py"])
        more.parent.mkdir(exist_ok=True)
        more.write_bytes(b"cos\nsystem\n(S'touch canary'\ntR.")
    else:
        path.unlink()
        path.symlink_to(names["outside"] / "precious")


def _names_that_leave(save, rng, names):
    bad = rng.choice(
        [
            "../outside/precious",
            "../../outside/precious",
            str(names["outside"] / "precious"),
            "a/../../outside/precious",
            "..\\outside\\precious",
            "C:\\precious",
            "./precious.json",
            "\0.json",
            "../outside/precious.json",
            "~/precious.json",
        ]
    )
    kind = rng.randrange(3)
    if kind == 0:
        manifest = _manifest(save)
        manifest["files"][bad] = rng.choice(list(manifest["files"].values()))
        (save / MANIFEST).write_text(json.dumps(manifest))
    elif kind == 1:
        manifest = _manifest(save)
        for record in (*manifest["networks"], *manifest["nets"]):
            for key in list(record):
                if key in ("file", "folder", "weights", "name"):
                    record[key] = bad
        manifest["networks"] = manifest["networks"] or [{"file": bad}]
        manifest["more"] = rng.random()
        (save / MANIFEST).write_text(json.dumps(manifest))
    else:
        prefix = rng.choice(["../", "/", "a/../../", "..\\"])
        edit_archive(save, lambda name, content: (prefix + name, content))


def _foreign_types(save, rng, names):
    module, name, argument = GADGETS[rng.randrange(len(GADGETS))]
    argument = argument.format(**names)

    def edit(schema):
        node = rng.choice(list(nodes(schema)))
        node["__module__"], node["__class__"] = module, name
        if rng.random() < 0.5:
            node["__loader__"] = rng.choice(
                ["ObjectNode", "ReduceNode", "FunctionNode", "TypeNode", "PartialNode"]
            )
        if rng.random() < 0.5:
            return
        text = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode"}
        text |= {"content": json.dumps(argument), "is_json": True}
        node["content"] = {
            "__class__": "list",
            "__module__": "builtins",
            "__loader__": "ListNode",
            "content": [text],
        }
        for key in ("reduce", "constructor", "args"):
            node[key] = node["content"]

    edit_schema(save, edit)


def _trusted_types_elsewhere(save, rng, names):
    """Put a type that is trusted where another one stood."""
    from sktransfer.persistence._trust import TRUSTED

    module, _, name = rng.choice(TRUSTED).rpartition(".")

    def edit(schema):
        node = rng.choice(list(nodes(schema)))
        node["__module__"], node["__class__"] = module, name

    edit_schema(save, edit)


def _shuffled_schema(save, rng, names):
    def edit(schema):
        found = list(nodes(schema))
        for _ in range(rng.randint(1, 5)):
            one, other = rng.choice(found), rng.choice(found)
            key = rng.choice([k for k in one if isinstance(k, str)])
            value = other.get(key, rng.choice([None, -1, 2**70, "", [], {}, "x" * 99]))
            one[key] = json.loads(json.dumps(value))
        found[0]["changed"] = rng.random()

    edit_schema(save, edit)


def _bombs(save, rng, names):
    kind = rng.randrange(4)
    if kind == 0:
        zeros = b" " * (rng.randint(50, 200) * 1_000_000)
        with zipfile.ZipFile(save / STRUCTURE, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("schema.json", zeros)
    elif kind == 1:
        inner = io.BytesIO()
        with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
            for part in range(rng.randint(2, 8)):
                archive.writestr(f"{part}.npy", b"\0" * 50_000_000)
        with zipfile.ZipFile(save / STRUCTURE, "a") as archive:
            archive.writestr("99.npz", inner.getvalue())
    elif kind == 2:
        header = io.BytesIO()
        shape = rng.choice([(2**40,), (2**31, 2**31), (2**62, 0), (-1,)])
        np.lib.format.write_array_header_1_0(
            header, {"descr": "<f8", "fortran_order": False, "shape": shape}
        )
        bomb = header.getvalue() + b"\0" * 8
        edit_archive(save, lambda n, c: (n, bomb if n.endswith(".npy") else c))
    else:
        deep = b"[" * 1_000_000
        edit_archive(save, lambda n, c: (n, deep if n == "schema.json" else c))


def _newer_protocol(save, rng, names):
    if rng.random() < 0.7:
        manifest = _manifest(save)
        manifest["protocol"] = rng.choice([2, 3, 999, 2**70, -1, True, "1", None, 1.5])
        (save / MANIFEST).write_text(json.dumps(manifest))
    else:
        newer = rng.randint(3, 999)
        edit_schema(save, lambda schema: schema.update(protocol=newer))


def _forged_tensors(save, rng, names):
    """Change a header of safetensors, or numbers of an array, and leave the rest."""
    tensors = sorted(save.rglob("*.safetensors"))
    if rng.random() < 0.5:
        path = rng.choice(tensors)
        content = bytearray(path.read_bytes())
        n_header = int.from_bytes(content[:8], "little")
        for _ in range(rng.randint(1, 5)):
            content[rng.randrange(8 + n_header)] = rng.randrange(256)
        content[0] ^= rng.choice([0, 1, 255])
        path.write_bytes(bytes(content) + b"\0" * rng.randint(1, 9))
        return

    def forge(name, content):
        if name.endswith(".npy"):
            content = bytearray(content)
            for _ in range(8):
                content[rng.randrange(len(content))] = rng.choice([0, 255, 127])
            content[-1] ^= 1
        return name, bytes(content)

    edit_archive(save, forge)


TAMPERINGS = (
    _changed_bytes,
    _swapped_weights,
    _missing_or_more_files,
    _names_that_leave,
    _foreign_types,
    _trusted_types_elsewhere,
    _shuffled_schema,
    _bombs,
    _newer_protocol,
    _forged_tensors,
)
