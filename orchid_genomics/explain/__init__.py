"""Attribution: what of a sequence a prediction stands on, and what the motifs in it are.

Names are imported when they are first used, so that help, which lists the methods, needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what a type checker and an editor read; at run time, `_HOMES` says the same
    from orchid_genomics.explain.deeplift_shap import deeplift
    from orchid_genomics.explain.dependency import dependency_map
    from orchid_genomics.explain.gradients import Attribution, input_x_gradient
    from orchid_genomics.explain.integrated import integrated_gradients
    from orchid_genomics.explain.mutagenesis import centre, mutate
    from orchid_genomics.explain.onehot import OneHot
    from orchid_genomics.explain.references import one_hot, shuffles, tokens_of
    from orchid_genomics.explain.targets import possible
    from orchid_genomics.explain.unfused import attribution_ops

__all__ = [
    "Attribution",
    "OneHot",
    "attribution_ops",
    "centre",
    "deeplift",
    "dependency_map",
    "input_x_gradient",
    "integrated_gradients",
    "mutate",
    "one_hot",
    "possible",
    "shuffles",
    "tokens_of",
]

_HOMES = {
    "Attribution": "gradients",
    "OneHot": "onehot",
    "attribution_ops": "unfused",
    "centre": "mutagenesis",
    "deeplift": "deeplift_shap",
    "dependency_map": "dependency",
    "input_x_gradient": "gradients",
    "integrated_gradients": "integrated",
    "mutate": "mutagenesis",
    "one_hot": "references",
    "possible": "targets",
    "shuffles": "references",
    "tokens_of": "references",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(globals().keys() | set(__all__))
