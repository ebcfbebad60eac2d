"""Attribution: what of a sequence a prediction stands on, and what the motifs in it are."""

from orchid_genomics.explain.deeplift import deeplift
from orchid_genomics.explain.dependency import dependency_map
from orchid_genomics.explain.gradients import Attribution, input_x_gradient
from orchid_genomics.explain.integrated import integrated_gradients
from orchid_genomics.explain.mutagenesis import centred, mutate
from orchid_genomics.explain.onehot import OneHot
from orchid_genomics.explain.references import one_hot, shuffled, tokens_of
from orchid_genomics.explain.targets import possible
from orchid_genomics.explain.unfused import attribution_ops

__all__ = [
    "Attribution",
    "OneHot",
    "attribution_ops",
    "centred",
    "deeplift",
    "dependency_map",
    "input_x_gradient",
    "integrated_gradients",
    "mutate",
    "one_hot",
    "possible",
    "shuffled",
    "tokens_of",
]
