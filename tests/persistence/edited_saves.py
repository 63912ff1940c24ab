"""Saves that somebody changed, and signed anew."""

import hashlib
import io
import json
import zipfile


def manifest_of(folder):
    return json.loads((folder / "manifest.json").read_text())


def write_manifest(folder, manifest):
    (folder / "manifest.json").write_text(json.dumps(manifest))


def write_signed(folder, name, content):
    """Change a file, and the manifest with it, as somebody who means it would."""
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    manifest = manifest_of(folder)
    manifest["files"][name] = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }
    write_manifest(folder, manifest)


def edit_schema(folder, edit):
    """Change the structure by ``edit(text) -> text``, and sign it."""
    source = zipfile.ZipFile(folder / "structure.skops")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "schema.json":
                changed = edit(content.decode())
                assert changed != content.decode()
                content = changed.encode()
            target.writestr(name, content)
    source.close()
    write_signed(folder, "structure.skops", buffer.getvalue())


def rename_class(folder, old, new):
    """Change a class's dotted name wherever the structure has it, and sign it."""
    old_module, _, old_name = old.rpartition(".")
    new_module, _, new_name = new.rpartition(".")

    def renamed(node):
        if (node.get("__module__"), node.get("__class__")) == (old_module, old_name):
            node |= {"__module__": new_module, "__class__": new_name}
        return node

    edit_schema(
        folder, lambda text: json.dumps(json.loads(text, object_hook=renamed), indent=2)
    )
