"""What the outputs of a fine-tuned model are, and what the columns that hold them are called."""

from collections.abc import Callable, Sequence

from orchid_genomics.answers.supervised_tasks import SupervisedTask
from orchid_genomics.errors import InputError
from orchid_genomics.model.folder import OrchidModel


def supervised_task(model: OrchidModel) -> SupervisedTask:
    """What a model was fine-tuned for. Raises InputError where its head does not say."""
    # not every head has one: the letters head, and perhaps one of another package
    task = getattr(model.recipe.head, "supervised", None)
    if not isinstance(task, SupervisedTask):
        raise InputError("model", "does not say what its outputs are", "a fine-tuned model")
    return task


def column_names(labels: Sequence[str], fold: Callable[[str], str] = str) -> list[str]:
    """Labels as names of columns: letters and digits, else _; numbered where two would be one.

    `fold` is what becomes of a name where the column is written, such as upper case.
    """
    words = ["".join(letter if letter.isalnum() else "_" for letter in label) for label in labels]
    folded = [fold(word) for word in words]
    return [
        word if folded.count(fold(word)) == 1 else f"{word}_{number}"
        for number, word in enumerate(words, 1)
    ]
