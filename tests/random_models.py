"""Small models with random weights, and genomes of random letters with repeats in them."""

import numpy as np
import torch
from torch.nn import functional

from orchid_genomics.genome.fasta import Genome
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.sequence import CODE, DNA

REPEATS = "AAAAAAAAAA" + "CACACACACACA" + "GATTGATTGATTGATT"


def random_model(head=None, strands="equivariant", seed=0, depth=1, width=8):
    torch.manual_seed(seed)
    recipe = ModelRecipe(
        encoder=OrchidRecipe(width=width, depth=depth, strands=strands), head=head or None
    )
    model = OrchidModel(recipe)
    with torch.no_grad():  # as made, a model hardly sees its context
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


def letters_model(**more):
    return random_model({"kind": "letters"}, **more)


def write_genome(path, contigs):
    path.write_text("".join(f">{name}\n{letters}\n" for name, letters in contigs.items()))
    return Genome(path)


def random_letters(size, seed=0, alphabet="ACGT"):
    return bytes(
        np.random.default_rng(seed).choice(list(alphabet.encode()), size).tolist()
    ).decode()


def one_hot(text):
    """The letters of a text as a model is given them, (1, V, L) float64."""
    codes = torch.from_numpy(DNA.encode(text) & CODE).long()
    return functional.one_hot(codes, DNA.size).T[None].double()
