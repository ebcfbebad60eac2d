"""The methods of `explain`, by name: what help, choices and pages say of each, and where its
function is.

The trap: help is made of this table, so nothing here may import torch; a method names its function,
and that is loaded when a region is explained.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import Any

from orchid_genomics.registry import Registry

Shape = tuple[int | str, ...]
COMMON: dict[str, Shape] = {
    "hypothetical": (4, "L"),
    "projected": ("L",),
    "difference": (),
    "error": (),
    "steps": (),
}
"""Arrays of a region that every method gives, and their shapes; "L" is the region's letters."""
_HOME = "orchid_genomics.explain.explainer"


@dataclass(frozen=True)
class Options:
    """How regions are explained.

    Parameters
    ----------
    method : str
        A key of METHODS.
    target : str, optional
        What is explained, as `OneHot` takes it; None is the default of the model's head.
    references : int, optional
        Shuffles of each window to compare it with; None is the method's own number.
    seed : int
        Which shuffles are drawn.
    window : int, optional
        Letters read around each region; None is what the model was trained on.
    tolerance : float
        How far the sum of integrated gradients may be off, as a share of what it must be.
    most_steps : int
        Gradients that integrated gradients may take for one region.
    """

    # Mutations answer the question that all other methods approximate, and up to some hundred
    # letters they also take the least time (the yeast model, a region of 100 letters: 13 s
    # against 46 s of integrated gradients with two references, which agree with them by r = .6).
    method: str = "ism"
    target: str | None = None
    references: int | None = None
    seed: int = 0
    window: int | None = None
    tolerance: float = 1e-3
    most_steps: int = 1024


@dataclass(frozen=True)
class Method:
    """One way to explain a prediction.

    Another package adds one with ``METHODS["mine"] = Method(...)``, or with an entry point of the
    group ``orchid_genomics.methods`` that names a `Method`; every command then has it.

    Parameters
    ----------
    function : str or callable
        What takes an `explainer.WindowBatch` and returns arrays of the windows' regions by name, as
        `explainer.WindowBatch.cut` makes them of an `Attribution`; or where that is,
        ``"package.module:function"``.
    summary : str
        What help says of it, in a line or two.
    lead : str
        How a page about it begins.
    caution : str
        What a reader of a page must know first; may be empty.
    extra_arrays : mapping of str to tuple
        Arrays of a region that it gives beside COMMON: name to shape, where "L" stands for the
        region's letters.
    references : int
        Shuffles that it compares a window with by default; 0 where it compares with none. One that
        does gives `contrasts` (L,): how many of them differ at each letter.
    longest : int, optional
        Letters of the longest region, where its memory grows with them.
    only_letters : bool
        Whether it explains the letters head itself, and so takes no target.
    """

    function: str | Callable[..., Any]
    summary: str
    lead: str
    caution: str = ""
    extra_arrays: Mapping[str, Shape] = field(default_factory=dict)
    references: int = 0
    longest: int | None = None
    only_letters: bool = False

    def load(self) -> Callable[..., Any]:
        """The function, imported now."""
        return resolve_name(self.function) if isinstance(self.function, str) else self.function


METHODS: Registry[Method] = Registry("method")

METHODS["gradient"] = Method(
    f"{_HOME}:gradient",
    "input x gradient, less the mean over the four letters; fast, local",
    "Input × gradient, less the mean over the four letters",
    caution="A gradient is taken at the sequence itself, near which a model of letters may be "
    "flat: compare it with mutations (method ism) before reading much into it.",
)
METHODS["integrated"] = Method(
    f"{_HOME}:integrated",
    "gradients along the lines from shuffles; the error of the sum is stored, and steps are added "
    "where it is too large",
    "Integrated gradients against dinucleotide shuffles",
    # With two, one letter in eight is the same in both, and its attribution 0 for no other reason.
    references=10,
    extra_arrays={"contrasts": ("L",)},
)
METHODS["deeplift"] = Method(
    f"{_HOME}:deeplift_shap",
    "DeepLIFT/SHAP against shuffles (tangermeme), with exact rules",
    "DeepLIFT against dinucleotide shuffles",
    references=10,
    extra_arrays={"contrasts": ("L",)},
    longest=16_384,  # some GB for the unfused form
)
METHODS["ism"] = Method(
    f"{_HOME}:ism",
    "every substitution of every letter: what the change does",
    "In-silico mutagenesis: a letter's height is the mean over what else it could be",
    extra_arrays={"effects": (4, "L")},
)
METHODS["dependency"] = Method(
    f"{_HOME}:dependency",
    "L x L: how the prediction of each letter (columns) changes when another (rows) is "
    "substituted; pretrained models, up to 4,096 nt",
    "Nucleotide dependencies: a letter's height is the mean of what its substitution does to the "
    "others",
    extra_arrays={"dependency": ("L", "L")},
    longest=4096,  # a map of 64 MiB
    only_letters=True,
)
