"""Work of a GPU that is recorded once as a CUDA graph and replayed: one order, not thousands.

The traps: what is recorded reads and writes where it did when it was recorded, so inputs are copied
into buffers and outputs out of them; it is not done while it is recorded; and within it nobody may
ask the device for a number, nor copy to it from the host.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from warnings import warn

import torch
from torch import Tensor

from orchid_genomics.errors import reason
from orchid_genomics.model.filters import StaticFilter

WARM = 3  # runs before a recording: kernels are compiled, plans and workspaces made
OFTEN = 8  # passes of a shape before one is recorded, which costs as much as six
SHAPES = 16  # recorded passes at most
TOLERANCE = 1e-2  # of the largest number, in bfloat16
LETTERS = 1 << 18  # of a batch; a GPU waits for no one where there are more


class RecordingError(Exception):
    """What cannot be recorded, with the reason; nothing was changed by the attempt."""


def record(compute: Callable[[], Any], pool: Any) -> Callable[[], None]:
    """A replay of what `compute` does, which is run a few times first.

    Parameters
    ----------
    compute
        Work on buffers that outlive the recording.
    pool
        Of `torch.cuda.graph_pool_handle`, where memory lies that `compute` asks for. Recordings
        that share one must keep nothing in it from one replay to the next, but what is still
        referred to.

    Raises
    ------
    RecordingError
        Where `compute` does what only a CPU in step with the GPU could.
    """
    stream = _recording_stream(torch.cuda.current_device())
    before = torch.cuda.current_stream()
    stream.wait_stream(before)
    try:
        # All on one stream, where the workspaces lie and the leaves of autograd are made.
        with torch.cuda.stream(stream):
            for _ in range(WARM):
                compute()
            graph = torch.cuda.CUDAGraph()
            # Only this thread is watched: others may allocate meanwhile.
            with torch.cuda.graph(graph, pool, stream, capture_error_mode="thread_local"):
                compute()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise RecordingError(reason(_first(error))) from error
    finally:
        # The end of a recording that failed leaves its stream in place.
        torch.cuda.set_stream(before)
        before.wait_stream(stream)
    return graph.replay


@lru_cache
def _recording_stream(device: int) -> torch.cuda.Stream:
    # One for all: the workspaces of every stream that a product ever ran on are kept.
    return torch.cuda.Stream(device)


def _first(error: BaseException) -> BaseException:
    """The error that others were raised in the wake of: the end of a recording raises its own."""
    while error.__context__ is not None:
        error = error.__context__
    return error


Outputs = Sequence[Tensor | None]


class _Pass(NamedTuple):
    """A recorded pass: its buffers, and what else must stay where it is."""

    letters_BVL: Tensor
    mask_BL: Tensor | None
    outputs: Outputs
    replay: Callable[[], None]
    held: list[Tensor]


class Passes:
    """Passes of an encoder without gradients over batches of the same few shapes."""

    def __init__(self) -> None:
        self._recorded: dict[Any, _Pass] = {}
        self._seen: Counter[Any] = Counter()
        self._state: Any = None
        self._pool: Any = None
        self._can = True

    def __reduce__(self) -> tuple[type["Passes"], tuple[()]]:
        # A copy of a model has weights of its own, which nothing recorded reads.
        return Passes, ()

    def run(
        self,
        encoder: Any,
        encode: Callable[[Tensor, Tensor | None], Outputs],
        letters_BVL: Tensor,
        mask_BL: Tensor | None,
    ) -> Sequence[Any]:
        """What `encode` gives, replayed where its shape has come often enough.

        Parameters
        ----------
        encoder
            The module whose weights `encode` reads.
        encode
            Letters (B, V, L) and their mask (B, L) -> tensors, or None in the place of some.
        letters_BVL, mask_BL
            Its arguments.
        """
        # Steps and loads in place raise a version; a move changes the address.
        weights = [(each.data_ptr(), each._version) for each in encoder.parameters()]
        state = weights, encoder.activations
        if state != self._state:
            self._recorded.clear()
            self._seen.clear()
            self._state = state
        mask = None if mask_BL is None else mask_BL.dtype
        shape = tuple(letters_BVL.shape), letters_BVL.dtype, mask
        found = self._recorded.get(shape)
        if found is None:
            self._seen[shape] += 1
            often = self._seen[shape] > OFTEN and len(self._recorded) < SHAPES
            if not self._can or not often:
                return encode(letters_BVL, mask_BL)
            try:
                # Chance, which every recording registers, would else be left in inference mode, and
                # no step of training could be recorded after it.
                with torch.inference_mode(False), torch.no_grad():
                    found = self._record(encoder, encode, letters_BVL, mask_BL)
            except (RecordingError, torch.OutOfMemoryError) as error:
                self._can = False
                self._recorded.clear()
                warn(f"passes are run call by call, not as graphs ({reason(error)})", stacklevel=2)
                return encode(letters_BVL, mask_BL)
            self._recorded[shape] = found
        found.letters_BVL.copy_(letters_BVL)
        if found.mask_BL is not None and mask_BL is not None:
            found.mask_BL.copy_(mask_BL)
        found.replay()
        # The next replay writes where this one did.
        return [None if each is None else each.clone() for each in found.outputs]

    def _record(
        self,
        encoder: Any,
        encode: Callable[[Tensor, Tensor | None], Outputs],
        letters_BVL: Tensor,
        mask_BL: Tensor | None,
    ) -> _Pass:
        if self._pool is None and letters_BVL.is_cuda:
            self._pool = torch.cuda.graph_pool_handle()
        letters_BVL = letters_BVL.clone()
        mask_BL = None if mask_BL is None else mask_BL.clone()
        # Spectra that filters keep are read where they lie, also when others are kept by then.
        filters = [each for each in encoder.modules() if isinstance(each, StaticFilter)]
        held = [filter(letters_BVL.shape[-1]) for filter in filters]
        outputs: list[Tensor | None] = []

        def compute() -> None:
            outputs[:] = encode(letters_BVL, mask_BL)

        wanted = encode(letters_BVL, mask_BL)
        replay = record(compute, self._pool)
        replay()
        for one, other in zip(outputs, wanted, strict=True):
            if one is not None and other is not None and not _alike(one, other):
                raise RecordingError("the replay of a pass differed from the pass")
        return _Pass(letters_BVL, mask_BL, outputs, replay, held)


def _alike(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are the same but for rounding."""
    apart = (one.float() - other.float()).abs().amax()
    return bool(apart <= TOLERANCE * other.float().abs().amax())
