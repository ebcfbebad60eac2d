"""Model folders: whole or not at all, JSON and safetensors only, one line for a damaged one."""

import errno
import json
import os
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from orchid_genomics import files
from orchid_genomics.errors import InputError, MachineError, OrchidError, RecipeError
from orchid_genomics.model import folder as pretrained
from orchid_genomics.model.filters import MagnitudeRecipe
from orchid_genomics.model.folder import (
    CARD,
    CONFIG,
    PROVENANCE,
    WEIGHTS,
    ModelRecipe,
    OrchidModel,
)
from orchid_genomics.model.heads import LettersRecipe, PooledRecipe
from orchid_genomics.model.orchid import Orchid, OrchidRecipe
from orchid_genomics.model.provenance import Provenance

TOKENS = torch.arange(80, dtype=torch.uint8).reshape(2, 40) % 6


def new_model(seed: int = 0, **shape) -> OrchidModel:
    torch.manual_seed(seed)
    return OrchidModel(
        ModelRecipe(encoder=OrchidRecipe(width=8, depth=1, **shape), head=LettersRecipe())
    ).eval()


@pytest.fixture
def folder(tmp_path):
    new_model().save_pretrained(tmp_path / "model", {"seed": 0})
    return tmp_path / "model"


@pytest.mark.parametrize(
    "shape", [{}, {"strands": "dense"}, {"alphabet": "symbols:20", "strands": "dense"}], ids=str
)
def test_a_model_comes_back_the_same(tmp_path, shape):
    model = new_model(**shape)
    model.save_pretrained(tmp_path / "deep" / "model", {"genome": "yeast"})
    again = OrchidModel.from_pretrained(tmp_path / "deep" / "model")
    assert torch.equal(again(TOKENS), model(TOKENS))
    assert again.hash() == model.hash()
    assert again.recipe == model.recipe
    assert again.provenance.model_extra == {"genome": "yeast"}
    assert not again.training


def test_the_hash_knows_weights_and_shape():
    other_kind = new_model(filter=MagnitudeRecipe()).hash()
    hashes = {new_model().hash(), new_model(1).hash(), new_model(short_taps=5).hash(), other_kind}
    assert len(hashes) == 4
    assert new_model().hash() == new_model().hash()


def test_a_folder_holds_json_and_safetensors_only(folder):
    assert {path.name for path in folder.iterdir()} == {CONFIG, WEIGHTS, PROVENANCE, CARD}
    for name in (CONFIG, PROVENANCE):
        assert isinstance(json.loads((folder / name).read_text()), dict)
    assert load_file(folder / WEIGHTS).keys() == new_model().state_dict().keys()
    assert "from_pretrained" in (folder / CARD).read_text()


def fault(folder) -> str:
    with pytest.raises(OrchidError) as caught:
        OrchidModel.from_pretrained(folder)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_the_folder_of_a_run_means_the_model_in_it(folder):
    assert OrchidModel.from_pretrained(folder.parent).hash() == new_model().hash()
    (folder / CONFIG).rename(folder.parent / CONFIG)
    with pytest.raises(InputError, match=f"^{folder.parent / WEIGHTS}: cannot be read"):
        OrchidModel.from_pretrained(folder.parent)


def test_a_missing_folder(tmp_path):
    line = fault(tmp_path / "none")
    fault_and_right = "cannot be read (No such file or directory); a model folder of this tool"
    assert line == f"{tmp_path / 'none' / CONFIG}: {fault_and_right}"


def test_a_foreign_folder(folder):
    (folder / CONFIG).write_text('{"model_type": "bert"}')
    assert "config.json: is not a model of this tool (format None)" in fault(folder)


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x00\x01"])
def test_a_damaged_config(folder, text):
    (folder / CONFIG).write_text(text)
    assert "config.json: is damaged" in fault(folder)


def test_missing_weights(folder):
    (folder / WEIGHTS).unlink()
    assert "model.safetensors: cannot be read" in fault(folder)


@pytest.mark.parametrize("keep", [0, 5, 100, -1], ids=lambda n: f"{n} bytes")
def test_damaged_weights(folder, keep):
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[:keep])
    assert "model.safetensors: cannot be read" in fault(folder)


def test_a_pickle_is_never_opened(folder):
    class Bomb:
        def __reduce__(self):
            return pytest.fail, ("a pickle was opened",)

    (folder / WEIGHTS).write_bytes(pickle.dumps(Bomb()))
    assert "model.safetensors: cannot be read" in fault(folder)


def changed(folder, name: str, tensor: torch.Tensor | None) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors.pop(name, None)
    save_file(tensors if tensor is None else {**tensors, name: tensor}, folder / WEIGHTS)


@pytest.mark.parametrize("tensor", [None, torch.zeros(3, 3)], ids=["missing", "of another shape"])
def test_weights_that_do_not_fit_name_the_first_tensor(folder, tensor):
    changed(folder, "encoder.norm.scale", tensor)
    assert "does not fit its config.json (1 tensors, first encoder.norm.scale)" in fault(folder)


def test_weights_of_another_model(folder):
    changed(folder, "bert.embeddings", torch.zeros(3))
    assert "does not fit its config.json (1 tensors, first bert.embeddings)" in fault(folder)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(folder, bad):
    changed(folder, "encoder.norm.scale", torch.full((4,), bad))
    assert "holds NaN or infinite weights" in fault(folder)


HUGE = 10**9


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        ("encoder.width", HUGE),
        ("encoder.width", 10**30),
        ("encoder.depth", HUGE),
        ("encoder.mlp", 1e9),
        ("encoder.mlp", 1e-3),
        ("encoder.mlp_blocks", HUGE),
        ("encoder.short_taps", HUGE),
        ("encoder.short_spread", float("inf")),
        ("encoder.stem", HUGE + 1),
        ("encoder.convolutions", [HUGE]),
        ("encoder.convolutions", [1] * 2_000),
        ("encoder.convolution_taps", HUGE + 1),
        ("encoder.alphabet", f"symbols:{HUGE}"),
        ("encoder.alphabet", "symbols:" + "9" * 5_000),
        ("encoder.filter.taps", HUGE),
        ("encoder.filter.frequency_taps", HUGE),
        ("encoder.filter.hidden", HUGE),
        ("encoder.filter.octaves", HUGE),
        ("encoder.filter.gain", float("nan")),
        ("encoder.filter.shortest", 0.0),
        ("encoder.filter.longest", float("inf")),
        ("head", {"kind": "pooled", "pool": "attention", "queries": HUGE}),
        ("head", {"kind": "pooled", "maxima": ["residual"], "stretches": HUGE}),
        ("head", {"kind": "tracks", "bin": HUGE}),
        ("head", {"kind": "tracks", "other": [HUGE]}),
    ],
    ids=str,
)
def test_a_config_that_asks_for_too_much_is_refused_before_anything_is_made(folder, keys, value):
    config = block = json.loads((folder / CONFIG).read_text())
    *outer, last = keys.split(".")
    for key in outer:
        block = block[key]
    block[last] = value
    (folder / CONFIG).write_text(json.dumps(config))
    with pytest.raises(OrchidError) as caught:
        OrchidModel.from_pretrained(folder)
    assert len(str(caught.value).removeprefix(str(folder))) < 300
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("width", [4_096, 65_536])
def test_a_config_larger_than_its_weights_is_refused_by_their_header(folder, width):
    """Weights of that width and depth would fill up to 400 GB."""
    config = json.loads((folder / CONFIG).read_text())
    config["encoder"] |= {"width": width, "depth": 8}
    (folder / CONFIG).write_text(json.dumps(config))
    assert "model.safetensors: does not fit its config.json (" in fault(folder)


@pytest.mark.parametrize(
    "dtype",
    [torch.int8, torch.uint8, torch.bool, torch.uint16, torch.float8_e4m3fn, torch.complex64],
    ids=str,
)
def test_weights_of_a_type_that_is_none(folder, dtype):
    changed(folder, "encoder.norm.scale", torch.ones(4).to(dtype))
    line = fault(folder)
    assert "model.safetensors: holds numbers of type " in line
    assert line.endswith("(encoder.norm.scale); weights of type F32, F16, BF16, F64")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_weights_of_another_width_are_read(folder, dtype):
    changed(folder, "encoder.norm.scale", torch.ones(4).to(dtype))
    assert OrchidModel.from_pretrained(folder).encoder.norm.scale.dtype == torch.float32


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, PROVENANCE])
@pytest.mark.parametrize("kind", ["device", "pipe", "folder"])
def test_what_is_no_file_is_not_waited_for(folder, name, kind):
    (folder / name).unlink()
    if kind == "device":
        (folder / name).symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).mkdir()
    assert f"{name}: is no regular file" in fault(folder)


@pytest.mark.parametrize(
    "text",
    ['{"a":' * 100_000, "[" * 100_000, '{"format": ' + "9" * 5_000 + "}", '{"a": "\\ud800"}'],
    ids=["nested", "lists", "a long number", "half a letter"],
)
@pytest.mark.parametrize("name", [CONFIG, PROVENANCE])
def test_json_without_end_is_one_line(folder, name, text):
    (folder / name).write_text(text)
    if name == CONFIG or "ud800" not in text:
        assert len(fault(folder)) < 400


def test_json_that_would_fill_the_memory_is_not_read(folder, monkeypatch):
    monkeypatch.setattr(files, "JSON_BYTES", 50)
    assert "config.json: has " in fault(folder)


@pytest.mark.parametrize("names", [["pytorch_model.bin"], ["config.json"], []], ids=str)
def test_a_checkpoint_of_another_tool_is_named(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text('{"architectures": ["BertForMaskedLM"]}')
    assert "config.json: " in fault(tmp_path)


def test_what_is_written_has_the_permissions_of_the_users_umask(tmp_path):
    before = os.umask(0o027)
    try:
        new_model().save_pretrained(tmp_path / "model")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "model").iterdir()}
    assert modes == dict.fromkeys((CONFIG, WEIGHTS, PROVENANCE, CARD), 0o640)
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize(
    "where", [("encoder",), ("encoder", "filter"), ("head",), ()], ids=lambda keys: ".".join(keys)
)
def test_a_config_with_an_unknown_key(folder, where):
    config = block = json.loads((folder / CONFIG).read_text())
    for key in where:
        block = block[key]
    block["colour"] = "blue"
    (folder / CONFIG).write_text(json.dumps(config))
    with pytest.raises(RecipeError, match="colour: unknown key; possible: "):
        OrchidModel.from_pretrained(folder)


def test_a_full_disk_leaves_the_old_folder_and_nothing_else(folder, monkeypatch):
    before = OrchidModel.from_pretrained(folder).hash()

    def full(tensors, path, metadata=None):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pretrained, "save_file", full)
    with pytest.raises(
        MachineError, match=r"No space left on device.*; what stood there before is kept$"
    ):
        new_model(1).save_pretrained(folder)
    assert OrchidModel.from_pretrained(folder).hash() == before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_rename_that_fails_puts_the_old_folder_back(folder, monkeypatch):
    before = OrchidModel.from_pretrained(folder).hash()
    rename = type(folder).rename

    def failing(path, target):
        if path.name.endswith(".tmp"):
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, target)

    # A file system where two names cannot change places in one step.
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    monkeypatch.setattr(type(folder), "rename", failing)
    with pytest.raises(MachineError, match="Input/output error"):
        new_model(1).save_pretrained(folder)
    assert OrchidModel.from_pretrained(folder).hash() == before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_an_interrupt_leaves_the_old_folder(folder, monkeypatch):
    before = OrchidModel.from_pretrained(folder).hash()
    monkeypatch.setattr(
        pretrained, "save_file", lambda *args, **options: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        new_model(1).save_pretrained(folder)
    assert OrchidModel.from_pretrained(folder).hash() == before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match=r"model: cannot be written \(Not a directory\)"):
        new_model().save_pretrained(tmp_path / "file" / "model")


def test_a_newer_model_replaces_the_older_one_whole(folder):
    (folder / "note.txt").write_text("of the older one")
    new_model(1).save_pretrained(folder)
    assert OrchidModel.from_pretrained(folder).hash() == new_model(1).hash()
    assert not (folder / "note.txt").exists()


def test_reading_needs_no_provenance_but_reads_it_whole(folder):
    (folder / PROVENANCE).write_text("{")
    with pytest.raises(InputError, match=r"provenance\.json: is damaged"):
        OrchidModel.from_pretrained(folder)
    (folder / PROVENANCE).unlink()
    assert OrchidModel.from_pretrained(folder).provenance == Provenance()


def test_an_encoder_alone_is_saved_and_read_and_is_read_from_a_model_with_a_head(tmp_path):
    torch.manual_seed(0)
    encoder = Orchid(OrchidRecipe(width=8, depth=1)).eval()
    tokens = torch.randint(0, 4, (2, 40), dtype=torch.uint8)
    encoder.save_pretrained(tmp_path / "encoder")
    torch.testing.assert_close(
        Orchid.from_pretrained(tmp_path / "encoder")(tokens), encoder(tokens), rtol=0, atol=0
    )
    model = OrchidModel(ModelRecipe(encoder=encoder.recipe, head=LettersRecipe())).eval()
    model.save_pretrained(tmp_path / "model")
    vectors = Orchid.from_pretrained(tmp_path / "model")(tokens)
    torch.testing.assert_close(vectors, model.encoder(tokens), rtol=0, atol=0)


def test_a_folder_from_before_stems_and_maxima_is_read_and_hashes_unchanged(tmp_path):
    """Options that came later are absent from its config, and defaults are no part of a hash."""
    head = PooledRecipe()
    model = OrchidModel(ModelRecipe(encoder=OrchidRecipe(width=8, depth=1), head=head))
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["encoder"]["stem"]
    for key in ("maxima", "stretches", "middles"):
        del config["head"][key]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert OrchidModel.from_pretrained(tmp_path).hash() == model.hash()
    assert "stem" not in model.recipe.model_dump_json(exclude_defaults=True)
