"""Low-rank updates of an encoder's products (LoRA, arXiv:2106.09685): few weights that are trained
while the given ones stay.

An update is merged into the weights that it belongs to, so that a model folder never shows how its
weights were found. The trap: `merge` changes the names of a state, so checkpoints of a run are
loaded before it, and answers are measured after it.
"""

from torch import Tensor, nn

from orchid_genomics.errors import RecipeError
from orchid_genomics.model.orchid import Orchid, OrchidRecipe
from orchid_genomics.model.strands import Mix, halves

WHERE = "training.adapter"


def largest_rank(recipe: OrchidRecipe) -> int:
    """The smaller side of the smallest matrix of an encoder's products; 0 without any."""
    if not recipe.branches and recipe.motifs in (0, recipe.width):
        return 0
    pairs, hidden = halves(recipe.strands), round(recipe.width * recipe.mlp)
    sides = [recipe.motifs // pairs] if recipe.motifs else []
    return min(min(recipe.width, hidden) // (pairs * recipe.mlp_blocks), *sides, recipe.width)


def adapt(encoder: Orchid, rank: int) -> None:
    """Keep all weights of an encoder as they are, and give every product over channels at one
    letter a low-rank update.

    Parameters
    ----------
    encoder
        Changed in place; its answers stay what they are until the updates are trained.
    rank
        Of the updates; 0 changes nothing.

    Raises
    ------
    RecipeError
        For a rank above the smaller side of a matrix.
    """
    if not rank:
        return
    largest = largest_rank(encoder.recipe)
    if rank > largest:
        found = f"{rank}, and the smallest matrix has {largest:,} rows or columns"
        raise RecipeError(WHERE, found, f"up to {largest:,}; 8 is usual")
    encoder.requires_grad_(False)
    for module in encoder.modules():
        if isinstance(module, Mix):
            module.adapt(rank)


def merge(model: nn.Module) -> None:
    """Make every low-rank update of a model part of its weight; nothing where there is none."""
    for module in model.modules():
        if isinstance(module, Mix):
            module.merge()


def merged_state(model: nn.Module) -> dict[str, Tensor]:
    """The state of a model as it would be after `merge`; the model itself stays as it is."""
    state = model.state_dict()
    for name, module in model.named_modules():
        if isinstance(module, Mix) and module.up is not None:
            state[f"{name}.weight"] = module.matrix().detach()
            del state[f"{name}.down"], state[f"{name}.up"]
    return state
