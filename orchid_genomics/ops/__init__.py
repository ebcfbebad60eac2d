"""One operator, one signature, several backends: the data-dependent long convolution.

The trap: the convolution is circular over exactly L positions, so the two ends of a window are
neighbours.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from orchid_genomics.errors import MachineError, NumericError
from orchid_genomics.ops import fft, gates, mlp, norm, reference, standing, triton
from orchid_genomics.registry import Registry

Kind = Literal["correlation", "magnitude", "static"]


class Backend(NamedTuple):
    """Who computes the operator, and the fused parts of a block around it.

    `long_conv` takes what `ops.long_conv` has checked, by position: z, v, static, gain, taps, mask,
    kind and bound. `standing` takes threshold and turned as well; without it a backend refuses
    them. The other parts (`ops.gates`, `ops.mlp`, `ops.norm`) are written in torch and serve any
    backend; one for another device may bring its own.
    """

    long_conv: Callable[..., Tensor]
    enter: Callable[..., list[Tensor]] = gates.enter
    leave: Callable[..., Tensor] = gates.leave
    gated_mlp: Callable[..., Tensor] = mlp.gated_mlp
    standing: Callable[..., Tensor] | None = None
    norm: Callable[..., Tensor] = norm.norm


BACKENDS: Registry[Backend] = Registry("backend")
BACKENDS["fft"] = Backend(fft.long_conv, standing=standing.long_conv)
BACKENDS["reference"] = Backend(reference.long_conv, standing=standing.plain)
BACKENDS["triton"] = Backend(
    triton.long_conv, triton.enter, triton.leave, triton.gated_mlp, norm=triton.norm
)


def _by_device(part: str) -> Callable[..., Any]:
    """A part of the backend that suits the device of the first tensor."""

    def run(x: Tensor, *others: Any) -> Any:
        name = "triton" if x.is_cuda and triton.installed() else "fft"
        return getattr(BACKENDS[name], part)(x, *others)

    return run


BACKENDS["auto"] = Backend(
    _by_device("long_conv"),
    _by_device("enter"),
    _by_device("leave"),
    _by_device("gated_mlp"),
    standing.long_conv,
    _by_device("norm"),
)


def long_conv(
    z_BDL: Tensor,
    v_BDL: Tensor,
    static_CF: Tensor,
    gain_CF: Tensor | None = None,
    taps_CJ: Tensor | None = None,
    mask_BL: Tensor | None = None,
    *,
    kind: Kind = "correlation",
    bound: float = 64.0,
    backend: str = "auto",
    threshold: float = 0.0,
    turned_CF: Tensor | None = None,
) -> Tensor:
    """Convolve z circularly with a filter that depends on v: y = h(v) * z.

    The filter's spectrum is ``static + conv(gain * S(v), taps)``. With v centred per channel and P
    its power spectrum divided by its mean over all frequencies, S is ``P / (1 + P / bound)`` (Type
    II, "correlation") or the root of that (Type I, "magnitude"); "static" leaves the data-dependent
    part out.

    Parameters
    ----------
    z_BDL, v_BDL : real (B, D, L), float32, float64 or bfloat16 (transformed in float32); zero where
        masked out.
    static_CF : complex (C, F), F = L // 2 + 1. With C = D // 2 the channels are strand pairs:
        channel C + c is convolved with the conjugate spectra (the reversed filter) of channel c.
    gain_CF : complex (C, F), the spectrum of the short filters that condition (`model.filters`);
        None for "static".
    taps_CJ : complex side taps t_1..t_J of the convolution along frequency; t_0 is 1, and t_-j the
        conjugate of t_j.
    mask_BL : 1 at real letters, 0 at padding; None when every position is real.
    kind : "correlation", "magnitude" or "static".
    bound : the most that one frequency's power may count, in units of the mean power.
    backend : a name in `BACKENDS`.
    threshold : keep the lags (and sums of places) whose mean over channels stands out: above this
        share of how high noise reaches, see `standing.keep`; 0 keeps all.
    turned_CF : complex (C, F) with C = D // 2, the gain T of the term that reads turned copies,
        ``y_c += T V_c V_c' conj(Z_c')`` in spectra (`standing.pair_spectrum`); None: no such term.

    Returns
    -------
    y (B, D, L), of the type of z.

    Raises
    ------
    MachineError : for a backend or dtype that cannot run here.
    NumericError : for NaN or infinite input.

    Notes
    -----
    Three real transforms forward, five backward: O(B D L log L). A threshold adds two, the turned
    term one more with a threshold and none without; both by ordinary autograd.
    Karami & Ghodsi 2024 (arXiv:2402.18508v3), equations 1-3.
    """
    compute = BACKENDS.pick(backend, "backend", MachineError).long_conv
    for name, tensor in (("z", z_BDL), ("v", v_BDL)):
        if tensor.dtype == torch.float16:
            message = "float16 overflows in power spectra"
            raise MachineError(f"long_conv: {name}", message, "float32, float64 or bfloat16")
    _check_signals(z_BDL, v_BDL)
    _check_filter(z_BDL, static_CF, gain_CF, kind)
    _check_extras(z_BDL, static_CF, taps_CJ, mask_BL)
    # Inside a compiled graph a lazy conjugate is forgotten: make all of them physical.
    spectra = [None if s is None else s.resolve_conj() for s in (static_CF, gain_CF, taps_CJ)]
    if not threshold and turned_CF is None:
        return compute(z_BDL, v_BDL, *spectra, mask_BL, kind, bound)
    _check_standing(z_BDL, gain_CF, threshold, turned_CF)
    lookup = BACKENDS[backend].standing
    if lookup is None:
        possible = ", ".join(name for name, each in BACKENDS.present().items() if each.standing)
        raise MachineError(f"backend {backend}", "has no threshold and no turned term", possible)
    return lookup(z_BDL, v_BDL, *spectra, mask_BL, kind, bound, threshold, turned_CF)


def _check_signals(z_BDL: Tensor, v_BDL: Tensor) -> None:
    z, v = tuple(z_BDL.shape), tuple(v_BDL.shape)
    if v != z or z_BDL.ndim != 3 or z[2] < 1:
        raise ValueError(f"z {z} and v {v} must be equal (B, D, L) with L >= 1")


def _check_filter(z_BDL: Tensor, static_CF: Tensor, gain_CF: Tensor | None, kind: str) -> None:
    D, L = z_BDL.shape[1:]
    C, F = static_CF.shape if static_CF.ndim == 2 else (0, 0)
    if F != L // 2 + 1 or C not in (D, D // 2) or (C != D and D % 2):
        right = f"(D or D / 2, L // 2 + 1) = ({D} or {D // 2}, {L // 2 + 1})"
        raise ValueError(f"static {tuple(static_CF.shape)} must be {right}")
    if kind not in get_args(Kind):
        raise ValueError(f"kind {kind!r} is not correlation, magnitude or static")
    gain = None if gain_CF is None else tuple(gain_CF.shape)
    if gain != (None if kind == "static" else (C, F)):
        raise ValueError(f"kind {kind!r} with gain {gain}")


def _check_extras(
    z_BDL: Tensor, static_CF: Tensor, taps_CJ: Tensor | None, mask_BL: Tensor | None
) -> None:
    (B, _, L), C = z_BDL.shape, static_CF.shape[0]
    if taps_CJ is not None and (taps_CJ.ndim != 2 or taps_CJ.shape[0] != C):
        raise ValueError(f"taps {tuple(taps_CJ.shape)} must be (C, J) = ({C}, side taps)")
    if mask_BL is not None and mask_BL.shape != (B, L):
        raise ValueError(f"mask {tuple(mask_BL.shape)} must be (B, L) = ({B}, {L})")


def _check_standing(
    z_BDL: Tensor, gain_CF: Tensor | None, threshold: float, turned_CF: Tensor | None
) -> None:
    if gain_CF is None:
        raise ValueError("a threshold or turned term needs a filter that depends on the data")
    if threshold < 0:
        raise ValueError(f"threshold {threshold} is below 0")
    _, D, L = z_BDL.shape
    turned = None if turned_CF is None else tuple(turned_CF.shape)
    if turned is not None and (D % 2 or turned != (D // 2, L // 2 + 1)):
        right = f"(D / 2, L // 2 + 1) = ({D // 2}, {L // 2 + 1}), of strand pairs"
        raise ValueError(f"turned {turned} must be {right}")
    # A check reads data: it would break a compiled graph, and make a GPU wait.
    if torch.compiler.is_compiling() or z_BDL.device.type != "cpu":
        return
    for name, tensor in (("z", z_BDL), ("gain", gain_CF), ("turned", turned_CF)):
        if tensor is not None and not torch.isfinite(tensor).all():
            raise NumericError(f"long_conv: {name}", "holds NaN or infinity", "finite numbers")


__all__ = ["BACKENDS", "Backend", "Kind", "NumericError", "long_conv"]
