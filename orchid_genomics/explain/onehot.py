"""A model that reads one-hot letters, float (N, 4, L) in and (N, T) out, as attribution libraries
expect.

The trap: a sequence is transformed at a length of its own (`model.orchid.transform_length`), so
columns are padded here exactly as `Orchid.forward` pads tokens; a one-hot of real letters gives
what its tokens give.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from orchid_genomics.errors import InputError
from orchid_genomics.explain.targets import Target, read_target
from orchid_genomics.explain.unfused import Unfused
from orchid_genomics.model.folder import OrchidModel, mean_of
from orchid_genomics.model.heads import LetterReader, Pooled, apply_head
from orchid_genomics.model.orchid import transform_length
from orchid_genomics.sequence import DNA


class OneHot(nn.Module):
    """What a trained model says of one-hot letters; differentiable, for captum and tangermeme (>=
    1.6) unchanged.

    The forward pass is the fused one, until a library hangs a hook on a module of `unfused` (as
    tangermeme's DeepLIFT does): then it is the same function written out, product by product, for
    `attribution_ops`. captum's own DeepLift has no rule for products and is wrong here. Of an
    ensemble the mean of all networks is explained.

    Parameters
    ----------
    model : OrchidModel
        A model of DNA, shared and not changed.
    target : str or int, optional
        What is explained:

        * ``"pll"`` (the default of a letters head): the pseudo-likelihood of the sequence, the sum
          over its letters of log p(letter) in nats, every letter shown, one pass
        * ``"pll-hidden"``: the same with every letter hidden (shown as MASK) when it is predicted;
          eight passes, the k-th hides every eighth letter
        * ``"A@100"``: log p of A at letter 100 (0-based from the start of the sequence as it is
          read), that letter hidden; ``"A@center"``: at letter L // 2
        * a name or a number (from 0): one output of a head over sequences (the logit of a class),
          or a track, averaged over its bins; ``"name@100"``, ``"name@center"``: the bin of a track
          that holds that letter
        * None, with a pooled head: all of its outputs
    span : (int, int), optional
        The letters, 0-based half-open, that a target of letters or tracks speaks of, where the
        sequence has more on both sides for context: what is summed or averaged, and where its
        letters count from.

    Raises
    ------
    InputError
        For a target that the model does not have, with those that it has.

    Notes
    -----
    Columns are in the order A, C, G, T; what is missing of 1 in a column goes to N. T is 1 but for
    None with a head of several outputs. `target.name` says what was chosen.

    >>> wrapped = OneHot(OrchidModel.from_pretrained("runs/yeast/model"))  # doctest: +SKIP
    >>> captum.attr.IntegratedGradients(wrapped).attribute(x_N4L, target=0)  # doctest: +SKIP
    """

    def __init__(
        self,
        model: OrchidModel,
        target: str | int | None = None,
        span: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        if model.recipe.encoder.alphabet != DNA.name:
            raise InputError(
                "model",
                f"reads {model.recipe.encoder.alphabet}",
                "attributions are of models of DNA",
            )
        self.model = model
        self.target: Target = read_target(target, model)
        self.span = span
        self.unfused = Unfused(model.encoder)
        self.others = nn.ModuleList(Unfused(other.encoder) for other in model.members[1:])
        """What `unfused` is, for the other networks of an ensemble."""

    def forward(self, x_N4L: Tensor) -> Tensor:
        """The target (N, T) of one-hot or mixed letters."""
        return self.target.of(self, x_N4L)

    @contextmanager
    def hold(self, x_14L: Tensor) -> Iterator[None]:
        """Inside, what is read of copies is read through the pointers of this one sequence."""
        letters_17L = _pad(_codes(x_14L.to(self.model.encoder.letters.free.dtype), None))
        with ExitStack() as stack:
            for member in self.model.members:
                stack.enter_context(member.encoder.hold_pointers(letters_17L))
            yield

    def columns(self, x_N4L: Tensor) -> slice:
        """The columns that the target speaks of."""
        return slice(*(self.span or (0, x_N4L.shape[-1])))

    def predictions(self, x_N4L: Tensor, hidden_L: Tensor | None = None) -> Tensor:
        """What the model's head says: (N, L, 4) logits of letters, (N, T) of a pooled head, (N,
        bins, T) of tracks.

        `hidden_L`, bool: the columns shown as MASK, whatever they hold.
        """
        L = x_N4L.shape[-1]
        letters_N7L = _pad(_codes(x_N4L.to(self.model.encoder.letters.free.dtype), hidden_L))
        N = letters_N7L.shape[-1]
        mask_NL = None
        if N > L:
            mask_NL = letters_N7L.new_ones(len(letters_N7L), N)
            mask_NL[:, L:] = 0
        outputs = []
        for member, unfused in zip(self.model.members, (self.unfused, *self.others), strict=True):
            encode, parts = member.encoder.encoding, None
            if isinstance(unfused, Unfused) and unfused.hooked:
                encode, parts = partial(unfused.encoding, member.encoder), unfused.pooling
            if isinstance(member.head, LetterReader | Pooled):
                outputs.append(apply_head(member.head, encode, letters_N7L, mask_NL, parts))
            else:
                outputs.append(member.head(encode(letters_N7L, mask_NL).vectors_BLD[:, :L]))
        return mean_of(outputs)


def _pad(letters_N7L: Tensor) -> Tensor:
    """Letters with PAD at their ends, up to the length at which they are transformed."""
    L = letters_N7L.shape[-1]
    N = transform_length(L)
    if N == L:
        return letters_N7L
    letters_N7L = functional.pad(letters_N7L, (0, N - L))
    letters_N7L[:, DNA.pad, L:] = 1
    return letters_N7L


def _codes(x_N4L: Tensor, hidden_L: Tensor | None) -> Tensor:
    """Mixed token codes (N, 7, L): A, C, G, T, N, MASK, PAD."""
    unknown_N1L = 1 - x_N4L.sum(1, keepdim=True)
    mask_1L = torch.zeros_like(unknown_N1L)
    if hidden_L is not None:
        keep_L = (~hidden_L).to(x_N4L)
        x_N4L, unknown_N1L, mask_1L = x_N4L * keep_L, unknown_N1L * keep_L, mask_1L + (1 - keep_L)
    return torch.cat((x_N4L, unknown_N1L, mask_1L, torch.zeros_like(unknown_N1L)), 1)
