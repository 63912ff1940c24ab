"""What is changed in a save, for the campaign of tampered saves."""

import hashlib
import io
import json
import os
import zipfile

import numpy as np

MANIFEST, STRUCTURE = "manifest.json", "structure.skops"
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


def _other_networks(save, rng, names):
    """Put another network under the name and the fingerprint of the genuine one."""
    from safetensors.numpy import load_file, save_file

    manifest = _manifest(save)
    folders = sorted(path.parent for path in save.rglob("tokenizer.json"))
    kind = rng.choice(["weights", "changed", "config", "words"] if folders else "wc")
    if kind == "config":
        path = next(iter(folders[0].rglob("config.json")))
        config = json.loads(path.read_text())
        config["layer_norm_eps"] = rng.choice([1e-3, 0.1, 1.0])
        path.write_text(json.dumps(config))
    elif kind == "words":
        path = folders[0] / "tokenizer.json"
        record = json.loads(path.read_text())
        words = record["model"]["vocab"]
        first, second = rng.sample(sorted(words), 2)
        words[first], words[second] = words[second], words[first]
        path.write_text(json.dumps(record))
    else:
        factor = rng.uniform(1.5, 4)
        for path in save.rglob("*.safetensors"):
            tensors = load_file(path)
            for name, tensor in tensors.items():
                if tensor.dtype.kind == "f":
                    tensors[name] = np.array(tensor * factor, dtype=tensor.dtype)
            save_file(tensors, path, metadata={"format": "pt"})
    if kind in ("c", "changed"):
        # The network of the name here, and beside it what is different in this one.
        for record in manifest["networks"]:
            if record["kind"] == "tensors":
                record["kind"], record["changed"] = "reference", record.pop("file")
        (save / MANIFEST).write_text(json.dumps(manifest))


def _forged_parameters(save, rng, names):
    """Say where features are kept, what strings are, and where steps are kept."""
    forged = {
        "cache": ["{outside}/features", "~/features", "/etc"],
        "memory": ["{outside}/memory"],
        "source": ["url", "intranet", "base64", "bytes", "odd"],
        "device": ["cuda:7", "meta"],
        "engine": ["odd"],
    }
    key = rng.choice(list(forged))
    value = rng.choice(forged[key]).format(**names)

    def edit(schema):
        todo = [schema]
        while todo:
            node = todo.pop()
            if isinstance(node, list):
                todo.extend(node)
            if not isinstance(node, dict):
                continue
            if isinstance(node.get(key), dict):
                text = {"__class__": "str", "__module__": "builtins"}
                text |= {"__loader__": "JsonNode", "is_json": True, "__id__": 1}
                node[key] = {**text, "content": json.dumps(value)}
            todo.extend(node.values())
        schema["changed"] = rng.random()

    edit_schema(save, edit)


def _records_of_networks(save, rng, names):
    """Ask for code in the record of a network, or make no sense there."""
    records = sorted((save / "network0").rglob("*.json")) or [save / "network0.json"]
    path = rng.choice(records)
    content = json.loads(path.read_text()) if path.exists() else {}
    edits = [
        {"auto_map": dict.fromkeys(("AutoModel", "AutoConfig"), "mine.Mine")},
        {"auto_map": {"AutoTokenizer": ["evil/repo--mine.Mine", None]}},
        {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Mine"}},
        {"model_type": rng.choice(["", 7, "gpt2", "t5", "clip", None])},
        {"tokenizer_class": rng.choice(["os.system", "Mine", 7, None])},
        {"model_args": {"trust_remote_code": True, "allow_all_kernels": True}},
        {"attn_implementation": "evil/kernel"},
        {rng.choice(["hidden_size", "vocab_size", "max_position_embeddings"]): -1},
        {rng.choice(["hidden_size", "num_attention_heads"]): "x"},
    ]
    if isinstance(content, dict):
        content |= rng.choice(edits)
    else:  # modules.json
        kinds = ["mine.Mine", "os.system", "sentence_transformers.models.Router", 7]
        paths = ["", "../outside", "{outside}", "7_Mine"]
        where = rng.choice(paths).format(**names)
        module = {"idx": len(content), "name": "x", "type": rng.choice(kinds)}
        content.insert(rng.randrange(len(content) + 1), {**module, "path": where})
    path.write_text(json.dumps(content) + " " * rng.randint(1, 9))
    if rng.random() < 0.5:
        code = f"open({str(names['canary'])!r}, 'w')\nclass Mine: pass\n"
        (path.parent / "mine.py").write_text(code)


def _parts_of_bytes(save, rng, names):
    """Put bytes where a step may have some."""
    content = b"cos\nsystem\n(S'touch " + str(names["canary"]).encode() + b"'\ntR."
    with zipfile.ZipFile(save / STRUCTURE, "a") as archive:
        archive.writestr(rng.choice(["1.bin", "x.bin", "../x.bin"]), content)

    def edit(schema):
        node = rng.choice(list(nodes(schema)))
        kind = rng.choice(["bytes", "bytearray"])
        node |= {"__class__": kind, "__module__": "builtins", "__id__": 1}
        node |= {"__loader__": f"{kind.capitalize()}Node", "file": "1.bin"}
        node["content"] = "1.bin"

    if rng.random() < 0.7:
        edit_schema(save, edit)


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
    _other_networks,
    _forged_parameters,
    _records_of_networks,
    _parts_of_bytes,
)
