"""Saves of networks that are folders: read once, kept apart, and forged."""

import builtins
import json
import shutil
import tempfile

import numpy as np
import pytest
import transformers
from edited_saves import edit_schema, manifest_of, write_manifest, write_signed
from folders import randomised, tiny_text_options, word_tokenizer
from folders import save as save_folder
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sktransfer import ImageEncoder, TextEncoder, load, model_card, save
from sktransfer.exceptions import (
    DamagedSaveError,
    SaveError,
    UnsafeSaveError,
    VersionMismatchWarning,
)
from sktransfer.persistence import _networks

TEXTS = [f"a photo of the {word}" for word in ("cat", "dog", "query", "passage")] * 2
LABELS = [0, 1] * 4


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A save whose network is a folder, and what it predicts."""
    from sentence_transformers import SentenceTransformer

    root = tmp_path_factory.mktemp("saved")
    config = transformers.BertConfig(**tiny_text_options())
    model = randomised(transformers.BertModel, config)
    plain = save_folder(root / "bert", model, word_tokenizer())
    folder = str(root / "sentences")
    SentenceTransformer(plain, device="cpu").save(folder)
    model = make_pipeline(TextEncoder(folder), LogisticRegression()).fit(TEXTS, LABELS)
    save(model, root / "model", weights="include")
    return root / "model", model.predict_proba(TEXTS)


@pytest.fixture
def model(saved, tmp_path):
    """A copy to change."""
    return shutil.copytree(saved[0], tmp_path / "model")


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path, monkeypatch):
    """Fail a test that leaves something in the folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert not list(folder.iterdir())


def test_each_file_is_opened_once(model, saved, monkeypatch):
    real, opened = builtins.open, []

    def note(file, *args, **options):
        opened.append(str(file))
        return real(file, *args, **options)

    monkeypatch.setattr(builtins, "open", note)
    monkeypatch.setattr("io.open", note)
    loaded = load(model)
    ours = sorted(name for name in opened if name.startswith(str(model)))
    files = [path for path in model.rglob("*") if path.is_file()]
    assert ours == sorted(map(str, files))
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), saved[1])


def test_what_is_changed_after_the_check_is_not_read(model, saved, monkeypatch):
    real = _networks.read_network

    def late(reader, record):
        for path in model.rglob("*"):
            if path.is_file():
                path.write_bytes(b"changed while it was loaded")
        return real(reader, record)

    monkeypatch.setattr("sktransfer.persistence._take_apart.read_network", late)
    np.testing.assert_array_equal(load(model).predict_proba(TEXTS), saved[1])


def test_a_loaded_network_names_no_temporary_folder(model, own_temporary_folder):
    encoder = load(model)[0]
    network = encoder.backbone
    assert str(own_temporary_folder) not in network.name
    assert str(own_temporary_folder) not in network.preprocess.key
    keys = {load(model)[0].backbone.preprocess.key for _ in range(2)}
    assert keys == {network.preprocess.key}


CODE = (
    ("config.json", {"auto_map": {"AutoModel": "mine.Mine"}}),
    ("config.json", {"auto_map": {"AutoModel": "evil/repo--mine.Mine"}}),
    ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["mine.Mine", None]}}),
    ("sentence_bert_config.json", {"model_args": {"allow_all_kernels": True}}),
    ("1_Pooling/tokenizer_config.json", {"auto_map": {"AutoTokenizer": "mine.Mine"}}),
    ("adapter_config.json", {"base_model_name_or_path": "evil/repo"}),
)


@pytest.mark.parametrize(("name", "entries"), CODE)
def test_code_in_a_saved_network_is_refused_unasked(name, entries, model, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("somebody was asked"))
    edit(model, name, entries)
    with pytest.raises(UnsafeSaveError, match="network0.*Do not use it"):
        load(model)


def edit(model, name, entries):
    path = model / "network0" / name
    record = json.loads(path.read_text()) if path.exists() else {}
    write_signed(model, f"network0/{name}", json.dumps(record | entries).encode())


@pytest.mark.parametrize(
    "module", [{"type": "os.system"}, {"type": 7}, {"kind": "x"}, 1]
)
def test_foreign_modules_in_a_saved_network_are_refused(module, model):
    write_signed(model, "network0/modules.json", json.dumps([module]).encode())
    with pytest.raises(UnsafeSaveError):
        load(model)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", b"{"),
        ("config.json", b"[" * 100_000),
        ("config.json", b'{"model_type": "bert", "hidden_size": "x"}'),
        ("tokenizer.json", b"{}"),
        ("model.safetensors", b"\0" * 64),
        ("modules.json", b"{"),
    ],
)
def test_a_saved_network_that_makes_no_sense_is_damaged(name, content, model):
    write_signed(model, f"network0/{name}", content)
    with pytest.raises(DamagedSaveError, match="network0"):
        load(model)


def test_a_folder_that_is_not_there_is_damage(model):
    manifest = manifest_of(model)
    for folder in ("network7", "../model/network0", "", "."):
        manifest["networks"][0]["folder"] = folder
        (model / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(SaveError):
            load(model)


def test_a_save_does_not_say_where_features_are_kept(model, tmp_path):
    victim = tmp_path / "victim" / "home"
    forged = str(victim)

    def forge(text):
        schema = json.loads(text)

        def put(node):
            if isinstance(node, dict):
                if "cache" in node and isinstance(node["cache"], dict):
                    node["cache"] |= {"content": json.dumps(forged), "__id__": 1}
                list(map(put, node.values()))
            elif isinstance(node, list):
                list(map(put, node))

        put(schema)
        return json.dumps(schema)

    edit_schema(model, forge)
    loaded = load(model)
    assert loaded[0].cache == "auto"
    loaded.predict(TEXTS)
    assert not victim.parent.exists()


def test_a_save_does_not_say_where_fitted_steps_are_kept(tmp_path):
    model = make_pipeline(
        TextEncoder("tiny-bert"), LogisticRegression(), memory=str(tmp_path / "memory")
    )
    save(model.fit(TEXTS, LABELS), tmp_path / "model")
    assert load(tmp_path / "model").memory is None


@pytest.mark.parametrize(
    ("source", "words"), [("url", "public"), ("intranet", "private"), ("odd", "odd")]
)
def test_the_card_says_that_strings_are_no_paths(source, words, pixels):
    encoder = ImageEncoder("tiny-cnn").fit(pixels)
    assert "| strings |" not in model_card(encoder)
    encoder.source = source
    lines = [line for line in model_card(encoder).split("\n") if "| strings |" in line]
    assert len(lines) == 1
    assert words in lines[0]


def test_a_folder_that_was_edited_since_is_told(saved, tmp_path):
    folder = shutil.copytree(saved[0].parent / "sentences", tmp_path / "sentences")
    model = make_pipeline(TextEncoder(str(folder)), LogisticRegression())
    save(model.fit(TEXTS, LABELS), tmp_path / "model")
    load(tmp_path / "model")  # with nothing to say
    config = json.loads((folder / "config.json").read_text())
    config["num_attention_heads"] = 8
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.warns(VersionMismatchWarning, match="its configuration, its tokenizer"):
        load(tmp_path / "model")
    # Made with other versions, it may have other attributes: nobody can compare.
    record = manifest_of(tmp_path / "model")
    record["networks"][0]["versions"]["torch"] = "1.0"
    write_manifest(tmp_path / "model", record)
    load(tmp_path / "model")
