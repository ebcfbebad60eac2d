"""An encoder with everything that is not linear as modules without parameters, each with a DeepLIFT
rule of its own.

Attribution libraries hang their rules on modules, so a product written as a bare function is linear
to them: the operator multiplies a spectrum by one that depends on the same letters, and DeepLIFT
without rules for that misses the difference by more than many an effect. `Unfused` runs
`Block.plain` (the definition that the fused forward is held to) with these modules in place of its
functions, on the weights of the model that it is given. The trap: captum's own DeepLift knows no
rule for a product of two activations and takes one half of it as constant; it is not offered here.

A module has one tensor for input, its operands stacked along dim 1, for a hook is given the first
input alone.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from orchid_genomics.explain import rules
from orchid_genomics.model.orchid import Encoding, Mixer, Orchid, Parts
from orchid_genomics.model.pooling import PoolParts
from orchid_genomics.model.words import word_counts
from orchid_genomics.ops import standing
from orchid_genomics.ops.products import EPS
from orchid_genomics.ops.reference import TINY, both_strands, frequency_conv, half_weights

Rule = Callable[[Any, Any, tuple[Tensor]], tuple[Tensor]]


class Product(nn.Module):
    """a b of (B, 2, ...)."""

    def forward(self, ab: Tensor) -> Tensor:
        return ab[:, 0] * ab[:, 1]


class Quotient(nn.Module):
    """a / b of (B, 2, ...)."""

    def forward(self, ab: Tensor) -> Tensor:
        return ab[:, 0] / ab[:, 1]


class SpectrumProduct(nn.Module):
    """The complex product of (B, 2, ..., 2), real and imaginary parts last."""

    def forward(self, ab: Tensor) -> Tensor:
        a, b = torch.view_as_complex(ab).unbind(1)
        return torch.view_as_real(a * b)


class Power(nn.Module):
    """The squared magnitude of (..., 2)."""

    def forward(self, v: Tensor) -> Tensor:
        return v.square().sum(-1)


class Magnitude(nn.Module):
    """The absolute value."""

    def forward(self, x: Tensor) -> Tensor:
        return x.abs()


class Root(nn.Module):
    """The square root, with slope 0 at 0."""

    def forward(self, x: Tensor) -> Tensor:
        # 1 in place of 0, where the slope of the root is infinite.
        return torch.where(x > 0, x, 1.0).sqrt() * (x > 0)


class LogSoftmax(nn.Module):
    """The logarithm of the softmax over the last axis."""

    def forward(self, x: Tensor) -> Tensor:
        return x.log_softmax(-1)


class Maximum(nn.Module):
    """The maximum over the last axis."""

    def forward(self, x: Tensor) -> Tensor:
        return x.amax(-1)


class Counts(nn.Module):
    """How often words stand in (B, 4, L); the length of a word and its gap are said before."""

    letters, gap = 6, 0

    def of_words(self, x_B4L: Tensor, letters: int, gap: int) -> Tensor:
        """What `model.words.word_counts` gives."""
        self.letters, self.gap = letters, gap
        return self(x_B4L)

    def forward(self, x_B4L: Tensor) -> Tensor:
        return word_counts(x_B4L, self.letters, self.gap)


def attribution_ops() -> dict[type[nn.Module], Rule]:
    """The rules of the modules above: `deep_lift_shap(...,
    additional_nonlinear_ops=attribution_ops())`.

    Each is exact: multipliers times differences of the inputs are the difference of the output.
    Rules for the other modules of the unfused form (RMSNorm, GELU, Softmax) are tangermeme's own.
    """
    return {
        Product: rules.product,
        Quotient: rules.quotient,
        SpectrumProduct: rules.spectrum_product,
        Power: rules.power,
        Root: rules.root,
        Magnitude: rules.magnitude,
        LogSoftmax: rules.log_softmax,
        Maximum: rules.maximum,
        Counts: rules.word_counts,
    }


class Unfused(nn.Module):
    """The modules that an encoder needs in place of its functions; holds no parameters and no
    reference to it.
    """

    def __init__(self, encoder: Orchid) -> None:
        super().__init__()
        width = encoder.recipe.width
        self.convolutions = nn.ModuleList(ConvolutionParts(width) for _ in encoder.convolutions)
        self.mixers = nn.ModuleList(MixerParts(width) for _ in encoder.blocks)
        self.mlps = nn.ModuleList(MLPParts(width) for _ in encoder.blocks)
        self.unit, self.log_softmax, self.share = Unit(width), LogSoftmax(), Product()
        self.softmax, self.average = nn.Softmax(2), Product()
        self.motif_gelu, self.maximum, self.relu = nn.GELU(), Maximum(), nn.ReLU()
        self.counts = Counts()

    def encoding(
        self, encoder: Orchid, letters_BVL: Tensor, mask_BL: Tensor | None = None
    ) -> Encoding:
        """What `encoder.encoding` gives."""
        x_BDL, motifs_BDL = encoder.embed(letters_BVL, self.motif_gelu)
        pointers = encoder.pointers(letters_BVL)
        layers: Iterable[Any] = zip(encoder.convolutions, self.convolutions, strict=True)
        for convolution, own in layers:
            x_BDL = convolution.plain(x_BDL, mask_BL, own.unit, own.gelu)
        modules: Iterable[Any] = zip(encoder.blocks, self.mixers, self.mlps, strict=True)
        for block, mixer, mlp in modules:
            x_BDL = block.plain(x_BDL, mask_BL, (mixer.parts(block.mixer), mlp.parts()), pointers)
        vectors_BLD = encoder.norm(x_BDL, self.unit).transpose(1, 2)
        return Encoding(vectors_BLD, x_BDL, motifs_BDL, letters_BVL)

    @property
    def pooling(self) -> PoolParts:
        """What a pooled head, or a CNN, takes in place of its functions."""
        return PoolParts(
            self.averaged, self.maximum, self.largest_of, self.relu, self.counts.of_words
        )

    def largest_of(self, x_BCL: Tensor, count: int) -> Tensor:
        """What max pooling gives, (B, C, L // count)."""
        whole = x_BCL.shape[-1] // count * count
        return self.maximum(x_BCL[..., :whole].unflatten(-1, (-1, count)))

    def averaged(self, score_BQL: Tensor, x_BCL: Tensor) -> Tensor:
        """What `model.pooling.softmax_average` gives, (B, Q, C)."""
        weights = self.softmax(score_BQL)[:, :, None]
        return self.average(pair(*torch.broadcast_tensors(weights, x_BCL[:, None]))).sum(-1)

    @property
    def hooked(self) -> bool:
        """Whether something has put a hook on one of the modules: then it wants them to run."""
        return any(module._forward_hooks or module._backward_hooks for module in self.modules())


class Unit(nn.Module):
    """x over its root mean square over channels, (B, D, L); its rule is the RMSNorm's inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width, EPS, elementwise_affine=False)

    def forward(self, x_BDL: Tensor) -> Tensor:
        return self.norm(x_BDL.transpose(1, 2)).transpose(1, 2)


class ConvolutionParts(nn.Module):
    """What is not linear in a full convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.unit, self.gelu = Unit(width), nn.GELU()


class MLPParts(nn.Module):
    """What an MLP multiplies with."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.unit, self.gelu, self.gate = Unit(width), nn.GELU(), Product()

    def parts(self) -> Parts:
        return Parts(self.unit, _of_pair(self.gate), gelu=self.gelu)


class Kept(nn.Module):
    """Lags (B, C, L) by how far their mean over channels stands out, as `standing.keep`."""

    def __init__(self) -> None:
        super().__init__()
        self.size, self.ratio, self.sigmoid = Magnitude(), Quotient(), nn.Sigmoid()
        self.product = Product()

    def forward(self, lags_BCL: Tensor, threshold: float, skip_lag_0: bool = False) -> Tensor:
        L = lags_BCL.shape[-1]
        mean_B1L = lags_BCL.mean(1, keepdim=True)
        sized = mean_B1L[..., 1:] if skip_lag_0 and L > 1 else mean_B1L
        deviation = standing.NORMAL * self.size(sized).mean(-1, keepdim=True) + standing.LEAST
        height = self.ratio(pair(mean_B1L, deviation.expand_as(mean_B1L)))
        weight = self.sigmoid(standing.SLOPE * (height - standing.reach(threshold, L)))
        return self.product(pair(lags_BCL, weight.expand_as(lags_BCL)))


class MixerParts(nn.Module):
    """What a mixer multiplies with; the operator as transforms, sums and modules."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.unit = Unit(width)
        self.enter, self.leave = Product(), Product()
        self.power, self.strength, self.root, self.spectrum = (
            Power(),
            Quotient(),
            Root(),
            SpectrumProduct(),
        )
        self.kept_lags, self.kept_places = Kept(), Kept()
        self.power_one, self.power_other, self.pair_scale = Power(), Power(), Quotient()
        self.pair_spectrum, self.turned_spectrum = SpectrumProduct(), SpectrumProduct()

    def parts(self, mixer: Mixer) -> Parts:
        convolve = partial(self.convolve, mixer)
        return Parts(self.unit, _of_pair(self.enter), _of_pair(self.leave), convolve=convolve)

    def convolve(
        self, mixer: Mixer, z_BDL: Tensor, v_BDL: Tensor, mask_BL: Tensor | None
    ) -> Tensor:
        """h(v) * z, as `ops.long_conv`."""
        D, L = z_BDL.shape[1:]
        static, gain, taps, turned = mixer.spectra(L)
        Z, H = torch.fft.rfft(z_BDL), both_strands(static, D)
        if gain is None:
            return torch.fft.irfft(H * Z, n=L)
        taps = None if taps is None else both_strands(taps, D)
        threshold = mixer.conditioning.threshold
        S = self._strength(mixer, v_BDL, mask_BL)
        if threshold:
            lags = torch.fft.irfft(S.to(H.dtype), n=L)
            S = torch.fft.rfft(self.kept_lags(lags, threshold, skip_lag_0=True)).real
        H = H + frequency_conv(both_strands(gain, D) * S, taps, L)
        Y = _multiply_spectra(self.spectrum, H, Z)
        if turned is not None:
            Y = Y + self._turn(mixer, turned, Z, standing.centre(v_BDL, mask_BL))
        return torch.fft.irfft(Y, n=L)

    def _turn(self, mixer: Mixer, turned_CF: Tensor, Z: Tensor, v_BDL: Tensor) -> Tensor:
        """The spectra of what is read of turned copies, as `standing.turn`."""
        L, threshold = v_BDL.shape[-1], mixer.conditioning.threshold
        one, other = torch.fft.rfft(v_BDL).chunk(2, 1)
        bins = []
        for module, V in ((self.power_one, one), (self.power_other, other)):
            bins.append(functional.pad(module(torch.view_as_real(V[..., 1:])), (1, 0)))
        power = (bins[0] + bins[1]) / 2
        scale = standing.mean_power(power, L) + TINY + power / mixer.conditioning.bound
        product = _multiply_spectra(self.pair_spectrum, one, other)[..., 1:]
        # One quotient for the real and one for the imaginary part, of the same divisor.
        parts = torch.view_as_real(functional.pad(product, (1, 0)))
        divisor = scale[..., None].expand_as(parts)
        U = torch.view_as_complex(self.pair_scale(pair(parts, divisor)).contiguous())
        if threshold:
            U = torch.fft.rfft(self.kept_places(torch.fft.irfft(U, n=L), threshold))
        swapped = torch.cat(Z.conj_physical().chunk(2, 1)[::-1], 1)
        both = torch.cat((turned_CF * U, turned_CF.conj_physical() * U), 1)
        return _multiply_spectra(self.turned_spectrum, both, swapped)

    def _strength(self, mixer: Mixer, v_BDL: Tensor, mask_BL: Tensor | None) -> Tensor:
        L = v_BDL.shape[-1]
        if mask_BL is not None:
            letters = mask_BL.sum(-1)[:, None, None].clamp(min=1)
            v_BDL = (v_BDL - (v_BDL * mask_BL[:, None]).sum(-1, keepdim=True) / letters) * mask_BL[
                :, None
            ]
        # DC is no part of the power; its place is filled with 0.
        power = functional.pad(
            self.power(torch.view_as_real(torch.fft.rfft(v_BDL)[..., 1:])), (1, 0)
        )
        mean = (power * half_weights(L, power)).sum(-1, keepdim=True) / L
        # P / mean / (1 + P / (mean bound)) as one quotient, which needs one rule.
        strength = self.strength(pair(power, mean + TINY + power / mixer.conditioning.bound))
        return strength if mixer.conditioning.kind == "correlation" else self.root(strength)


def _multiply_spectra(module: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    """The product of two spectra by a `SpectrumProduct`."""
    # A view as reals needs conjugates that are written out.
    product = module(pair(*(torch.view_as_real(part.resolve_conj()) for part in (a, b))))
    return torch.view_as_complex(product)


def pair(a: Tensor, b: Tensor) -> Tensor:
    """Two operands as the one tensor that a module takes."""
    return torch.stack((a, b), 1)


def _of_pair(module: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda a, b: module(pair(a, b))
