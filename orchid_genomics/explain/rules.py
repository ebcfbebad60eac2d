"""DeepLIFT rules of products, quotients and the other steps that are not linear; each is exact.

A rule takes (module, grad_input, grad_output) as tangermeme (>= 1.6) hands them: `module.input`
holds the sequences and then their references along dim 0, and the multipliers of a pair serve both
of its halves. The trap: exact means that multipliers times the differences of the inputs give the
difference of the output, however far apart the two are; so they are secants in closed form, never
quotients of differences, which lose their digits where the two are close.
"""

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor


class Step(Protocol):
    """A module whose input tangermeme has kept."""

    @property
    def input(self) -> Tensor: ...


class Polynomial(Step, Protocol):
    """One that counts words, which is a polynomial of degree `letters`."""

    letters: int

    def forward(self, x: Tensor) -> Tensor: ...


def product(module: Step, _: Any, grad_output: tuple[Tensor]) -> tuple[Tensor]:
    """a b - a' b' = (b + b') / 2 (a - a') + (a + a') / 2 (b - b')."""
    return (torch.stack((grad_output[0], grad_output[0]), 1) * _middle(module).flip(1),)


def spectrum_product(module: Step, _: Any, grad_output: tuple[Tensor]) -> tuple[Tensor]:
    """The same of complex numbers, each as a pair (real, imaginary)."""
    middle, g = (
        torch.view_as_complex(_middle(module)),
        torch.view_as_complex(grad_output[0].contiguous()),
    )
    return (torch.view_as_real(g[:, None] * middle.flip(1).conj()),)


def quotient(module: Step, _: Any, grad_output: tuple[Tensor]) -> tuple[Tensor]:
    """a / b as the product of a and 1 / b, whose secant is -1 / (b b')."""
    (a, b), (a_, b_) = (half.unbind(1) for half in module.input.chunk(2))
    by_a = (1 / b + 1 / b_) / 2
    by_b = -(a / b / b_ + a_ / b_ / b) / 2
    multiplier = torch.stack((by_a, by_b), 1)
    return (torch.stack((grad_output[0], grad_output[0]), 1) * torch.cat((multiplier, multiplier)),)


def power(module: Step, _: Any, grad_output: tuple[Tensor]) -> tuple[Tensor]:
    """v v - v' v' = (v + v') (v - v'), for the real and the imaginary part."""
    return (grad_output[0][..., None] * (2 * _middle(module)),)


def root(module: Step, _: Any, grad_output: tuple[Tensor]) -> tuple[Tensor]:
    """The secant of the square root is 1 / (sqrt x + sqrt x'); 0 where both are 0."""
    x, x_ = module.input.chunk(2)
    roots = x.sqrt() + x_.sqrt()
    secant = torch.where(roots > 0, 1 / torch.where(roots > 0, roots, 1), 0)
    return (grad_output[0] * torch.cat((secant, secant)),)


def magnitude(module: Step, _: Any, grad_output: tuple[Tensor]) -> tuple[Tensor]:
    """|x| - |x'| = (x + x') / (|x| + |x'|) (x - x'); 0 where both are 0."""
    x, x_ = module.input.chunk(2)
    sizes = x.abs() + x_.abs()
    secant = torch.where(sizes > 0, (x + x_) / torch.where(sizes > 0, sizes, 1), 0)
    return (grad_output[0] * torch.cat((secant, secant)),)


def log_softmax(module: Step, _: Any, grad_output: tuple[Tensor]) -> tuple[Tensor]:
    """x - log s with s the sum of exp(x): the secants of exp and of log, one after the other."""
    # In float64, as secants of what is close lose their digits.
    x, x_ = (half.double() for half in module.input.chunk(2))
    # One shift for both, or their exponentials could not be compared.
    most = torch.maximum(x, x_).amax(-1, keepdim=True)
    e, e_ = (x - most).exp(), (x_ - most).exp()
    s, s_ = e.sum(-1, keepdim=True), e_.sum(-1, keepdim=True)
    by_e = _secant((s / s_).log(), s - s_, 1 / s_)
    by_x = _secant(e - e_, x - x_, e_) * by_e
    g = grad_output[0].double()
    return ((g - g.sum(-1, keepdim=True) * torch.cat((by_x, by_x))).to(grad_output[0].dtype),)


def maximum(module: Step, _: Any, grad_output: tuple[Tensor]) -> tuple[Tensor]:
    """The higher of two maxima stands at one place; that place alone made the difference.

    With m = max x above m' = max x' it is the place of m, whose own difference is at least m - m':
    the multiplier lies between 0 and 1. Where it is m' that is higher, the place of m'.
    """
    x, x_ = module.input.chunk(2)
    most, at = x.max(-1, keepdim=True)
    most_, at_ = x_.max(-1, keepdim=True)
    place = torch.where(most >= most_, at, at_)
    run = x.gather(-1, place) - x_.gather(-1, place)
    same = run == 0
    share = torch.where(same, 1.0, (most - most_) / torch.where(same, 1.0, run))
    multiplier = torch.zeros_like(x).scatter_(-1, place, share)
    return (grad_output[0][..., None] * torch.cat((multiplier, multiplier)),)


def word_counts(module: Polynomial, _: Any, grad_output: tuple[Tensor]) -> tuple[Tensor]:
    """The mean slope on the way from the reference to the sequence, exact: the counts are a
    polynomial of degree `letters` along it, which Gauss and Legendre's nodes integrate (the
    multipliers are Aumann and Shapley's).
    """
    x, x_ = module.input.chunk(2)
    nodes, shares = np.polynomial.legendre.leggauss((module.letters + 1) // 2)
    multiplier = torch.zeros_like(module.input)
    for node, share in zip((1 + nodes) / 2, shares / 2, strict=True):
        between = x_ + float(node) * (x - x_)
        point = torch.cat((between, between)).detach().requires_grad_()
        with torch.enable_grad():
            counts = module.forward(point)
        slope = torch.autograd.grad(counts, point, grad_output[0])[0]
        multiplier += float(share) * slope
    return (multiplier,)


def _middle(module: Step) -> Tensor:
    """Half way between the sequences' inputs and their references', once for each half of the
    batch.
    """
    sequence, reference = module.input.chunk(2)
    middle = (sequence + reference) / 2
    return torch.cat((middle, middle))


def _secant(rise: Tensor, run: Tensor, slope: Tensor) -> Tensor:
    """rise / run; the slope where there is hardly any run (in float64)."""
    close = run.abs() < 1e-9
    return torch.where(close, slope, rise / torch.where(close, 1, run))
