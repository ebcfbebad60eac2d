"""A model's name: a folder, one that comes along, one of the hub; each fault is one line.

The hub here is a folder in the layout of its cache, or a small server on this machine that speaks
as the hub does: nothing leaves it.
"""

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from random_models import letters_model

from orchid_genomics.cli import main
from orchid_genomics.errors import GenomeNote, InputError, MachineError, OrchidError
from orchid_genomics.evaluate.finetune_recipe import FinetuneRecipe
from orchid_genomics.model.catalogue import CARD, FILES, MODELS, find_model
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.model.orchid import Orchid
from orchid_genomics.recipe import load

COMMIT = "a" * 40


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, **provenance) -> str:
    """A small model; its hash."""
    model = letters_model(width=8, depth=1)
    model.save_pretrained(folder, provenance)
    return model.hash()


@pytest.fixture
def cache(here, monkeypatch) -> Path:
    """The hub's cache with one model, somebody/small, and the network switched off."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(here / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    model = here / "cache" / "models--somebody--small"
    write(model / "snapshots" / COMMIT)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(COMMIT)
    return here / "cache"


def fault(name: str | Path, kind: type[OrchidError] = InputError) -> str:
    with pytest.raises(kind) as caught:
        find_model(name)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_the_model_that_comes_along_is_found_from_anywhere(here):
    model = OrchidModel.from_pretrained("yeast")
    assert model.provenance.licence == "CC-BY-4.0"
    assert Orchid.from_pretrained("yeast").recipe == model.recipe.encoder
    assert {path.name for path in find_model("yeast").iterdir()} == set(FILES)


def test_a_model_folder_of_that_name_goes_first_and_it_is_said(here):
    own = write(here / "yeast")
    with pytest.warns(GenomeNote, match=r"^yeast: the folder ./yeast is read, not the model that"):
        assert OrchidModel.from_pretrained("yeast").hash() == own
    assert OrchidModel.from_pretrained("./yeast").hash() == own  # nothing to say


def test_a_folder_that_holds_no_model_hides_nothing(here):
    (here / "yeast").mkdir()
    assert find_model("yeast") == Path(MODELS["yeast"])
    assert find_model("./yeast") == Path("yeast")


def test_a_run_folder_stands_for_its_model(here):
    own = write(here / "run" / "model")
    assert OrchidModel.from_pretrained("run").hash() == own


def test_a_word_that_is_nothing_names_what_is_possible(here):
    possible = "a model folder, a name of `orchid-genomics models`, or OWNER/NAME of the hub"
    line = "yaest: is no folder, and no model of that name comes along"
    assert fault("yaest") == f"{line}; {possible}"


def test_a_recipe_names_models_in_the_same_ways(here, monkeypatch):
    (here / "deep").mkdir()
    (here / "deep" / "runs").mkdir()
    recipe = here / "deep" / "r.toml"

    def given(name: str) -> Path | None:
        recipe.write_text(f'pretrained = "{name}"\n[data]\nkind = "table"\npath = "t.tsv"\n')
        return load(recipe, FinetuneRecipe).pretrained

    assert given("yeast") == Path("yeast")
    assert given("somebody/small") == Path("somebody/small")
    assert given("runs/typo") == here / "deep" / "runs" / "typo"
    write(here / "deep" / "yeast")
    assert given("yeast") == here / "deep" / "yeast"


def test_a_model_of_the_hubs_cache_is_read_without_a_network(cache):
    folder = cache / "models--somebody--small" / "snapshots" / COMMIT
    own = OrchidModel.from_pretrained(folder).hash()
    assert OrchidModel.from_pretrained("somebody/small").hash() == own
    assert OrchidModel.from_pretrained(f"somebody/small@{COMMIT}").hash() == own


@pytest.mark.parametrize("name", ["somebody/none", "somebody/small@v2"])
def test_what_is_not_in_the_cache_offline_is_one_line(cache, name):
    line = f"{name}: is no folder, not in the hub's cache ({cache}), and the hub is switched off"
    assert fault(name) == f"{line}; a network, or a model that is here"


def test_a_path_that_begins_with_a_folder_is_never_asked_of_the_hub(cache):
    (cache.parent / "runs").mkdir()
    assert find_model("runs/typo") == Path("runs/typo")


def test_without_the_extra_it_says_how_to_install_it(here, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    line = "is no folder, and to ask the hub huggingface_hub is not installed"
    possible = 'pip install "orchid-genomics[hub]"'
    assert fault("somebody/small", MachineError) == f"somebody/small: {line}; {possible}"
    write(here / "m", licence="CC0-1.0")
    model = OrchidModel.from_pretrained("m")
    with pytest.raises(MachineError, match=r"^huggingface_hub: is not installed; pip install"):
        model.push_to_hub("somebody/small")


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as an upload and a refusal need."""

    files: dict[str, bytes]

    def log_message(self, *_) -> None:
        pass

    def answer(self, values: object, status: int = 200, **headers: str) -> None:
        body = json.dumps(values).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.answer({"error": "not found"}, 404, X_Error_Code="RepoNotFound")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/create"):
            owner = json.loads(body).get("organization")
            if owner == "closed":
                self.answer({"error": "not yours"}, 403)
                return
            self.answer({"url": f"http://{self.headers['Host']}/{owner}/small"})
        elif "/preupload/" in self.path:
            paths = [each["path"] for each in json.loads(body)["files"]]
            each = {"uploadMode": "regular", "shouldIgnore": False}
            self.answer({"files": [{"path": path, **each} for path in paths]})
        elif "/commit/" in self.path:
            for line in body.splitlines():
                part = json.loads(line)
                if part["key"] == "file":
                    text = base64.b64decode(part["value"]["content"])
                    self.files[part["value"]["path"]] = text
            address = f"http://{self.headers['Host']}/somebody/small/commit/{COMMIT}"
            self.answer({"commitUrl": address, "commitOid": COMMIT})
        else:
            self.answer({})


@pytest.fixture
def hub(here, monkeypatch) -> Iterator[dict[str, bytes]]:
    """A hub on this machine; what is uploaded to it, by name."""
    constants = pytest.importorskip("huggingface_hub.constants")
    Hub.files = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(here / "cache"))
    monkeypatch.setenv("HF_TOKEN", "hf_none")
    yield Hub.files
    server.shutdown()
    server.server_close()


def test_a_model_that_the_hub_does_not_have_is_one_line(hub):
    line = fault("somebody/none")
    assert line.startswith(
        "somebody/none: is no folder, and no model of the hub that you may read;"
    )


def test_what_is_pushed_is_the_folder_with_a_card_that_the_hub_reads(hub, here):
    own = write(here / "m")
    model = OrchidModel.from_pretrained("m")
    model.push_to_hub("somebody/small", licence="CC-BY-4.0")
    assert set(hub) == set(FILES)
    text = hub[CARD].decode()
    assert text.startswith("---\nlicense: cc-by-4.0\nlibrary_name: orchid-genomics\n")
    assert text.count("license:") == 1
    (here / "again").mkdir()
    for name, content in hub.items():
        (here / "again" / name).write_bytes(content)
    again = OrchidModel.from_pretrained("again")
    assert again.hash() == own
    assert again.provenance.licence == "CC-BY-4.0"


def test_a_model_without_a_licence_loads_and_is_not_published(here):
    write(here / "m")
    model = OrchidModel.from_pretrained("m")
    line = r"^licence: the model states no licence, so nobody may use it; such as CC-BY-4.0"
    with pytest.raises(InputError, match=line):
        model.push_to_hub("somebody/small")


def test_what_the_hub_refuses_is_one_line(hub, here):
    write(here / "m", licence="CC0-1.0")
    model = OrchidModel.from_pretrained("m")
    with pytest.raises(InputError, match=r"^closed/small: cannot be written on the hub \(.*403"):
        model.push_to_hub("closed/small")
    with pytest.raises(InputError, match=r"^small: is no name of a model of the hub; OWNER/NAME$"):
        model.push_to_hub("small")


def test_a_card_is_kept_when_a_model_is_read_and_written_again(here):
    letters_model(width=8, depth=1).save_pretrained("m", card="# Mine\n")
    OrchidModel.from_pretrained("m").save_pretrained("n")
    assert (here / "n" / CARD).read_text() == "# Mine\n"


def test_models_lists_what_comes_along(capsys, monkeypatch, here):
    monkeypatch.setitem(MODELS, "mine", str(here / "m"))
    write(here / "m")
    main(["models"])
    header, yeast, long, mine, *_ = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["name", "genome", "bits"]
    assert "SGD R64-1-1 (sacCer3)  1.8531  1.8948" in yeast
    assert "SGD R64-1-1 (sacCer3)  1.7998  1.8948" in long
    assert "not stated" in mine
    main(["models", "--json"])
    first, second, third = json.loads(capsys.readouterr().out)
    assert (first["name"], first["window"], first["licence"]) == ("yeast", 1024, "CC-BY-4.0")
    assert first["bits"] == pytest.approx(1.8531, abs=1e-4)
    assert (second["name"], second["window"]) == ("yeast-long", 131_072)
    assert third["bits"] is None


def test_listing_needs_no_torch():
    program = (
        "import sys; from orchid_genomics.cli import group\n"
        "group.main(['models'], standalone_mode=False); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False"
