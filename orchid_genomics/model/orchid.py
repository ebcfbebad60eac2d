"""The Orchid encoder: tokens (B, L) -> vectors (B, L, D), global, bidirectional, quasi-linear in
length.

Inside, tensors are (B, D, L): positions are contiguous for transforms and shifted adds, and a
product W x needs no transpose. The trap: a sequence's output must depend on nothing but itself, so
its transform length is a function of its own length alone (`transform_length`), and padding carries
zeros into every convolution.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError
from torch import Tensor, nn
from torch.compiler import is_compiling
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from orchid_genomics.model import channel_groups, recording, sequence_parallel
from orchid_genomics.model.convolution import Convolution
from orchid_genomics.model.filters import (
    FILTERS,
    Conditions,
    CorrelationRecipe,
    FilterRecipe,
    StaticFilter,
    conditions,
    short_conv,
    static_spectra,
)
from orchid_genomics.model.sequence_parallel import Shards
from orchid_genomics.model.stem import Stem
from orchid_genomics.model.strands import (
    Folded,
    LetterTable,
    Mix,
    Norm,
    Strands,
    butterfly,
    fold_together,
    halves,
    over_rms,
)
from orchid_genomics.model.tokens import Sequences, as_tokens
from orchid_genomics.ops import BACKENDS, long_conv, triton
from orchid_genomics.ops.pointers import Pointers, find_pointers, index_readers, read_pointers
from orchid_genomics.ops.products import read_table
from orchid_genomics.ops.stem_products import read_motifs
from orchid_genomics.recipe import Strict, one_of
from orchid_genomics.sequence import CODE, DNA, alphabet

# Of what pointers read at the start, beside a skip of 1: at the best partner, and at all good ones.
# Those begin at 0: near-duplicates of a key all count there, and cost a third of exact answers.
LOOK = (0.5, 0.0)


class OrchidRecipe(Strict):
    """The encoder's shape.

    Every number is bounded far beyond use: a folder of a stranger must be refused in a line, not by
    a machine that has run out of memory.
    """

    alphabet: str = "dna"
    """dna, or symbols:N for N symbols without a complement."""
    width: int = Field(default=64, gt=0, le=1 << 16, multiple_of=2)
    """Channels D of a position; even, for they come in pairs."""
    depth: int = Field(default=4, ge=0, le=1024)
    """Blocks, one above the other; 0 beside a head that reads the letters themselves."""
    strands: Strands = "equivariant"
    """equivariant: exact on both strands at half the parameters; dense: an ordinary network."""
    filter: FilterRecipe = CorrelationRecipe()
    """How the filter of the long convolution is made."""
    short_taps: int = Field(default=3, gt=0, le=1024)
    """Letters that the short convolution before the long one reads."""
    short_spread: float = Field(default=0.0, ge=0, le=1e6)
    """Standard deviation of the short convolutions' taps around the identity at the start."""
    mlp: float = Field(default=2.0, gt=0, le=64)
    """Width of the gated MLP in units of `width`."""
    mlp_blocks: int = Field(default=1, gt=0)
    """Blocks of the MLP's block-diagonal matrices; 1 is full."""
    backend: Annotated[str, one_of(BACKENDS)] = "auto"
    """What computes the operator: auto (triton on a GPU that has it, fft elsewhere), fft, triton
    (the `cuda` extra), reference, or one of a package."""
    stem: int = Field(default=0, ge=0, le=1024)
    """Letters of the motif filters beside the embedding, an odd number such as 15; 0: none."""
    stem_width: int = Field(default=0, ge=0, le=1 << 16, multiple_of=2)
    """Features of the stem, mixed down to the stream where they are not `width`; 0: `width`."""
    convolutions: tuple[Annotated[int, Field(gt=0, le=1 << 16)], ...] = Field((), max_length=1024)
    """Full convolutions below the blocks, one for each dilation given, such as [1, 2, 4, 8]."""
    convolution_taps: int = Field(default=5, gt=0, le=1024)
    """Letters that each of them reads, an odd number."""

    @property
    def motifs(self) -> int:
        """Features of the stem, 0 without one."""
        return (self.stem_width or self.width) if self.stem else 0

    @property
    def branches(self) -> int:
        """What adds to the stream: so scaled at the start, its spread does not grow with depth."""
        return 2 * self.depth + len(self.convolutions)

    @model_validator(mode="after")
    def _divides(self) -> "OrchidRecipe":
        parts = halves(self.strands) * self.mlp_blocks
        hidden = round(self.width * self.mlp)
        if hidden < parts or hidden % parts or self.width % parts:
            message = "width {width} and mlp width {hidden} are not multiples of {parts}"
            words = {"width": self.width, "hidden": hidden, "parts": parts}
            raise PydanticCustomError("mlp_blocks", message, words)
        if self.filter.turned and self.strands != "equivariant":
            # A channel reads the other strand off its partner, which a dense encoder has not.
            message = "filter.turned reads strand pairs, and strands is dense"
            raise PydanticCustomError("turned", message)
        if self.filter.hash_length and self.alphabet != DNA.name:
            message = "filter.hash_length is of DNA, and alphabet is {alphabet}"
            raise PydanticCustomError("hash_length", message, {"alphabet": self.alphabet})
        return self

    @field_validator("stem", "convolution_taps")
    @classmethod
    def _odd(cls, taps: int) -> int:
        # An even window has no middle: the two strands would see it half a letter apart.
        if taps and taps % 2 == 0:
            words = {"taps": taps, "below": taps - 1, "above": taps + 1}
            message = "{taps} taps have no middle; {below} or {above}"
            raise PydanticCustomError("stem", message, words)
        return taps


class Mixer(nn.Module):
    """x + the chain of order 1.5: z = v s1; y = h(v) * z + skip z; Linear(y s2), of normed x.

    Parameters
    ----------
    recipe : OrchidRecipe
        Of the encoder; (B, D, L) -> (B, D, L) with D its `width`.
    """

    def __init__(self, recipe: OrchidRecipe) -> None:
        super().__init__()
        D = recipe.width
        self.halves = halves(recipe.strands)
        channels = D // self.halves
        self.norm = Norm(D, recipe.strands)
        self.inside = Mix(D, 3 * D, recipe.strands)
        self.outside = Mix(D, D, recipe.strands, scale=1 / math.sqrt(recipe.branches))
        taps = torch.zeros(3, channels, recipe.short_taps)
        # No draw without a spread: the other weights of a seed stay what they were.
        if recipe.short_spread:
            taps.normal_(std=recipe.short_spread)
        taps[..., recipe.short_taps // 2] += 1.0
        self.short = nn.Parameter(taps)
        self.skip = nn.Parameter(torch.ones(channels))
        self.static = StaticFilter(channels, recipe.filter)
        self.conditioning = FILTERS[recipe.filter.kind](channels, recipe.filter)
        self.backend = recipe.backend
        # No weight without pointers: the model folders that there were stay what they are.
        self.look = None
        if recipe.filter.hash_length:
            self.look = nn.Parameter(torch.tensor(LOOK)[:, None].repeat(1, channels))

    def forward(
        self,
        x_BDL: Tensor,
        mask_BL: Tensor | None,
        dtype: torch.dtype | None = None,
        weights: "MixerWeights | None" = None,
        pointers: Pointers | None = None,
        shards: Shards | None = None,
    ) -> Tensor:
        """(B, D, L) -> (B, D, L), fused, with activations of `dtype`.

        `weights` are its own where the encoder has folded those of all blocks; `plain` is the same
        layer written out. With `shards` x is a stretch of the window, and the static spectrum that
        of this process's channels.
        """
        dtype = dtype or x_BDL.dtype
        if weights is None:
            (weights,) = fold_mixers([self], dtype)
        if shards is not None:
            return sequence_parallel.mix(self, x_BDL, weights, shards)
        fused = BACKENDS[self.backend]
        z, v, s2 = fused.enter(x_BDL, *weights.inside, weights.taps, mask_BL, self.halves)
        spectra = self.spectra(z.shape[-1], weights.static_CF, weights.conditions)
        y = self.mix(z, v, mask_BL, spectra)
        if pointers is not None:
            y = y + self.read(z, pointers)
        return fused.leave(x_BDL, y, z, s2, weights.skip, *weights.outside, self.halves)

    def convolve(self, z_BDL: Tensor, v_BDL: Tensor, mask_BL: Tensor | None) -> Tensor:
        """h(v) * z."""
        return self.mix(z_BDL, v_BDL, mask_BL, self.spectra(z_BDL.shape[-1]))

    def spectra(
        self, L: int, static_CF: Tensor | None = None, given: Conditions | None = None
    ) -> "Spectra":
        """What `mix` takes for windows of L letters; None of what is given: evaluated here."""
        if given is None:
            (given,) = self.conditioning.together([self.conditioning], L)
        return Spectra(self.static(L) if static_CF is None else static_CF, *given)

    def mix(
        self, z_BDL: Tensor, v_BDL: Tensor, mask_BL: Tensor | None, spectra: "Spectra"
    ) -> Tensor:
        """h(v) * z by these spectra; of some of the channels where they are of those alone."""
        return long_conv(
            z_BDL,
            v_BDL,
            spectra.static_CF,
            spectra.gain_CF,
            spectra.taps_CJ,
            mask_BL,
            kind=self.conditioning.kind,
            bound=self.conditioning.bound,
            backend=self.backend,
            threshold=self.conditioning.threshold,
            turned_CF=spectra.turned_CF,
        )

    def read(self, z_BDL: Tensor, pointers: Pointers) -> Tensor:
        """What stands at the partners of each letter, (B, D, L)."""
        if self.look is None:
            return torch.zeros_like(z_BDL)
        return read_pointers(z_BDL, pointers, self.look.repeat(1, self.halves), self.halves == 2)

    def both_taps(self) -> Tensor:
        """Short taps (3, halves, C, K): channel c' has the reversed taps of c."""
        return both_taps(self.short, self.halves)

    def plain(
        self,
        x_BDL: Tensor,
        mask_BL: Tensor | None,
        parts: "Parts | None" = None,
        pointers: Pointers | None = None,
    ) -> Tensor:
        """The definition that `forward` fuses, by ordinary autograd."""
        parts = parts or PLAIN
        convolve = parts.convolve or self.convolve
        mask = 1.0 if mask_BL is None else mask_BL[:, None]
        # The bias fills padding: zeros again, before short taps read it.
        h = butterfly(self.inside(self.norm(x_BDL, parts.unit)), self.halves) * mask
        B, _, L = h.shape
        h = h.view(B, self.halves, 3, -1, L)
        taps = self.both_taps()
        s1, s2, v = (
            short_conv(h[:, :, part], taps[part]).reshape(x_BDL.shape) for part in range(3)
        )
        # Short taps carried letters into the padding beside them.
        v = v * mask
        z = parts.enter(v, s1)
        y = convolve(z, v, mask_BL) + self.skip.repeat(self.halves)[:, None] * z
        if pointers is not None:
            y = y + self.read(z, pointers)
        return x_BDL + self.outside(butterfly(parts.leave(y, s2), self.halves))


def both_taps(short_3CK: Tensor, halves: int) -> Tensor:
    """Taps (..., 3, C, K) of the first of strand pairs -> (..., 3, halves, C, K) of both."""
    if halves == 1:
        return short_3CK.unsqueeze(-3)
    return torch.stack((short_3CK, short_3CK.flip(-1)), -3)


class MixerWeights(NamedTuple):
    """What a mixer multiplies by, ready for its parts: matrices as activations, the rest in its own
    type.
    """

    inside: Folded
    taps: Tensor
    """(3, halves, C, K), see `Mixer.both_taps`."""
    skip: Tensor
    """(D,)."""
    outside: Folded
    static_CF: Tensor | None = None
    """The static filter's spectrum; None: the mixer evaluates its own."""
    conditions: Conditions | None = None
    """What multiplies the data's strength; None: as above."""


def fold_mixers(mixers: Sequence[Mixer], dtype: torch.dtype) -> list[MixerWeights]:
    """The weights of mixers of one shape, without spectra."""
    H = mixers[0].halves
    insides = fold_together(
        [mixer.inside for mixer in mixers], dtype, [mixer.norm.scale for mixer in mixers]
    )
    outsides = fold_together([mixer.outside for mixer in mixers], dtype)
    taps = both_taps(torch.stack([mixer.short for mixer in mixers]), H).unbind()
    skips = torch.stack([mixer.skip for mixer in mixers]).repeat(1, H).unbind()
    return [MixerWeights(*each) for each in zip(insides, taps, skips, outsides, strict=True)]


class Spectra(NamedTuple):
    """What a mixer convolves by, see `ops.long_conv`; a row is of one channel or strand pair."""

    static_CF: Tensor
    gain_CF: Tensor | None
    taps_CJ: Tensor | None
    turned_CF: Tensor | None

    def rows(self, rows: slice) -> "Spectra":
        """Those of some channels, copied so that the others can go."""
        gain, taps, turned = (
            None if each is None else each[rows].contiguous() for each in self[1:]
        )
        return Spectra(self.static_CF[rows].contiguous(), gain, taps, turned)


class GatedMLP(nn.Module):
    """x + Linear(value GELU(gate)) of normed x, position by position.

    Parameters
    ----------
    recipe : OrchidRecipe
        Of the encoder; (B, D, L) -> (B, D, L) with D its `width`, and `width * mlp` inside.
    """

    def __init__(self, recipe: OrchidRecipe) -> None:
        super().__init__()
        hidden = round(recipe.width * recipe.mlp)
        self.halves, self.backend = halves(recipe.strands), recipe.backend
        blocks = recipe.mlp_blocks
        self.norm = Norm(recipe.width, recipe.strands)
        self.inside = Mix(recipe.width, 2 * hidden, recipe.strands, blocks)
        self.outside = Mix(
            hidden, recipe.width, recipe.strands, blocks, scale=1 / math.sqrt(recipe.branches)
        )

    def forward(
        self,
        x_BDL: Tensor,
        dtype: torch.dtype | None = None,
        weights: "MLPWeights | None" = None,
    ) -> Tensor:
        """(B, D, L) -> (B, D, L), fused, with activations of `dtype`; `weights` as of `Mixer`,
        `plain` is the same layer written out.
        """
        if weights is None:
            (weights,) = fold_mlps([self], dtype or x_BDL.dtype)
        inside, outside = weights
        return BACKENDS[self.backend].gated_mlp(x_BDL, *inside, *outside, self.halves)

    def plain(self, x_BDL: Tensor, parts: "Parts | None" = None) -> Tensor:
        """The definition that `forward` fuses, by ordinary autograd."""
        parts = parts or PLAIN
        B, _, L = x_BDL.shape
        h = butterfly(self.inside(self.norm(x_BDL, parts.unit)), self.halves)
        value, gate = h.view(B, self.halves * self.inside.blocks, 2, -1, L).unbind(2)
        u = parts.enter(value, parts.gelu(gate)).reshape(B, -1, L)
        return x_BDL + self.outside(butterfly(u, self.halves))


class MLPWeights(NamedTuple):
    """What a gated MLP multiplies by, ready for its parts."""

    inside: Folded
    outside: Folded


def fold_mlps(mlps: Sequence[GatedMLP], dtype: torch.dtype) -> list[MLPWeights]:
    """The weights of gated MLPs of one shape."""
    insides = fold_together([mlp.inside for mlp in mlps], dtype, [mlp.norm.scale for mlp in mlps])
    outsides = fold_together([mlp.outside for mlp in mlps], dtype)
    return [MLPWeights(*each) for each in zip(insides, outsides, strict=True)]


class Parts(NamedTuple):
    """What is not linear in `plain`, as functions: modules may take their places
    (`explain.unfused`).
    """

    unit: Callable[[Tensor], Tensor] = over_rms
    enter: Callable[[Tensor, Tensor], Tensor] = torch.mul
    """The first product: v s1 of a mixer, value GELU(gate) of an MLP."""
    leave: Callable[[Tensor, Tensor], Tensor] = torch.mul
    """The second gate of a mixer."""
    gelu: Callable[[Tensor], Tensor] = functional.gelu
    convolve: Callable[[Tensor, Tensor, Tensor | None], Tensor] | None = None
    """h(v) * z of z, v and the mask; None: the operator."""


PLAIN = Parts()


class Block(nn.Module):
    """A mixer over positions, then a gated MLP over channels, each with its residual.

    Parameters
    ----------
    recipe : OrchidRecipe
        Of the encoder; (B, D, L) -> (B, D, L) with D its `width`.
    """

    def __init__(self, recipe: OrchidRecipe) -> None:
        super().__init__()
        self.mixer, self.mlp = Mixer(recipe), GatedMLP(recipe)

    def forward(
        self,
        x_BDL: Tensor,
        mask_BL: Tensor | None = None,
        dtype: torch.dtype | None = None,
        weights: "BlockWeights | None" = None,
        pointers: Pointers | None = None,
        shards: Shards | None = None,
    ) -> Tensor:
        """(B, D, L) -> (B, D, L); activations are of `dtype`, the residual stream is as x."""
        to_mixer, to_mlp = weights or (None, None)
        x_BDL = self.mixer(x_BDL, mask_BL, dtype, to_mixer, pointers, shards)
        return self.mlp(x_BDL, dtype, to_mlp)

    def plain(
        self,
        x_BDL: Tensor,
        mask_BL: Tensor | None,
        parts: tuple[Parts | None, Parts | None] = (None, None),
        pointers: Pointers | None = None,
    ) -> Tensor:
        """The same block by ordinary autograd; `parts` of its mixer and of its MLP."""
        return self.mlp.plain(self.mixer.plain(x_BDL, mask_BL, parts[0], pointers), parts[1])


class BlockWeights(NamedTuple):
    """What a block multiplies by, ready for its parts."""

    mixer: MixerWeights
    mlp: MLPWeights


class Encoding(NamedTuple):
    """What an encoder makes of a batch: its vectors, and what heads may read on the way."""

    vectors_BLD: Tensor
    """After the last norm."""
    residual_BDL: Tensor
    """The residual stream before it, which still has the height of a peak."""
    motifs_BDL: Tensor | None
    """The stem's features in the paired basis; None without a stem."""
    letters_BVL: Tensor
    """One-hot, as they were given."""


class Orchid(nn.Module):
    """The encoder: tokens (B, L) uint8 -> vectors (B, L, D), zero at padding.

    `forward` takes what a user has: rows padded at the end with PAD are cut, grouped by transform
    length and run group by group, so that a row alone gives what it gives in any batch. `encode` is
    the part without branches on data (for `torch.compile` and training): rows of one length that is
    a transform length, or any length without PAD.

    Cost: O(B D L log L) time; parameters do not depend on L. Vectors are in the even/odd basis of
    strand pairs: reading the other strand reverses positions and negates the odd half (see
    `model.strands`).

    Parameters
    ----------
    recipe : OrchidRecipe
        The encoder's shape; D is its `width`.
    """

    def __init__(self, recipe: OrchidRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.alphabet = alphabet(recipe.alphabet)
        complement = self.alphabet.complement_codes if recipe.strands == "equivariant" else None
        self.letters = LetterTable(self.alphabet.size, recipe.width, complement, 0.5)
        # No draw without a stem: the other weights of a seed stay what they were.
        self.stem = (
            Stem(recipe.stem, recipe.motifs, recipe.strands, self.alphabet) if recipe.stem else None
        )
        # Many motifs cost little before the blocks, and much inside them.
        self.narrow = (
            Mix(recipe.motifs, recipe.width, recipe.strands, bias=False)
            if recipe.motifs not in (0, recipe.width)
            else None
        )
        self.convolutions = nn.ModuleList(
            Convolution(recipe, dilation) for dilation in recipe.convolutions
        )
        self.blocks = nn.ModuleList(Block(recipe) for _ in range(recipe.depth))
        self.norm = Norm(recipe.width, recipe.strands)
        self.checkpointing, self.activations = False, torch.float32
        self._held: Tensor | None = None
        self.shards: Shards | None = None
        self._passes = recording.Passes()

    def prepare(
        self, checkpointing: bool, activations: torch.dtype, shards: Shards | None = None
    ) -> None:
        """Say how to train: whether to compute blocks again in the backward pass, the type of
        activations, and which processes share a window (in training alone; see
        `model.sequence_parallel`).
        """
        self.checkpointing, self.activations, self.shards = checkpointing, activations, shards

    @classmethod
    def from_pretrained(cls, name: str | Path) -> "Orchid":
        """The encoder of a model, whatever its head, in eval mode; see `folder.OrchidModel`.

        Of an ensemble that of the first network.
        """
        # Here, because `model.folder` imports this module.
        from orchid_genomics.model.folder import OrchidModel

        return OrchidModel.from_pretrained(name).only_encoder(name)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a model folder that holds this encoder alone."""
        # Here, because `model.folder` imports this module.
        from orchid_genomics.model.folder import ModelRecipe, OrchidModel

        model = OrchidModel(ModelRecipe(encoder=self.recipe))
        model.encoder = self
        model.save_pretrained(folder)

    def forward(self, sequences: Sequences) -> Tensor:
        """Vectors (B, L, D) of one text, several, or tokens (B, L) whose rows may end in PAD."""
        # Bit 7 marks lower case, which a model does not read.
        codes_BL = as_tokens(sequences, self.alphabet, self.letters.free.device) & CODE
        B, L = codes_BL.shape
        out = torch.zeros(
            B, L, self.recipe.width, dtype=self.letters.free.dtype, device=codes_BL.device
        )
        for rows, padded, mask in self.groups(codes_BL):
            N = padded.shape[1]
            out[rows, : min(N, L)] = self.encode(padded, mask)[:, :L].to(out.dtype)
        return out * (codes_BL != self.alphabet.pad)[..., None]

    def groups(self, codes_BL: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        """Rows (R,), their codes at their transform length (R, N), and their mask: what `encode`
        takes.

        Rows without a letter are in no group. A row without padding never meets a mask, not even
        one of ones: that would round otherwise.
        """
        L = codes_BL.shape[1]
        real = codes_BL != self.alphabet.pad
        # Up to the last letter: PAD inside a row is masked, at its end it is cut off.
        lengths = ((torch.arange(L, device=real.device) + 1) * real).amax(1).tolist() if L else []
        letters_B = real.sum(1).tolist() if L else []
        kinds = [
            (transform_length(n), letters < transform_length(n))
            for n, letters in zip(lengths, letters_B, strict=True)
        ]
        # (0, False) are rows without a letter.
        for N, is_padded in sorted(set(kinds) - {(0, False)}):
            rows = torch.tensor(
                [row for row, kind in enumerate(kinds) if kind == (N, is_padded)],
                device=real.device,
            )
            padded = torch.full(
                (len(rows), N), self.alphabet.pad, dtype=codes_BL.dtype, device=codes_BL.device
            )
            padded[:, : min(N, L)] = codes_BL[rows, :N]
            yield (
                rows,
                padded,
                (padded != self.alphabet.pad).to(self.letters.free.dtype) if is_padded else None,
            )

    def encode(
        self,
        tokens_BL: Tensor,
        mask_BL: Tensor | None = None,
        pointers: Pointers | None = None,
    ) -> Tensor:
        """Vectors (B, L, D), circular over exactly L; `mask_BL` is 1 at letters, 0 at padding.

        `pointers` are those of the tokens where they are known (`find_pointers`).
        """
        return self.encoding(self.one_hot(tokens_BL), mask_BL, pointers).vectors_BLD

    def encode_letters(self, letters_BVL: Tensor, mask_BL: Tensor | None = None) -> Tensor:
        """The same from one-hot (or mixed) letters (B, V, L), V as in the alphabet's codes."""
        return self.encoding(letters_BVL, mask_BL).vectors_BLD

    def one_hot(self, tokens_BL: Tensor) -> Tensor:
        """Tokens as letters (B, V, L), V as in the alphabet's codes."""
        codes_BL = tokens_BL & CODE
        # Not `one_hot`, which waits for the largest code and makes eight bytes of a letter.
        each_V = torch.arange(self.alphabet.size, dtype=codes_BL.dtype, device=codes_BL.device)
        return (codes_BL[:, None] == each_V[:, None]).to(self.letters.free.dtype)

    def encoding(
        self,
        letters_BVL: Tensor,
        mask_BL: Tensor | None = None,
        pointers: Pointers | None = None,
    ) -> Encoding:
        """Vectors with what stands before them; see `encode`.

        On a GPU, in inference mode, passes of a shape that comes often are replayed as one graph.
        """
        few = letters_BVL.shape[0] * letters_BVL.shape[-1] <= recording.LETTERS
        by_graph = letters_BVL.is_cuda and torch.is_inference_mode_enabled() and few
        # A search for pointers asks for sizes, which no graph can hold.
        if not by_graph or self.training or self.looks_up or pointers is not None:
            return self._encoding(letters_BVL, mask_BL, pointers)

        encode = partial(self._encoding, pointers=None)
        # Graphs are recorded on the current device.
        with torch.cuda.device_of(letters_BVL):
            return Encoding(*self._passes.run(self, encode, letters_BVL, mask_BL))

    def _encoding(
        self, letters_BVL: Tensor, mask_BL: Tensor | None, pointers: Pointers | None
    ) -> Encoding:
        # A window is evaluated whole: without gradients its activations are few.
        shards = self.shards if self.training else None
        x_BDL, motifs_BDL = self.embed(letters_BVL, shards=shards)
        if pointers is None:
            pointers = self.pointers(letters_BVL)
        # Only float32 is narrowed: a model in float64 stays in it.
        dtype = self.activations if x_BDL.dtype == torch.float32 else x_BDL.dtype
        for convolution in self.convolutions:
            x_BDL = self._run(convolution, x_BDL, mask_BL, dtype, shards)
        # Pointers reach the whole of z, which groups of channels never hold.
        is_long = pointers is None and not channel_groups.fits_alone(x_BDL, mask_BL)
        # Outside of what is checkpointed, which then does not fold them again.
        weights = self._weights(x_BDL.shape[-1], dtype, shards, each_alone=is_long)
        for block, own in zip(self.blocks, weights, strict=True):
            given = (mask_BL, dtype, own, pointers, shards)
            if is_long and shards is None and isinstance(block, Block):
                x_BDL = channel_groups.run_block(block, x_BDL, dtype)
            else:
                x_BDL = self._run(block, x_BDL, *given)
        scale_D = self.norm.channel_scale().to(x_BDL.dtype)
        normed_BDL = BACKENDS[self.recipe.backend].norm(x_BDL, scale_D)
        return Encoding(normed_BDL.transpose(1, 2), x_BDL, motifs_BDL, letters_BVL)

    def _run(self, layer: nn.Module, x_BDL: Tensor, *given: Any) -> Tensor:
        """A layer, which is computed again in the backward pass where that was asked for."""
        if not (self.checkpointing and torch.is_grad_enabled()):
            return layer(x_BDL, *given)
        # A layer draws nothing, and the state of chance would be asked of the device.
        return checkpoint(layer, x_BDL, *given, use_reentrant=False, preserve_rng_state=False)

    def pointers(self, letters_BVL: Tensor) -> Pointers | None:
        """Where each letter stands again, once for all blocks; None where the recipe asks for none.

        Mixed letters are no letters here. Inside `hold_pointers` the letters are those held, but
        where a letter is hidden now.
        """
        if not self.looks_up:
            return None
        code_BL = self._held
        if code_BL is None:
            sure_BL, code_BL = letters_BVL.detach().max(1)
            code_BL = torch.where(sure_BL == 1, code_BL, self.alphabet.n)
        hidden_BL = letters_BVL[:, self.alphabet.mask] == 1
        code_BL = torch.where(hidden_BL, self.alphabet.n, code_BL)
        # On the host: every list that the search makes is one more wait for a GPU.
        return self.find_pointers(code_BL.cpu(), code_BL.device).to(code_BL.device)

    @property
    def looks_up(self) -> bool:
        """Whether letters are read through pointers."""
        return self.recipe.filter.hash_length > 0

    def find_pointers(self, codes_BL: Tensor, device: torch.device | None = None) -> Pointers:
        """The pointers of codes (B, L), where they lie, in the form that `device` reads.

        The search asks for sizes that depend on the letters. So a step that is to run as one graph
        is given what was found, and a GPU need not search: the host can, some batches ahead.
        """
        filter, both_strands = self.recipe.filter, self.recipe.strands == "equivariant"
        found = find_pointers(codes_BL, filter.hash_length, filter.agreement, both_strands)
        if (device or codes_BL.device).type != "cuda" or not triton.installed():
            return found
        return index_readers(found)

    @contextmanager
    def hold_pointers(self, letters_1VL: Tensor) -> Iterator[None]:
        """Inside, every window reads through the pointers of this one, (1, V, L), of its length.

        Attributions need that: a reference has other copies, and half-way to it there are none, so
        that no path to it would sum to the difference.
        """
        self._held = letters_1VL.detach().argmax(1)
        try:
            yield
        finally:
            self._held = None

    def _weights(
        self, L: int, dtype: torch.dtype, shards: Shards | None, each_alone: bool
    ) -> Sequence[BlockWeights | None]:
        """What all blocks multiply by in windows of L letters, folded and evaluated together; None
        where each block is to do so alone.
        """
        blocks = [block for block in self.blocks if isinstance(block, Block)]
        # Somebody else's blocks fold their own.
        if each_alone or not blocks or len(blocks) < len(self.blocks):
            return [None] * len(self.blocks)
        mixers = fold_mixers([block.mixer for block in blocks], dtype)
        whole = L if shards is None else L * shards.size
        conditioned = conditions([block.mixer.conditioning for block in blocks], whole)
        filters = [block.mixer.static for block in blocks]
        statics: Sequence[Tensor | None] = [None] * len(blocks)
        # Where nothing is trained a block keeps its own from one call to the next.
        if shards is not None:
            statics = shards.statics(filters, whole)
        elif torch.is_grad_enabled():
            statics = static_spectra(filters, L).unbind()
        given: Sequence[Conditions | None] = conditioned or [None] * len(blocks)
        mixers = [
            mixer._replace(static_CF=static, conditions=each)
            for mixer, static, each in zip(mixers, statics, given, strict=True)
        ]
        mlps = fold_mlps([block.mlp for block in blocks], dtype)
        return [BlockWeights(*each) for each in zip(mixers, mlps, strict=True)]

    def embed(
        self,
        letters_BVL: Tensor,
        gelu: Callable[[Tensor], Tensor] = functional.gelu,
        shards: Shards | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """The residual stream (B, D, L) before the first block, and the stem's features if any."""
        table_DV = self.letters.vectors().T
        if self.stem is None:
            return read_table(table_DV, letters_BVL), None
        # Fused where the letters are given and GELU is GELU; as written out below in all else.
        is_plain = gelu is functional.gelu and shards is None
        if is_plain and not (letters_BVL.is_cuda or letters_BVL.requires_grad or is_compiling()):
            windows_BWL, weight_MW, bias_M = self.stem.products(letters_BVL)
            narrow = None if self.narrow is None else self.narrow.fold(table_DV.dtype)[0]
            return read_motifs(
                letters_BVL,
                windows_BWL,
                table_DV,
                weight_MW,
                bias_M,
                narrow,
                halves(self.recipe.strands),
            )
        x_BDL = read_table(table_DV, letters_BVL)
        if shards is None:
            motifs_BDL = self.stem(letters_BVL, gelu)
        else:
            reach = self.recipe.stem // 2
            wide_BVL = shards.widen(letters_BVL, reach)
            own = slice(reach, reach + letters_BVL.shape[-1])
            motifs_BDL = self.stem(wide_BVL, gelu)[..., own]
        mixed_BDL = butterfly(motifs_BDL, halves(self.recipe.strands))
        if self.narrow is not None:
            mixed_BDL = self.narrow(mixed_BDL)
        return x_BDL + mixed_BDL, motifs_BDL


def transform_length(length: int) -> int:
    """The length at which a sequence is transformed, a function of its own length alone: even, 2^a
    3^b 5^c.

    At least 32, else at most 25 % more than the length; few in number (five an octave), so that
    padded rows share batches.
    """
    # From 32 positions on, products give a row the same bits in any batch.
    if length <= 32:
        return 32 if length else 0
    octave = 1 << (length - 1).bit_length()
    steps = (octave * 9 // 16, octave * 5 // 8, octave * 3 // 4, octave * 15 // 16, octave)
    return next(step for step in steps if step >= length)
