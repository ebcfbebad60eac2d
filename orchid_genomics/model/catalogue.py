"""Which folder a model's name stands for: one on the disk, one that comes along, or one of the hub.

The trap: one word may be several of these. A model folder wins, and that is said; a folder that
holds no model (`yeast/` with somebody's FASTA files) hides nothing.
"""

import re
import warnings
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo

from orchid_genomics import __version__
from orchid_genomics.errors import GenomeNote, InputError, MachineError, missing_extra, reason
from orchid_genomics.registry import Registry

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
PROVENANCE = "provenance.json"
CARD = "README.md"
FILES = (CONFIG, WEIGHTS, PROVENANCE, CARD)

MODELS: Registry[str | Path] = Registry("model")
"""The folders of models that packages bring along, ours first; others by an entry point of the
group `orchid_genomics.models` that names a path."""
_PRETRAINED = Path(__file__).parent.parent / "pretrained"
MODELS["yeast"] = _PRETRAINED / "yeast"
MODELS["yeast-long"] = _PRETRAINED / "yeast-long"

# As the hub has them: an owner, a name, and perhaps a revision.
_HUB = re.compile(r"(?P<id>[\w-][\w.-]*/[\w-][\w.-]*)(?:@(?P<revision>[\w./-]+))?")
_POSSIBLE = "a model folder, a name of `orchid-genomics models`, or OWNER/NAME of the hub"


def find_model(name: str | Path) -> Path:
    """The folder that a name stands for.

    Parameters
    ----------
    name : a model folder or the run folder around it; else a name of `MODELS`; else the hub's
        OWNER/NAME or OWNER/NAME@REVISION, which is read from the cache or fetched into it. What
        begins with a folder that is here is a path, and never asked of the hub.

    Raises
    ------
    InputError : for a word that is none of these, and for what the hub does not have or give.
    MachineError : where the `hub` extra is missing.
    """
    text, path = str(name), Path(name)
    folder = _model_in(path)
    if folder is not None:
        if text in MODELS:
            # Written ./yeast there is nothing to say.
            message = f"the folder ./{folder} is read, not the model that comes along"
            warnings.warn(f"{text}: {message}", GenomeNote, stacklevel=2)
        return folder
    if text in MODELS:
        return Path(MODELS[text])
    hub = _HUB.fullmatch(text)
    if hub and not Path(path.parts[0]).is_dir():
        return _fetch(hub["id"], hub["revision"])
    if path.parts == (text,) and not path.exists():
        raise InputError(text, "is no folder, and no model of that name comes along", _POSSIBLE)
    return path


def _model_in(path: Path) -> Path | None:
    """The model folder that a path is, or that the run in it wrote."""
    for folder in (path, path / "model"):
        if (folder / CONFIG).is_file():
            return folder
    return None


def _fetch(name: str, revision: str | None) -> Path:
    """The snapshot of a model of the hub: its four files alone, and nothing that could be run."""
    try:
        from huggingface_hub import constants, errors, snapshot_download
    except ImportError:
        extra = missing_extra("huggingface_hub", "hub")
        message = "is no folder, and to ask the hub huggingface_hub is not installed"
        raise MachineError(name, message, extra.possible) from None
    shown = f"{name}@{revision}" if revision else name
    try:
        folder = snapshot_download(
            name,
            revision=revision,
            allow_patterns=list(FILES),
            library_name="orchid-genomics",
            library_version=__version__,
        )
    except errors.GatedRepoError:
        message = "is a model of the hub whose owner has not let you in"
        raise InputError(shown, message, "ask on its page, then: hf auth login") from None
    except errors.RevisionNotFoundError:
        message = f"is a model of the hub without a revision {revision or 'main'}"
        raise InputError(shown, message, "a branch, tag or commit of its page") from None
    except errors.RepositoryNotFoundError:
        message = "is no folder, and no model of the hub that you may read"
        raise InputError(shown, message, f"{_POSSIBLE}; if it is private: hf auth login") from None
    except errors.LocalEntryNotFoundError:
        message = f"is no folder, not in the hub's cache ({constants.HF_HUB_CACHE}), and the hub "
        message += "is switched off" if constants.HF_HUB_OFFLINE else "cannot be reached"
        raise InputError(shown, message, "a network, or a model that is here") from None
    # The hub's library meets faults of its HTTP library, of the disk and of its own.
    except Exception as error:
        message = f"is no folder, and cannot be read from the hub ({reason(error)})"
        raise InputError(shown, message, _POSSIBLE) from None
    return Path(folder)


def publish(folder: Path, name: str, private: bool | None, token: str | None) -> str:
    """Upload the files of a model folder to the hub's OWNER/NAME, made if need be; its address.

    Raises
    ------
    InputError : for a name of another form, and for what the hub refuses.
    MachineError : where the `hub` extra is missing.
    """
    if not _HUB.fullmatch(name) or "@" in name:
        raise InputError(name, "is no name of a model of the hub", "OWNER/NAME")
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise missing_extra("huggingface_hub", "hub") from None
    api = HfApi(token=token, library_name="orchid-genomics", library_version=__version__)
    try:
        address = api.create_repo(name, private=private, exist_ok=True)
        message = f"Upload with orchid-genomics {__version__}"
        api.upload_folder(
            repo_id=name, folder_path=folder, commit_message=message, allow_patterns=list(FILES)
        )
    # As above; the first line says which right is missing, or what cannot be reached.
    except Exception as error:
        message = f"cannot be written on the hub ({reason(error)})"
        raise InputError(name, message, "an OWNER that is yours, and: hf auth login") from None
    return str(address)


def _resolve(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder")
    if folder is None or path.is_absolute():
        return path
    beside = (folder / path).resolve()
    if _model_in(beside) is None:
        on_hub = _HUB.fullmatch(str(path)) and not (folder / path.parts[0]).is_dir()
        if str(path) in MODELS or on_hub:
            return path
    return beside


ModelName = Annotated[Path, AfterValidator(_resolve)]
"""A model in a recipe: a folder relative to the recipe, or a name that `find_model` knows."""
