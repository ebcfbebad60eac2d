"""Model folders: config.json, model.safetensors, provenance.json and README.md (a card); never a
pickle.

A folder is written whole under a temporary name and then renamed, so that a killed run leaves the
old one.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from orchid_genomics import __version__
from orchid_genomics.errors import InputError
from orchid_genomics.files import atomic_folder, read_json
from orchid_genomics.model.heads import HEADS, HeadRecipe, Pooled, Vectors
from orchid_genomics.model.orchid import Orchid, OrchidRecipe
from orchid_genomics.model.provenance import Provenance
from orchid_genomics.model.tokens import Sequences, as_tokens
from orchid_genomics.recipe import Strict, validate
from orchid_genomics.sequence import CODE

FORMAT = "orchid-genomics/1"
CONFIG, WEIGHTS, PROVENANCE, CARD = (
    "config.json",
    "model.safetensors",
    "provenance.json",
    "README.md",
)


class ModelRecipe(Strict):
    """What config.json holds: the encoder's shape and its head; without one, a folder holds an
    encoder alone.
    """

    encoder: OrchidRecipe
    head: HeadRecipe | None = None


class OrchidModel(nn.Module):
    """An encoder with its head: tokens (B, L) -> predictions. What a model folder holds.

    >>> model = OrchidModel.from_pretrained("runs/yeast/model")  # doctest: +SKIP
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
        self.provenance = Provenance()

    def forward(self, sequences: Sequences) -> Tensor:
        """Predictions of one text, several, or tokens (B, L) whose rows may end in PAD.

        Raises InputError for a row without a letter where the head pools over letters.
        """
        encoder = self.encoder
        codes_BL = as_tokens(sequences, encoder.alphabet, encoder.letters.free.device) & CODE
        if not self.head.pools:
            mask_BL = (codes_BL != self.encoder.alphabet.pad).to(self.encoder.letters.free.dtype)
            return self.head(self.encoder(codes_BL), mask_BL)
        parts = [
            (rows, self.encode(padded, mask))
            for rows, padded, mask in self.encoder.groups(codes_BL)
        ]
        found = sum(len(rows) for rows, _ in parts)
        if found < len(codes_BL):
            raise InputError(
                "tokens",
                f"{len(codes_BL) - found} rows have no letter",
                "at least one letter a row",
            )
        order = torch.cat([rows for rows, _ in parts]).argsort()
        return torch.cat([out for _, out in parts])[order]

    def encode(self, tokens_BL: Tensor, mask_BL: Tensor | None = None) -> Tensor:
        """Predictions of rows of one length; see `Orchid.encode`."""
        encoding = self.encoder.encoding(self.encoder.one_hot(tokens_BL), mask_BL)
        if isinstance(self.head, Pooled):
            return self.head(encoding.vectors_BLD, mask_BL, encoding)
        return self.head(encoding.vectors_BLD, mask_BL)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "OrchidModel":
        """Read a model folder, in eval mode. Raises InputError for a folder that is missing,
        foreign or damaged.
        """
        folder = Path(folder)
        config = read_json(folder / CONFIG)
        if config.get("format") != FORMAT:
            found = f"is not a model of this tool (format {config.get('format')!r})"
            raise InputError(
                folder / CONFIG, found, f"a folder written by orchid-genomics, format {FORMAT!r}"
            )
        values = {key: value for key, value in config.items() if key not in ("format", "version")}
        model = cls(validate(ModelRecipe, values, str(folder / CONFIG)))
        _load(model, folder / WEIGHTS)
        model.provenance = Provenance.read(folder / PROVENANCE)
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
        card : the text of README.md.

        Raises
        ------
        MachineError : where the folder cannot be written; what stood there is kept.
        """
        folder = Path(folder)
        config = {"format": FORMAT, "version": __version__, **self.recipe.model_dump(mode="json")}
        if isinstance(provenance, Mapping):
            provenance = Provenance.of(provenance, folder / PROVENANCE)
        self.provenance = provenance or self.provenance
        tensors = {
            name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()
        }
        with atomic_folder(folder) as part:
            try:
                save_file(tensors, part / WEIGHTS, metadata={"format": "pt"})
            except SafetensorError as error:  # what it calls a full disk
                raise OSError(error) from None
            (part / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
            (part / PROVENANCE).write_text(self.provenance.text(), encoding="utf-8")
            (part / CARD).write_text(
                card
                or "# An Orchid model\n\nLoad it with `OrchidModel.from_pretrained(folder)`.\n",
                encoding="utf-8",
            )

    def hash(self) -> str:
        """Twelve hex digits of the SHA-256 over config and weights: what outputs name as their
        model.

        Of the config its kinds and what differs from the defaults, so that an option added later
        leaves it as it was.
        """
        kinds = f"{self.recipe.encoder.filter.kind} {self.recipe.head.kind if self.recipe.head else None}"
        digest = hashlib.sha256(
            f"{kinds} {self.recipe.model_dump_json(exclude_defaults=True)}".encode()
        )
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:12]


def _load(model: nn.Module, path: Path) -> None:
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(path, f"cannot be read ({error})", "the whole file") from None
    own = model.state_dict()
    wrong = sorted(own.keys() ^ tensors.keys()) or sorted(
        n for n in own if own[n].shape != tensors[n].shape
    )
    if wrong:
        raise InputError(
            path, f"does not fit its {CONFIG} ({len(wrong)} tensors, first {wrong[0]})"
        )
    if any(not torch.isfinite(t).all() for t in tensors.values()):
        raise InputError(
            path, "holds NaN or infinite weights", "a model that was trained to the end"
        )
    model.load_state_dict(tensors)
