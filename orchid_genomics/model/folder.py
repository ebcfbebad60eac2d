"""Model folders: config.json, model.safetensors, provenance.json and README.md (a card); never a
pickle.

A folder is written whole under a temporary name and then renamed, so that a killed run leaves the
old one.
"""

import hashlib
import json
import re
import reprlib
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from orchid_genomics import __version__
from orchid_genomics.errors import InputError, reason
from orchid_genomics.files import atomic_folder, is_regular, read_json, utf8_name
from orchid_genomics.model import cnn  # noqa: F401  (which registers a head)
from orchid_genomics.model.adapters import merged_state
from orchid_genomics.model.catalogue import (
    CARD,
    CONFIG,
    PROVENANCE,
    WEIGHTS,
    find_model,
    publish,
)
from orchid_genomics.model.heads import (
    HEADS,
    HeadRecipe,
    LetterReader,
    Letters,
    Rates,
    Vectors,
    apply_head,
)
from orchid_genomics.model.orchid import Orchid, OrchidRecipe
from orchid_genomics.model.provenance import Provenance
from orchid_genomics.model.tokens import Sequences, as_tokens
from orchid_genomics.ops.pointers import Pointers
from orchid_genomics.recipe import Strict, validate
from orchid_genomics.sequence import CODE

FORMAT = "orchid-genomics/1"
DTYPES = ("F32", "F16", "BF16", "F64")  # of weights; others would be rounded or wrapped silently


class ModelRecipe(Strict):
    """What config.json holds: the encoder's shape and its head; without one, a folder holds an
    encoder alone.
    """

    encoder: OrchidRecipe
    head: HeadRecipe | None = None
    others: tuple["ModelRecipe", ...] = Field(default=(), max_length=31)
    """Other networks with the same labels, whose outputs are averaged with this one's."""

    @model_validator(mode="after")
    def _answer_alike(self) -> "ModelRecipe":
        for other in self.others:
            if other.others or _answered(other) is None or _answered(other) != _answered(self):
                message = "an ensemble is of networks that answer the same labels"
                raise PydanticCustomError("others", message)
        return self


def _answered(recipe: ModelRecipe) -> tuple[Any, ...] | None:
    """What a network of labels answers; None for one of letters or vectors."""
    task = getattr(recipe.head, "supervised", None)
    if task is None:
        return None
    strand = getattr(recipe.head, "strand", None)
    return task.name, task.labels, task.bin, strand, recipe.encoder.alphabet


class OrchidModel(nn.Module):
    """An encoder with its head: tokens (B, L) -> predictions. What a model folder holds.

    An ensemble (`together`) has others beside it, and its predictions are means of all their
    outputs; `encoder` and `head` are those of the first.

    Parameters
    ----------
    recipe : ModelRecipe
        The shapes of both; weights are random until they are loaded or trained.

    Examples
    --------
    >>> model = OrchidModel.from_pretrained("yeast")  # doctest: +SKIP
    >>> logits_BLV = model("ACGT" * 256)  # doctest: +SKIP
    """

    def __init__(self, recipe: ModelRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.encoder = Orchid(recipe.encoder)
        self.head = (
            Vectors()
            if recipe.head is None
            else HEADS[recipe.head.kind](recipe.head, recipe.encoder)
        )
        self.others = nn.ModuleList(OrchidModel(other) for other in recipe.others)
        self.provenance = Provenance()
        self.card = "# An Orchid model\n\nLoad it with `OrchidModel.from_pretrained(folder)`.\n"
        """What README.md says, in Markdown; on the hub with what programs read above it."""

    @classmethod
    def together(cls, models: Sequence["OrchidModel"]) -> "OrchidModel":
        """The ensemble of models that answer the same labels; of one, a copy of it.

        Parameters
        ----------
        models : one or more. Of an ensemble among them every network counts.

        Returns
        -------
        OrchidModel
            In eval mode, of the first one's device and type of numbers; without provenance.

        Raises
        ------
        RecipeError : for models that do not answer the same labels, and for over 32 networks.
        """
        networks = [network for model in models for network in model.members]
        first, *others = (
            network.recipe.model_copy(update={"others": ()}).model_dump(mode="json")
            for network in networks
        )
        made = cls(validate(ModelRecipe, first | {"others": others}, "models"))
        made = made.to(networks[0].encoder.letters.free)
        for own, network in zip(made.members, networks, strict=True):
            for part in ("encoder", "head"):
                own.get_submodule(part).load_state_dict(merged_state(network.get_submodule(part)))
        return made.eval()

    @property
    def members(self) -> list["OrchidModel"]:
        """The networks whose outputs are averaged, itself first."""
        return [self, *(other for other in self.others if isinstance(other, OrchidModel))]

    def forward(self, sequences: Sequences) -> Tensor:
        """Predictions of one text, several, or tokens (B, L) whose rows may end in PAD.

        Raises InputError for a row without a letter where the head pools over letters.
        """
        encoder = self.encoder
        codes_BL = as_tokens(sequences, encoder.alphabet, encoder.letters.free.device) & CODE
        return mean_of([member._read(codes_BL) for member in self.members])

    def _read(self, codes_BL: Tensor) -> Tensor:
        """The predictions of this network alone."""
        encoder = self.encoder
        if not self.head.pools:
            mask_BL = (codes_BL != encoder.alphabet.pad).to(encoder.letters.free.dtype)
            if isinstance(self.head, LetterReader):
                return self._encode(codes_BL, mask_BL)
            return self.head(encoder(codes_BL), mask_BL)
        # By transform length, as heads that pool demand: an answer is the row's own in any batch.
        parts = [
            (rows, self._encode(padded, mask))
            for rows, padded, mask in self.encoder.groups(codes_BL)
        ]
        empty = len(codes_BL) - sum(len(rows) for rows, _ in parts)
        if empty:
            raise InputError("tokens", f"{empty} rows have no letter", "at least one letter a row")
        order = torch.cat([rows for rows, _ in parts]).argsort()
        return torch.cat([out for _, out in parts])[order]

    def encode(
        self,
        tokens_BL: Tensor,
        mask_BL: Tensor | None = None,
        pointers: Pointers | None = None,
    ) -> Tensor:
        """Predictions of rows of one length; see `Orchid.encode`."""
        return mean_of([member._encode(tokens_BL, mask_BL, pointers) for member in self.members])

    def _encode(
        self,
        tokens_BL: Tensor,
        mask_BL: Tensor | None = None,
        pointers: Pointers | None = None,
    ) -> Tensor:
        encode = partial(self.encoder.encoding, pointers=pointers)
        return apply_head(self.head, encode, self.encoder.one_hot(tokens_BL), mask_BL)

    def only_encoder(self, where: object) -> Orchid:
        """The encoder, of an ensemble that of the first network.

        Raises InputError where the head reads the letters themselves.
        """
        if isinstance(self.head, LetterReader):
            kind = self.recipe.head.kind if self.recipe.head else ""
            message = f"is a {kind}, which has no encoder"
            raise InputError(where, message, "a model of pretrain, or an encoder's of finetune")
        return self.encoder

    def encode_with_rates(
        self, tokens_BL: Tensor, pointers: Pointers | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Logits (B, L, letters), and mean and log-variance of the tracks (B, L, T), in one pass.

        Raises InputError for a model without tracks.
        """
        rates = self.rates()
        vectors_BLD = self.encoder.encode(tokens_BL, pointers=pointers)
        return self.head(vectors_BLD), rates(vectors_BLD)

    def rates(self) -> Rates:
        """What predicts the tracks beside the letters.

        Raises InputError for a model without tracks.
        """
        if not isinstance(self.head, Letters) or self.head.rates is None:
            raise InputError("model", "predicts no tracks", "one trained with [[tracks]]")
        return self.head.rates

    @classmethod
    def from_pretrained(cls, name: str | Path) -> "OrchidModel":
        """Read a model, in eval mode.

        Parameters
        ----------
        name : a model folder; the name of one that comes along, such as "yeast"; or the hub's
            "OWNER/NAME" or "OWNER/NAME@REVISION" (the `hub` extra). A folder stands before a name.

        Raises
        ------
        InputError : for a folder that is missing, foreign or damaged, and for what the hub lacks.
        RecipeError : for a config with a wrong key or value.
        MachineError : for a name of the hub where the extra is missing.
        """
        folder = find_model(name)
        config = read_json(folder / CONFIG)
        if config.get("format") != FORMAT:
            message = f"is not a model of this tool (format {reprlib.repr(config.get('format'))})"
            possible = f"a folder written by orchid-genomics, format {FORMAT!r}"
            raise InputError(folder / CONFIG, message, possible)
        # The version says who wrote the folder; the format alone decides who can read it.
        values = {key: value for key, value in config.items() if key not in ("format", "version")}
        recipe = validate(ModelRecipe, values, str(folder / CONFIG))
        _check_header(recipe, folder / WEIGHTS)
        model = cls(recipe)
        _load(model, folder / WEIGHTS)
        model.provenance = Provenance.read(folder / PROVENANCE)
        card = folder / CARD
        if card.is_file():
            model.card = card.read_text(encoding="utf-8", errors="replace")
        return model.eval()

    def save_pretrained(
        self,
        folder: str | Path,
        provenance: Provenance | Mapping[str, Any] | None = None,
        card: str = "",
    ) -> None:
        """Write the folder; an older one of that name is replaced once the new one is whole.

        Parameters
        ----------
        provenance : where the model comes from; None for what it has.
        card : the text of README.md; "" for what it has.

        Raises
        ------
        MachineError : where the folder cannot be written; what stood there is kept.
        """
        folder = Path(folder)
        config = {"format": FORMAT, "version": __version__, **self.recipe.model_dump(mode="json")}
        if isinstance(provenance, Mapping):
            provenance = Provenance.of(provenance, folder / PROVENANCE)
        self.provenance = provenance or self.provenance
        # safetensors takes neither views nor other layouts.
        tensors = {
            name: tensor.detach().cpu().contiguous() for name, tensor in merged_state(self).items()
        }
        with atomic_folder(folder) as part:
            try:
                with utf8_name(part / WEIGHTS) as weights:
                    save_file(tensors, weights, metadata={"format": "pt"})
            except SafetensorError as error:  # what it calls a full disk
                raise OSError(error) from None
            (part / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
            (part / PROVENANCE).write_text(self.provenance.text(), encoding="utf-8")
            self.card = card or self.card
            (part / CARD).write_text(self.card, encoding="utf-8")

    def push_to_hub(
        self,
        name: str,
        *,
        licence: str | None = None,
        private: bool | None = None,
        token: str | None = None,
    ) -> str:
        """Publish the model on the hub: the four files of its folder, and no code.

        Parameters
        ----------
        name : the hub's "OWNER/NAME"; made if it is not there.
        licence : what others may do with it, as SPDX has it (CC-BY-4.0); None for what its
            provenance says.
        private : whether others may not see it; None for the owner's default.
        token : None for the one that `hf auth login` kept.

        Returns
        -------
        str
            Its address.

        Raises
        ------
        InputError : for a model without a licence, and for what the hub refuses.
        MachineError : where the `hub` extra is missing.
        """
        licence = licence or self.provenance.licence
        if not licence:
            message = "the model states no licence, so nobody may use it"
            raise InputError("licence", message, "such as CC-BY-4.0, that of its genome")
        self.provenance = self.provenance.model_copy(update={"licence": licence})
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "model"
            self.save_pretrained(folder)
            card = with_front_matter(self.card, licence)
            (folder / CARD).write_text(card, encoding="utf-8")
            return publish(folder, name, private, token)

    def hash(self) -> str:
        """Twelve hex digits of the SHA-256 over config and weights: the name of a model in outputs.

        Of the config its kinds and what differs from the defaults, so that an option added later
        leaves it as it was.
        """
        head = self.recipe.head.kind if self.recipe.head else None
        config = self.recipe.model_dump_json(exclude_defaults=True)
        digest = hashlib.sha256(f"{self.recipe.encoder.filter.kind} {head} {config}".encode())
        # Sorted, so that the order in which modules are made does not matter.
        for name, tensor in sorted(merged_state(self).items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:12]


def mean_of(outputs: Sequence[Tensor]) -> Tensor:
    """The mean of tensors of one shape; a single one as it is."""
    return outputs[0] if len(outputs) == 1 else torch.stack(list(outputs)).mean(0)


def with_front_matter(card: str, licence: str) -> str:
    """A card with the lines above it that the hub reads; those that are there give way."""
    body = re.sub(r"\A---\n.*?\n---\n+", "", card, flags=re.S)
    # The hub knows licences by their SPDX names in lower case.
    lines = ("---", f"license: {licence.lower()}", "library_name: orchid-genomics", "tags:")
    tags = ("biology", "genomics", "dna", "orchid")
    return "\n".join([*lines, *(f"- {tag}" for tag in tags), "---", "", body])


def _check_header(recipe: ModelRecipe, path: Path) -> None:
    """Compare a file's names, types and shapes with a config before anything of their size is made.

    A header is small whatever the tensors are, and a model of a few letters of JSON may ask for
    more memory than there is.
    """
    if path.exists() and not is_regular(path):
        raise InputError(path, "is no regular file", "the whole file")
    shapes = {}
    try:
        with utf8_name(path) as name, safe_open(name, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  (it is no mapping)
                part = file.get_slice(name)
                shapes[name] = tuple(part.get_shape())
                if part.get_dtype() not in DTYPES:
                    message = f"holds numbers of type {part.get_dtype()} ({name})"
                    raise InputError(path, message, f"weights of type {', '.join(DTYPES)}")
    except (OSError, SafetensorError) as error:
        raise InputError(path, f"cannot be read ({reason(error)})", "the whole file") from None
    with torch.device("meta"):  # shapes without memory
        state = OrchidModel(recipe).state_dict()
    own = {name: tuple(tensor.shape) for name, tensor in state.items()}
    wrong = sorted(own.keys() ^ shapes.keys())
    wrong = wrong or sorted(name for name in own if own[name] != shapes[name])
    if wrong:
        first = reprlib.repr(wrong[0])[1:-1]
        message = f"does not fit its {CONFIG} ({len(wrong)} tensors, first {first})"
        raise InputError(path, message)


def _load(model: nn.Module, path: Path) -> None:
    try:
        with utf8_name(path) as name:
            tensors = load_file(name)
    except (OSError, SafetensorError) as error:
        raise InputError(path, f"cannot be read ({reason(error)})", "the whole file") from None
    # NaN in a weight would show only in answers, far from its cause.
    if any(not torch.isfinite(tensor).all() for tensor in tensors.values()):
        possible = "a model that was trained to the end"
        raise InputError(path, "holds NaN or infinite weights", possible)
    model.load_state_dict(tensors)
