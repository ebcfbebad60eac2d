"""What a user would otherwise pick, written plainly from the published descriptions and then left
alone.

`Hyena` is the HyenaDNA block (Nguyen et al. 2023, arXiv:2306.15794; the operator of Poli et al.
2023, arXiv:2302.10866): causal, order 2, an implicit filter, transforms of length 2 L.
`Transformer` is a bidirectional encoder on torch's scaled_dot_product_attention with rotary
positions. `unfused` is the Orchid operator as the paper states it (Karami & Ghodsi 2024,
arXiv:2402.18508, equations 1-3): short convolutions in the time domain, one transform each,
ordinary autograd. All read tokens (B, L) and give logits (B, L, letters) in float32.

The trap: these are yardsticks. They are frozen, so that a ratio of today compares with one of next
year. Run by ``python benchmarks/peers.py``: parameter counts and checks.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

LETTERS = 4


class HyenaFilter(nn.Module):
    """h(t) = MLP(positional features of t) exp(-decay t / L), t = 0..L-1, through sines; (D, L).

    The features are t / L and two bands of a cosine and a sine; the decays span the channels, from
    0.3 to 1.5 of the window until the filter has fallen to a hundredth.
    """

    def __init__(
        self, width: int, hidden: int = 64, bands: int = 2, frequency: float = 10.0
    ) -> None:
        super().__init__()
        self.bands = bands
        self.first = nn.Linear(1 + 2 * bands, hidden)
        self.inner = nn.ModuleList((nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)))
        self.last = nn.Linear(hidden, width, bias=False)
        self.frequency = nn.Parameter(torch.full((hidden,), frequency))
        slowest, fastest = math.log(100) / 1.5, math.log(100) / 0.3
        self.register_buffer("decay", torch.linspace(slowest, fastest, width), persistent=False)

    def forward(self, L: int) -> Tensor:
        t_L = torch.linspace(0, 1, L, device=self.decay.device)
        band = torch.linspace(1e-4, self.bands - 1, self.bands, device=self.decay.device)
        angle = 2 * math.pi * torch.arange(L, device=self.decay.device)[:, None] / L * band
        h = torch.cat((t_L[:, None], angle.cos(), -angle.sin()), 1)
        h = torch.sin(self.frequency * self.first(h))
        for layer in self.inner:
            h = torch.sin(self.frequency * layer(h))
        return (self.last(h) * torch.exp(-t_L[:, None] * self.decay)).T


class HyenaOperator(nn.Module):
    """Order 2: out = Linear(x1 (h * (x2 v) + bias x2 v)), (x1, x2, v) = causal short conv of
    Linear(x).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inside, self.outside = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.short = nn.Conv1d(3 * width, 3 * width, 3, padding=2, groups=3 * width)
        self.filter = HyenaFilter(width)
        self.bias = nn.Parameter(torch.randn(width))

    def forward(self, x_BLD: Tensor) -> Tensor:
        L = x_BLD.shape[1]
        x1, x2, v = self.short(self.inside(x_BLD).transpose(1, 2))[..., :L].chunk(3, 1)
        z = v * x2
        spectrum = torch.fft.rfft(z, n=2 * L) * torch.fft.rfft(self.filter(L), n=2 * L)
        y = torch.fft.irfft(spectrum, n=2 * L)[..., :L] + z * self.bias[:, None]
        return self.outside((y * x1).transpose(1, 2))


class Attention(nn.Module):
    """Multi-head attention over the whole window, rotary positions."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inside, self.outside = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x_BLD: Tensor) -> Tensor:
        B, L, D = x_BLD.shape
        q, k, v = self.inside(x_BLD).view(B, L, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        out = functional.scaled_dot_product_attention(rotated(q), rotated(k), v)
        return self.outside(out.transpose(1, 2).reshape(B, L, D))


def rotated(x_BHLE: Tensor) -> Tensor:
    """Rotary positions (Su et al. 2021): pairs of channels turned by an angle that grows with
    position.
    """
    L, E = x_BHLE.shape[-2:]
    rate = 10_000.0 ** (-torch.arange(0, E, 2, device=x_BHLE.device) / E)
    angle = torch.arange(L, device=x_BHLE.device)[:, None] * rate
    a, b = x_BHLE.chunk(2, -1)
    return torch.cat((a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()), -1)


class Layer(nn.Module):
    """x + mixer(norm x); x + MLP(norm x): pre-LayerNorm, GELU, four times the width."""

    def __init__(self, width: int, mixer: nn.Module) -> None:
        super().__init__()
        self.before, self.mixer = nn.LayerNorm(width), mixer
        self.between = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width)
        )

    def forward(self, x_BLD: Tensor) -> Tensor:
        x_BLD = x_BLD + self.mixer(self.before(x_BLD))
        return x_BLD + self.mlp(self.between(x_BLD))


class _Peer(nn.Module):
    def __init__(self, width: int, mixers: list[nn.Module], codes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codes, width)
        self.layers = nn.Sequential(*(Layer(width, mixer) for mixer in mixers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, LETTERS)

    def forward(self, tokens_BL: Tensor) -> Tensor:
        return self.head(self.norm(self.layers(self.embedding(tokens_BL.long()))))


class Hyena(_Peer):
    """The HyenaDNA form: logits at t depend on tokens up to t."""

    def __init__(self, width: int = 128, depth: int = 2, codes: int = 8) -> None:
        super().__init__(width, [HyenaOperator(width) for _ in range(depth)], codes)


class Transformer(_Peer):
    """A bidirectional transformer; heads of 32 channels unless told."""

    def __init__(
        self, width: int = 128, depth: int = 2, codes: int = 8, heads: int | None = None
    ) -> None:
        super().__init__(
            width, [Attention(width, heads or max(1, width // 32)) for _ in range(depth)], codes
        )


def unfused(
    z_BDL: Tensor,
    v_BDL: Tensor,
    static_DF: Tensor,
    taps_KDJ: Tensor,
    frequency_taps_DJ: Tensor,
    kind: str = "correlation",
) -> Tensor:
    """The paper's operator: y = irfft((H0 + Conv_freq(...)) rfft(z)).

    "correlation" (Type II): conj(F(Conv_k v)) F(Conv_q v), taps (2, D, J); "magnitude" (Type I):
    |F(Conv v)|, taps (1, D, J). Depthwise circular convolutions in time, as torch's conv1d; real
    depthwise taps (D, J) along frequency.
    """
    D, L = z_BDL.shape[1:]
    reach = taps_KDJ.shape[-1] // 2
    wrapped = functional.pad(v_BDL, (reach, reach), mode="circular")
    spectra = [
        torch.fft.rfft(functional.conv1d(wrapped, taps[:, None], groups=D)) for taps in taps_KDJ
    ]
    conditioned = spectra[0].conj() * spectra[1] if kind == "correlation" else spectra[0].abs()
    reach = frequency_taps_DJ.shape[-1] // 2
    if reach:
        parts = (
            torch.view_as_real(conditioned).movedim(-1, 0)
            if conditioned.is_complex()
            else conditioned[None]
        )
        parts = [
            functional.conv1d(part, frequency_taps_DJ[:, None], padding=reach, groups=D)
            for part in parts
        ]
        conditioned = torch.complex(*parts) if len(parts) == 2 else parts[0]
    else:
        conditioned = conditioned * frequency_taps_DJ
    return torch.fft.irfft((static_DF + conditioned) * torch.fft.rfft(z_BDL), n=L)


def main() -> None:
    torch.manual_seed(0)
    tokens = torch.randint(0, LETTERS, (2, 96), dtype=torch.uint8)
    for name, model in (("Hyena", Hyena()), ("Transformer", Transformer())):
        model.eval().requires_grad_(False)
        changed = tokens.clone()
        changed[:, 48] = (changed[:, 48] + 1) % LETTERS
        before, after = model(tokens), model(changed)
        if before.shape != (*tokens.shape, LETTERS):
            raise SystemExit(f"{name}: logits {tuple(before.shape)}")
        past, future = (
            (after - before)[:, part].abs().max().item() for part in (slice(48), slice(48, None))
        )
        count = sum(parameter.numel() for parameter in model.parameters())
        print(
            f"{name:11} width 128, 2 layers: {count:,} parameters; one changed letter moves logits"
            f" before it by {past:.1e}, from it on by {future:.1e}"
        )
        if (past > 1e-4) == (name == "Hyena") or future < 1e-4:
            raise SystemExit(
                f"{name}: it should {'not ' if name == 'Hyena' else ''}read what follows"
            )
    same_function()


def same_function() -> None:
    """Plain taps through `unfused` give what a sum over lags gives."""
    L = 12
    z, v, static = torch.randn(1, 1, L), torch.randn(1, 1, L), torch.fft.rfft(torch.randn(1, L))
    identity = torch.tensor([0.0, 1.0, 0.0]).expand(2, 1, 3)
    y = unfused(z, v, static, identity, torch.ones(1, 1))
    lag = (torch.arange(L)[:, None] - torch.arange(L)) % L
    autocorrelation = torch.stack([(v[0, 0] * v[0, 0].roll(-shift)).sum() for shift in range(L)])
    h = torch.fft.irfft(static[0], n=L) + autocorrelation
    worst = (y[0, 0] - h[lag] @ z[0, 0]).abs().max().item()
    print(f"unfused Orchid operator against the sum over lags: {worst:.1e}")
    if worst > 1e-3:
        raise SystemExit("the unfused operator is not the sum that it states")


if __name__ == "__main__":
    main()
