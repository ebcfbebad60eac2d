"""Filters of the operator: the static one from the signed lag in nucleotides, and the gain that
conditions.

The trap: lags are nucleotides, never fractions of the window, so that weights trained at 1 kb run
at 131 kb. Far lags that training never saw are tapered by exp(-|lag| / lambda), one learned lambda
a channel, spaced at the start from 8 nt up to the first window of the recipe.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from torch import Tensor, nn
from torch.nn import functional

from orchid_genomics.ops import Kind, implicit
from orchid_genomics.recipe import Choice
from orchid_genomics.registry import Registry

# Not the longest window of a curriculum: with 131,072 nt most filters begin at lags that the
# first stage never trains, and long windows were .09 bits worse (2.018 against 1.924).
DEFAULT_LONGEST = 1024.0
FILTERS: Registry[type["Conditioning"]] = Registry("filter")


class FilterRecipe(Choice):
    """The static filter, which every kind has; a kind says what depends on the data."""

    choices = FILTERS
    gain: float = Field(default=0.3, ge=-1e6, le=1e6)
    """Strength of the static filter at the start."""
    shortest: float = Field(default=8.0, gt=0, le=1e9)
    """The shortest decay length at the start, nucleotides."""
    longest: float | None = Field(default=None, gt=0, le=1e9)
    """The longest decay length at the start, nucleotides; pretraining fills in its first window."""
    far: float | None = Field(default=None, gt=0, le=1e9)
    """The longest decay length of the last quarter of the channels, nucleotides, whose filters
    begin at 0: lags that the first window does not hold grow in. Not given: no such channels."""
    hidden: int = Field(default=32, gt=0, le=1 << 16)
    """Width of the small network that makes the static filter from lags."""
    octaves: int = Field(default=8, gt=0, le=64)
    """Octaves of the lag that this network reads, as sines and cosines."""
    threshold: float = Field(default=0.0, ge=0, le=1e3)
    """Lags of the data-dependent filter count only where their mean over channels stands out: above
    this share of how high noise reaches in the window; 0 keeps all of them, .7 has trained well."""
    turned: float = Field(default=0.0, ge=-1e6, le=1e6)
    """Initial gain of the term that reads copies on the other strand; 0: no such term."""
    hash_length: int = Field(default=0, ge=0, le=24)
    """Letters of the k-mers by which stretches that stand twice are found and read, on either
    strand (`ops.pointers`): 9 finds copies that a tenth changed, 11 costs less; 0: none."""
    agreement: float = Field(default=0.95, gt=0, le=1e3)
    """How well the letters of such stretches must agree: a share of what chance reaches."""


class StaticRecipe(FilterRecipe):
    """The static filter alone: an ordinary long convolution (no dependence on the data)."""

    kind: Literal["static"] = "static"

    @model_validator(mode="after")
    def _has_nothing_to_keep(self) -> "StaticRecipe":
        for name in ("threshold", "turned"):
            value = getattr(self, name)
            if value:
                message = "{name} {value:g} is of a data-dependent filter, which static is not"
                message += "; kind correlation or magnitude"
                words = {"name": name, "value": value}
                raise PydanticCustomError(name, message.format(**words))
        return self


class _ConditionedRecipe(FilterRecipe):
    strength: float = Field(default=0.1, ge=-1e6, le=1e6)
    """Initial gain of the data-dependent filter."""
    taps: int = Field(default=3, gt=0, le=1024)
    """Taps of each conditioning convolution along positions (odd)."""
    frequency_taps: int = Field(default=1, gt=0, le=1024)
    """Taps along frequency (odd); more than one binds the weights to the window they were trained
    at."""
    bound: float = Field(default=64.0, gt=0)
    """The most that one frequency's power may count, in units of the mean power."""


class CorrelationRecipe(_ConditionedRecipe):
    """Type II of the paper (equation 3): the filter holds the window's own autocorrelation."""

    kind: Literal["correlation"] = "correlation"


class MagnitudeRecipe(_ConditionedRecipe):
    """Type I of the paper (equation 2): the filter holds the magnitudes of the spectrum."""

    kind: Literal["magnitude"] = "magnitude"


class StaticFilter(nn.Module):
    """h0(lag) = MLP(features(lag)) exp(-|lag| / lambda), for every signed lag below L / 2; spectra
    (C, F).

    Features: sign(lag) log(1 + |lag|), scaled to [-1, 1] at 131,072 nt, and sines and cosines of
    octaves of it.

    Parameters
    ----------
    channels : int
        Filters C; with strand pairs half of the width, for c' has the reversed filter of c.
    recipe : FilterRecipe
        Its size, gain and decay lengths (nucleotides) at the start.
    """

    norm: Tensor

    def __init__(self, channels: int, recipe: FilterRecipe) -> None:
        super().__init__()
        self.octaves = recipe.octaves
        features = 1 + 2 * recipe.octaves
        self.first = nn.Linear(features, recipe.hidden)
        self.second = nn.Linear(recipe.hidden, recipe.hidden)
        self.last = nn.Linear(recipe.hidden, channels, bias=False)
        longest = max(recipe.longest or DEFAULT_LONGEST, recipe.shortest)
        quarter = channels // 4 if recipe.far else 0
        # Evenly in the logarithm: every octave of decay lengths has as many channels.
        spread = torch.linspace(math.log(recipe.shortest), math.log(longest), channels - quarter)
        if recipe.far:
            farthest = math.log(max(recipe.far, longest))
            beyond = torch.linspace(math.log(longest), farthest, quarter + 1)[1:]
            spread = torch.cat((spread, beyond))
        # The logarithm is learned, so that a decay length stays positive.
        self.log_decay = nn.Parameter(spread)
        # A taper's energy grows with its length: so scaled, all channels begin equally strong.
        self.register_buffer(
            "norm", recipe.gain * (2 / spread.exp()).rsqrt().reciprocal(), persistent=False
        )
        self._state: object = None
        self._kept: dict[int, Tensor] = {}
        for layer in (self.first, self.second, self.last):
            nn.init.uniform_(
                layer.weight, -math.sqrt(6 / layer.in_features), math.sqrt(6 / layer.in_features)
            )
        with torch.no_grad():
            # At lags that no window has held yet, any other start would be noise in longer ones.
            self.last.weight[channels - quarter :] = 0

    def lags(self, lag: Tensor) -> Tensor:
        """The filter at signed lags (T,), nucleotides -> (C, T)."""
        hidden = torch.addmm(
            self.first.bias[:, None], self.first.weight, implicit.features(lag, self.octaves)
        ).sin()
        hidden = torch.addmm(self.second.bias[:, None], self.second.weight, hidden).sin()
        # No lower than rounding asks for, as exp is slow where it underflows.
        exponent = -torch.exp(-self.log_decay)[:, None] * lag.abs()
        return (
            (self.last.weight * self.norm[:, None])
            @ hidden
            * exponent.clamp(min=implicit.FARTHEST).exp()
        )

    def taps(self, L: int) -> Tensor:
        """(C, L), lag 0 first, negative lags at the end; at even L the lag L / 2 is the mean of
        both signs.

        The definition of what `forward` transforms, by ordinary autograd.
        """
        weight = self.last.weight
        half = (L - 1) // 2
        lag = torch.arange(-half - 1, half + 2, device=weight.device, dtype=weight.dtype)
        h = self.lags(lag)
        ahead, behind = h[:, half + 1 : -1], h[:, 1 : half + 1]
        middle = [(h[:, :1] + h[:, -1:]) / 2] if L % 2 == 0 else []
        return torch.cat((ahead, *middle, behind), 1)

    def forward(self, L: int) -> Tensor:
        """The spectrum (C, F), F = L // 2 + 1, in float32 or wider whatever the autocast.

        Kept for the last few lengths where nothing is trained, until a parameter changes.
        """
        # A kept spectrum has no graph, and a compiled forward must not change what a module holds.
        if self.training or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self._spectrum(L)
        # Steps and loads in place raise a version; a move changes address or device.
        state = [(p.data_ptr(), p._version, p.dtype, p.device) for p in self.parameters()]
        if state != self._state or len(self._kept) > 3:
            self._state, self._kept = state, {}
        if L not in self._kept:
            self._kept[L] = self._spectrum(L)
        return self._kept[L]

    def _spectrum(self, L: int) -> Tensor:
        return static_spectra([self], L)[0]


def static_spectra(filters: Sequence[StaticFilter], L: int, rows: slice | None = None) -> Tensor:
    """The spectra (N, C, F) of filters of one shape, or of some of their channels, together.

    Each by itself would be a hundred small calls, which is what a GPU waits for.
    """

    def stack(parameter: Callable[[StaticFilter], Tensor]) -> Tensor:
        return torch.stack([parameter(filter) for filter in filters])

    def some(parameter: Tensor) -> Tensor:
        # A slice of everything is no free view: its gradient is two more calls.
        return parameter if rows is None else parameter[rows]

    last = stack(lambda filter: some(filter.last.weight))
    norm = stack(lambda filter: some(filter.norm))
    decay = stack(lambda filter: some(filter.log_decay))
    with torch.autocast(last.device.type, enabled=False):
        return implicit.spectrum(
            stack(lambda filter: filter.first.weight),
            stack(lambda filter: filter.first.bias),
            stack(lambda filter: filter.second.weight),
            stack(lambda filter: filter.second.bias),
            last * norm[..., None],
            torch.exp(-decay),
            L,
        )


class Conditions(NamedTuple):
    """What multiplies the strength of each frequency, each part where it is."""

    gain_CF: Tensor | None
    taps_CJ: Tensor | None
    """Side taps along frequency."""
    turned_CF: Tensor | None
    """The gain of the term that reads turned copies."""


# Complex numbers of all layers' gains together, from which on each layer makes its own when asked.
TOGETHER = 1 << 25


def conditions(layers: Sequence["Conditioning"], L: int) -> list[Conditions] | None:
    """Those of layers of one kind and shape for windows of L letters, together; None where they
    would hold too much at once.
    """
    if layers and len(layers) * layers[0].channels * (L // 2 + 1) > TOGETHER:
        return None
    return layers[0].together(layers, L) if layers else []


class Conditioning(nn.Module):
    """How a filter depends on the data: what multiplies the strength S(v) of each frequency.

    The base of every kind of filter, and itself the one that depends on nothing. `kind` says what
    `ops.long_conv` takes S(v) to be, and `bound` how much one frequency may count.

    Parameters
    ----------
    channels : int
        Filters C, as of `StaticFilter`.
    recipe : FilterRecipe
        That of the kind, an instance of its `Recipe`.
    """

    Recipe: ClassVar[type[FilterRecipe]] = FilterRecipe
    kind: ClassVar[Kind] = "static"
    bound: float = 1.0
    threshold: float = 0.0

    def __init__(self, channels: int, recipe: Any) -> None:
        super().__init__()
        self.channels = channels

    @classmethod
    def together(cls, layers: Sequence[Any], L: int) -> list[Conditions]:
        """Those of several layers of this kind: each by itself, unless a kind has a better way."""
        each = ((layer(L), layer.turned(L)) for layer in layers)
        return [Conditions(gain, taps, turned) for (gain, taps), turned in each]

    def forward(self, L: int) -> tuple[Tensor | None, Tensor | None]:
        """Gain (C, F), F = L // 2 + 1, and side taps along frequency (C, J), each where it is."""
        return None, None

    def turned(self, L: int) -> Tensor | None:
        """The gain (C, F) of the term that reads turned copies, where there is one."""
        return None


class _ByTaps(Conditioning):
    """Short convolutions of v before its spectrum is taken, folded into one gain a frequency.

    Circular linear depthwise taps w multiply a spectrum: F(w * v) = W V.
    """

    convolutions: ClassVar[int]

    def __init__(self, channels: int, recipe: CorrelationRecipe | MagnitudeRecipe) -> None:
        super().__init__(channels, recipe)
        self.bound, self.threshold = recipe.bound, recipe.threshold
        taps = torch.randn(self.convolutions, channels, recipe.taps) * 0.1
        taps[..., recipe.taps // 2] += 1.0
        self.taps = nn.Parameter(taps)
        self.strength = nn.Parameter(torch.full((channels,), recipe.strength))
        side = recipe.frequency_taps // 2
        # Relative to the centre tap, which the gain carries; 0 is one tap, which fits every length.
        self.side = nn.Parameter(torch.zeros(channels, side, 2)) if side else None
        self.turn = None
        if recipe.turned:
            # Reads the very letter at the start, and learns its neighbours.
            centre = functional.one_hot(torch.tensor(recipe.taps // 2), recipe.taps)
            self.turn = nn.Parameter((recipe.turned * centre).repeat(channels, 1))

    @classmethod
    def together(cls, layers: Sequence["_ByTaps"], L: int) -> list[Conditions]:
        sides = [
            None if layer.side is None else torch.view_as_complex(layer.side) for layer in layers
        ]
        turns: list[Tensor] = [layer.turn for layer in layers if layer.turn is not None]
        # Tap spectra of long windows need their float32, whatever the activations.
        with torch.autocast(layers[0].taps.device.type, enabled=False):
            taps = torch.stack([layer.taps for layer in layers], 1)
            strength = torch.stack([layer.strength for layer in layers])
            gains = cls.gain(taps, strength[..., None], L).unbind()
            turned: Sequence[Tensor | None] = [None] * len(layers)
            if turns:
                turned = tap_spectrum(torch.stack(turns), L).unbind()
        return [Conditions(*each) for each in zip(gains, sides, turned, strict=True)]

    def turned(self, L: int) -> Tensor | None:
        return self.together([self], L)[0].turned_CF

    def forward(self, L: int) -> tuple[Tensor | None, Tensor | None]:
        return self.together([self], L)[0][:2]

    @staticmethod
    def gain(taps: Tensor, strength: Tensor, L: int) -> Tensor:
        """What S(v) is multiplied by, (N, C, F), of taps (convolutions, N, C, K) and strengths (N,
        C, 1).
        """
        raise NotImplementedError


@FILTERS.register("correlation")
class Correlation(_ByTaps):
    """Type II: conj(W_k) W_q |V|^2, a gain that is linear in the crossed taps of q and k."""

    Recipe = CorrelationRecipe
    kind = "correlation"
    convolutions = 2

    @staticmethod
    def gain(taps: Tensor, strength: Tensor, L: int) -> Tensor:
        return tap_spectrum(cross_taps(*taps.unbind()) * strength, L)


@FILTERS.register("magnitude")
class Magnitude(_ByTaps):
    """Type I: |W| |V|; |W| is the root of the spectrum of the taps crossed with themselves."""

    Recipe = MagnitudeRecipe
    kind = "magnitude"
    convolutions = 1

    @staticmethod
    def gain(taps: Tensor, strength: Tensor, L: int) -> Tensor:
        square = tap_spectrum(cross_taps(taps[0], taps[0]), L).real
        # The root has no slope at 0, which one tap alone may reach at some frequency.
        root = (square.clamp(min=0) + 1e-12).sqrt() * strength
        return torch.complex(root, torch.zeros_like(root))


@FILTERS.register("static")
class Unconditioned(Conditioning):
    """The static filter alone."""

    Recipe = StaticRecipe


def cross_taps(q_CK: Tensor, k_CK: Tensor) -> Tensor:
    """The taps (..., C, 2 K - 1) whose spectrum is W_q conj(W_k): at lag m, the sum over q[a] k[b]
    with a - b = m.
    """
    K = q_CK.shape[-1]
    lag = torch.arange(1 - K, K, device=q_CK.device)
    # Not `one_hot`, which makes a GPU wait for the largest lag.
    difference = (lag[K - 1 :, None] - lag[K - 1 :]).view(-1, 1)
    where = (difference == lag).to(q_CK.dtype)
    return (q_CK[..., :, None] * k_CK[..., None, :]).flatten(-2) @ where


def tap_spectrum(taps: Tensor, L: int) -> Tensor:
    """The spectra (..., F) over L of centred taps (..., K): tap K // 2 is lag 0; taps wrap where K
    > L.
    """
    K = taps.shape[-1]
    lag = torch.arange(K, device=taps.device) - K // 2
    f = torch.arange(L // 2 + 1, device=taps.device)
    # Modulo L in integers: after many turns float32 has no digits left for an angle.
    angle = ((lag[:, None] * f[None, :]) % L).to(taps.dtype) * (2 * math.pi / L)
    wave = torch.stack((angle.cos(), -angle.sin()), -1).view(K, -1)
    return torch.view_as_complex((taps @ wave).view(*taps.shape[:-1], -1, 2))


def short_conv(x_BDL: Tensor, taps_DK: Tensor) -> Tensor:
    """Depthwise circular convolution with centred taps as shifted adds; (B, D, L)."""
    K = taps_DK.shape[-1]
    y_BDL = x_BDL.roll(-(K // 2), -1) * taps_DK[..., 0, None]
    for k in range(1, K):
        y_BDL = y_BDL + x_BDL.roll(k - K // 2, -1) * taps_DK[..., k, None]
    return y_BDL
