"""Long-sequence DNA models: genome in, trained Orchid encoder and scores out.

>>> import orchid_genomics as og
>>> model = og.OrchidModel.from_pretrained("runs/yeast/model")  # doctest: +SKIP
>>> logits_BLV = model("ACGT" * 256)  # doctest: +SKIP

Everything here is imported when it is first used, so that `import orchid_genomics` takes a moment
and needs no torch. Coordinates are 0-based half-open; what a user can mend is an `OrchidError`.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what a type checker and an editor read; at run time, `_HOMES` says the same
    from orchid_genomics.errors import OrchidError
    from orchid_genomics.explain.onehot import OneHot
    from orchid_genomics.genome.fasta import Genome
    from orchid_genomics.model.folder import OrchidModel
    from orchid_genomics.model.orchid import Orchid, OrchidRecipe
    from orchid_genomics.model.sklearn import OrchidFeatures
    from orchid_genomics.ops import long_conv
    from orchid_genomics.sequence import DNA, Interval, Variant
    from orchid_genomics.tasks.embed import embed
    from orchid_genomics.tasks.explain import explain
    from orchid_genomics.tasks.finetune import finetune
    from orchid_genomics.tasks.pretrain import pretrain
    from orchid_genomics.tasks.score_elements import score_elements
    from orchid_genomics.tasks.score_genome import score_genome
    from orchid_genomics.tasks.score_variants import score_variants

__version__ = "0.1.0"

__all__ = [
    "DNA",
    "Genome",
    "Interval",
    "OneHot",
    "Orchid",
    "OrchidError",
    "OrchidFeatures",
    "OrchidModel",
    "OrchidRecipe",
    "Variant",
    "__version__",
    "embed",
    "explain",
    "finetune",
    "long_conv",
    "pretrain",
    "score_elements",
    "score_genome",
    "score_variants",
]

_HOMES = {
    "DNA": "sequence",
    "Genome": "genome.fasta",
    "Interval": "sequence",
    "OneHot": "explain.onehot",
    "Orchid": "model.orchid",
    "OrchidError": "errors",
    "OrchidFeatures": "model.sklearn",
    "OrchidModel": "model.folder",
    "OrchidRecipe": "model.orchid",
    "Variant": "sequence",
    "embed": "tasks.embed",
    "finetune": "tasks.finetune",
    "long_conv": "ops",
    "pretrain": "tasks.pretrain",
    "score_elements": "tasks.score_elements",
    "score_genome": "tasks.score_genome",
    "score_variants": "tasks.score_variants",
}


def __getattr__(name: str) -> Any:
    if name == "explain":
        return import_module(f"{__name__}.explain")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(globals().keys() | set(__all__))


class _Door(ModuleType):
    """This module: importing the floor `explain`, which sets it here, makes it callable too.

    A task and a floor share that word, and importing a floor sets its name in this module. So
    `og.explain(model, genome, bed, out)` and `from orchid_genomics.explain import deeplift` both
    hold, in whatever order they come.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name == "explain" and isinstance(value, ModuleType):
            value.__class__ = _CallableExplain
        super().__setattr__(name, value)


class _CallableExplain(ModuleType):
    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Explain every region of a BED; see `tasks.explain.explain`."""
        return import_module("orchid_genomics.tasks.explain").explain(*arguments, **options)


sys.modules[__name__].__class__ = _Door
