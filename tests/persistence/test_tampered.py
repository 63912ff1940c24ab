"""load on saves that were changed: refused with the reason, and nothing is executed."""

import hashlib
import io
import shutil
import zipfile

import numpy as np
import pytest
from edited_saves import (
    edit_schema,
    manifest_of,
    rename_class,
    write_manifest,
    write_signed,
)
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from sktransfer import TextClassifier, TextEncoder, load, save
from sktransfer.exceptions import (
    DamagedSaveError,
    IncompleteSaveError,
    NewerProtocolError,
    SaveError,
    UnsafeSaveError,
    UntrustedTypeError,
)

TEXTS = [f"text {i} {i % 3}" for i in range(18)]
LABELS = np.array([0, 1, 2] * 6)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A tuned model with its weights included."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    model = TextClassifier("tiny-bert", max_epochs=1, random_state=0)
    save(model.fit(TEXTS, LABELS), folder, weights="include")
    return folder


@pytest.fixture
def model(saved, tmp_path):
    """A copy to change."""
    return shutil.copytree(saved, tmp_path / "model")


@pytest.mark.parametrize("seed", range(20))
def test_a_changed_byte_anywhere_is_refused(model, seed):
    rng = np.random.default_rng(seed)
    files = sorted(p for p in model.rglob("*") if p.is_file())
    path = files[seed % len(files)]
    content = bytearray(path.read_bytes())
    content[rng.integers(len(content))] ^= 1 << int(rng.integers(1, 7))
    pinned = hashlib.sha256((model / "manifest.json").read_bytes()).hexdigest()
    path.write_bytes(content)
    with pytest.raises(SaveError):
        load(model, sha256=pinned)


def test_swapped_weights_are_refused(model):
    names = [n for n in manifest_of(model)["files"] if n.endswith(".safetensors")]
    first, second = ((model / n).read_bytes() for n in names[:2])
    (model / names[0]).write_bytes(second)
    (model / names[1]).write_bytes(first)
    with pytest.raises(DamagedSaveError, match="changed since it was saved"):
        load(model)
    for name, content in zip(names, (second, first), strict=False):
        write_signed(model, name, content)
    with pytest.raises(DamagedSaveError, match="do not fit"):
        load(model)


@pytest.mark.parametrize(
    "name",
    [
        "../outside.json",
        "/etc/hostname.txt",
        "a/../../b.json",
        "..",
        "a\\..\\b.json",
        "a//b.json",
        ".hidden.json",
        "code.py",
        "weights.pth",
        "",
    ],
)
def test_a_name_that_no_save_has_is_refused_unread(model, name):
    (model.parent / "outside.json").write_text("{}")
    manifest = manifest_of(model)
    manifest["files"][name] = manifest["files"]["structure.skops"]
    write_manifest(model, manifest)
    with pytest.raises(UnsafeSaveError, match="not a valid name of a file"):
        load(model)


def test_links_and_files_that_are_not_listed_are_refused(model, tmp_path):
    (model / "extra.py").write_text("raise SystemExit")
    with pytest.raises(UnsafeSaveError, match="not in the manifest"):
        load(model)
    (model / "extra.py").unlink()
    path = model / "structure.skops"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeSaveError, match="is a link"):
        load(model)


def test_a_half_written_or_half_copied_folder_is_refused(model, tmp_path):
    with pytest.raises(IncompleteSaveError, match="no such folder"):
        load(tmp_path / "nowhere")
    (model / "net0.safetensors").rename(tmp_path / "kept")
    with pytest.raises(IncompleteSaveError, match="net0.safetensors is missing"):
        load(model)
    (tmp_path / "kept").rename(model / "net0.safetensors")
    (model / "manifest.json").unlink()
    with pytest.raises(IncompleteSaveError, match="written last"):
        load(model)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", DamagedSaveError),
        (b"{", DamagedSaveError),
        (b"[" * 100_000, DamagedSaveError),
        (b"\xff\xfe", DamagedSaveError),
        (b"[]", IncompleteSaveError),
        (b'{"format": "sktransfer save"}', DamagedSaveError),
        (b'{"format": "sktransfer save", "protocol": true}', DamagedSaveError),
        (b'{"format": "sktransfer save", "protocol": 1}', DamagedSaveError),
        (b'{"format": "sktransfer save", "protocol": 999}', NewerProtocolError),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(model, content, error):
    (model / "manifest.json").write_bytes(content)
    with pytest.raises(error):
        load(model)


@pytest.mark.parametrize("key", ["networks", "nets"])
@pytest.mark.parametrize("value", [None, 7, [7], [], [{}], [{"file": "../x"}]])
def test_records_that_make_no_sense_are_refused(model, key, value):
    manifest = manifest_of(model)
    manifest[key] = value
    write_manifest(model, manifest)
    with pytest.raises(DamagedSaveError):
        load(model)


def test_a_newer_protocol_says_what_to_do(model):
    manifest = manifest_of(model)
    manifest["protocol"] = 2
    manifest["versions"]["sktransfer"] = "9.1"
    write_manifest(model, manifest)
    with pytest.raises(NewerProtocolError, match=r"sktransfer 9.1\. Run: pip"):
        load(model)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("subprocess", "Popen"),
        ("antigravity", "x"),
    ],
)
def test_a_foreign_type_is_refused_by_name_and_not_imported(model, module, name):
    import sys

    rename_class(model, "sktransfer.persistence.ClassCodec", f"{module}.{name}")
    with pytest.raises(UntrustedTypeError) as caught:
        load(model)
    assert caught.value.types == (f"{module}.{name}",)
    assert "antigravity" not in sys.modules


def test_a_save_cannot_vouch_for_its_own_types(model):
    theirs = "tests.no_such_module.ClassCodec"
    rename_class(model, "sktransfer.persistence.ClassCodec", theirs)
    manifest = manifest_of(model)
    manifest["trusted"] = [theirs]
    write_manifest(model, manifest)
    with pytest.raises(UntrustedTypeError, match="nothing was loaded"):
        load(model)


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"ObjectNode"', '"NoSuchNode"'),
        lambda text: text.replace('"__loader__"', '"loader"'),
        lambda text: text.replace('"protocol": 2', '"protocol": 999'),
        lambda text: "[" * 200_000,
        lambda text: text.replace('"net_"', '"net"'),
        lambda text: text.replace('"_codec"', '"_aim"'),
    ],
)
def test_a_structure_that_makes_no_sense_is_refused(model, edit):
    edit_schema(model, edit)
    try:
        loaded = load(model)
    except SaveError:
        return
    with pytest.raises(Exception, match="not fitted"):  # it has no net any more
        loaded.predict(TEXTS)


@pytest.mark.parametrize("number", [-1, 5, 10**30])
def test_a_token_that_points_nowhere_is_refused(model, number):
    edit_schema(
        model,
        lambda text: text.replace('"content": "0"', f'"content": "{number}"'),
    )
    with pytest.raises(SaveError):
        load(model)


def test_an_archive_that_would_grow_is_refused(model):
    def bomb(method, name="schema.json"):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            archive.writestr(name, b" " * 50_000_000)
        return buffer.getvalue()

    write_signed(model, "structure.skops", bomb(zipfile.ZIP_DEFLATED))
    with pytest.raises(UnsafeSaveError, match="would grow to 50000000"):
        load(model)
    write_signed(model, "structure.skops", bomb(zipfile.ZIP_STORED, "../x.json"))
    with pytest.raises(UnsafeSaveError, match="x.json"):
        load(model)
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(3):
            archive.writestr(f"{i}.npy", b"\0" * 50_000_000)
    outer = io.BytesIO()
    with zipfile.ZipFile(outer, "w") as archive:
        archive.writestr("1.npz", inner.getvalue())
    write_signed(model, "structure.skops", outer.getvalue())
    with pytest.raises(UnsafeSaveError, match="packed matrix"):
        load(model)


def test_an_array_that_claims_to_be_huge_is_refused(model):
    source = zipfile.ZipFile(model / "structure.skops")
    buffer = io.BytesIO()
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (2**44,)}
    )
    with zipfile.ZipFile(buffer, "w") as target:
        for name in source.namelist():
            is_array = name.endswith(".npy")
            content = header.getvalue() + b"\0" * 8 if is_array else source.read(name)
            target.writestr(name, content)
    source.close()
    write_signed(model, "structure.skops", buffer.getvalue())
    with pytest.raises(DamagedSaveError):
        load(model)


def test_tensors_that_make_no_sense_are_refused(model):
    for content in (b"", b"\xff" * 64, (2**62).to_bytes(8, "little") + b"{}"):
        write_signed(model, "net0.safetensors", content)
        with pytest.raises(DamagedSaveError):
            load(model)


@pytest.mark.parametrize(
    "last",
    [
        HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=1, random_state=0),
        RandomForestClassifier(2, random_state=0),
        KNeighborsClassifier(algorithm="kd_tree"),
        KNeighborsClassifier(algorithm="ball_tree"),
    ],
    ids=["boosted", "forest", "kd_tree", "ball_tree"],
)
def test_forged_indices_are_refused(last, tmp_path):
    """scikit-learn would read outside the array that they point into."""
    model = make_pipeline(TextEncoder("tiny-bert"), last).fit(TEXTS, LABELS)
    save(model, tmp_path / "model")
    load(tmp_path / "model").predict(TEXTS)
    source = zipfile.ZipFile(tmp_path / "model" / "structure.skops")
    buffer = io.BytesIO()
    n_forged = 0
    with zipfile.ZipFile(buffer, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith(".npy"):
                array = np.load(io.BytesIO(content))
                if forge(array):
                    n_forged += 1
                    out = io.BytesIO()
                    np.save(out, array)
                    content = out.getvalue()
            target.writestr(name, content)
    source.close()
    assert n_forged
    write_signed(tmp_path / "model", "structure.skops", buffer.getvalue())
    with pytest.raises(DamagedSaveError, match="points outside"):
        load(tmp_path / "model")


def forge(array):
    """Make an array of nodes or indices point far away; return whether it is one."""
    names = array.dtype.names or ()
    if "left" in names:  # TreePredictor
        array["left"][0] = 2**31 - 1
    elif "left_child" in names:  # Tree
        array["left_child"][0] = 2**31 - 1
    elif array.dtype == np.int64 and array.shape == (len(TEXTS),):
        if sorted(array) != list(range(len(TEXTS))):
            return False
        array[0] = 2**40
    else:
        return False
    return True


def test_no_code_of_the_package_unpickles_or_runs_code_from_files():
    import re
    from pathlib import Path

    import sktransfer

    forbidden = (
        r"\bpickle\.loads?\(",
        r"\bjoblib\.load\(",
        r"\btrust_remote_code\s*=(?!\s*False)",
        r"\ballow_pickle\s*=\s*True",
        r"\btorch\.load\((?![^)]*weights_only=True)",
    )
    for path in sorted(Path(sktransfer.__file__).parent.rglob("*.py")):
        if path.parent.name == "estimator_checks":
            continue  # they pickle estimators in memory, to see that it works
        text = path.read_text()
        for pattern in forbidden:
            assert not re.search(pattern, text), f"{path.name}: {pattern}"


def test_saves_caches_and_bundled_weights_are_read_without_unpickling(
    saved, tmp_path, bundled_weights, monkeypatch
):
    import pickle
    from collections import OrderedDict

    import joblib
    import torch

    from sktransfer import FeatureCache, ImageEncoder
    from sktransfer.backbones import _registry

    def refuse(*args, **kwargs):
        raise AssertionError("it unpickles")

    real, asked = torch.load, []

    def load_tensors(*args, weights_only=False, **kwargs):
        asked.append(weights_only)
        return real(*args, weights_only=weights_only, **kwargs)

    pixels = np.zeros((1, 8, 8, 3), np.uint8)
    folder = tmp_path / "features"
    ImageEncoder("efficientnet_lite0", cache=FeatureCache(folder)).transform(pixels)
    monkeypatch.setattr(_registry, "_loaded", OrderedDict())  # networks load again
    for module, name in ((pickle, "load"), (pickle, "loads"), (joblib, "load")):
        monkeypatch.setattr(module, name, refuse)
    monkeypatch.setattr(torch, "load", load_tensors)
    assert len(load(saved).predict(TEXTS)) == len(TEXTS)
    cache = FeatureCache(folder)
    ImageEncoder("efficientnet_lite0", cache=cache).transform(pixels)
    assert cache.info().hits == 1
    assert asked == [True]
