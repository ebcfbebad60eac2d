"""What a model folder holds, as lines for a person."""

import json
from collections.abc import Iterator
from pathlib import Path

from orchid_genomics.errors import InputError
from orchid_genomics.evaluate.score_table import scores_of, table_text
from orchid_genomics.files import finite
from orchid_genomics.model.catalogue import PROVENANCE, find_model
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.model.heads import LetterReader
from orchid_genomics.model.provenance import Provenance
from orchid_genomics.terminal import clock


def info(folder: str | Path, as_json: bool = False) -> Iterator[str]:
    """Lines about a model, by its folder, its run folder or its name; with `as_json` one JSON
    object, of the whole provenance.

    Raises InputError for one that is missing, foreign or damaged.
    """
    folder = find_model(folder)
    model = OrchidModel.from_pretrained(folder)
    encoder, provenance = model.recipe.encoder, model.provenance
    try:
        origin = list(_origin(provenance)) if provenance.model_fields_set else []
    # Of values that provenance holds plain: those of a recipe or a table.
    except (KeyError, TypeError, ValueError) as error:
        message = f"is damaged or not of this tool ({type(error).__name__}: {error})"
        raise InputError(
            folder / PROVENANCE, message, "the file that pretrain wrote, or none"
        ) from None
    parameters = sum(parameter.numel() for parameter in model.parameters())
    if as_json:
        source = provenance.model_dump(mode="json", exclude_unset=True)
        about = {"hash": model.hash(), "networks": len(model.members), "parameters": parameters}
        about |= {"recipe": model.recipe.model_dump(mode="json"), "provenance": source}
        yield json.dumps(finite(about), indent=2)
        return
    shape = f"width {encoder.width}, depth {encoder.depth}, {encoder.strands} strands"
    yield f"model        {folder} (hash {model.hash()})"
    if isinstance(model.head, LetterReader):
        yield "encoder      none: the head reads the letters"
    else:
        yield f"encoder      Orchid, {shape}"
        shortest = encoder.filter.shortest
        yield f"filter       {encoder.filter.kind}, decay lengths from {shortest:g} nt"
    yield f"head         {model.recipe.head.kind if model.recipe.head else 'none: vectors'}"
    if len(model.members) > 1:
        yield f"networks     {len(model.members)}, whose outputs are averaged"
    yield f"parameters   {parameters:,}"
    yield from origin


def _origin(provenance: Provenance) -> Iterator[str]:
    """What a model was trained on, and how it scored."""
    yield f"written by   orchid-genomics {provenance.version}, torch {provenance.torch}"
    yield f"licence      {provenance.licence or 'not stated'}"
    yield f"trained      {clock(provenance.seconds['training'])} on {provenance.machine}"
    for genome in provenance.genomes:
        name = ", ".join(filter(None, (genome.assembly, genome.fasta)))
        yield f"genome       {name} (sha256 {genome.sha256[:12]})"
        for name, contigs in genome.split.items():
            yield f"  {name:<10} {', '.join(contigs) or '-'}"
        letters = sum(end - start for spans in genome.seen.values() for start, end in spans)
        yield f"  seen       {letters:,} letters in training"
    if provenance.recall:
        seen = [f"{part.sequences:,} of {part.length:,}" for part in provenance.recall.seen]
        symbols = provenance.recall.symbols
        yield f"recall       {symbols} symbols; sequences seen: {', '.join(seen)} letters"
    if provenance.labelled:
        labelled = provenance.labelled
        yield f"fine-tuned   {labelled.name}: {labelled.task}, {', '.join(labelled.labels)}"
    if provenance.verdict:
        yield f"             {provenance.verdict['sentence']}"
    for table in provenance.evaluation:
        yield ""
        yield table_text(scores_of(table), table["title"])
