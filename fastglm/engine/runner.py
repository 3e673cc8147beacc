"""The runner of a model: it runs prompts into slots of the KV cache, and steps of the requests in them."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor

from ..batching import TOKENS_AT_ONCE, batches
from ..capacity import ROOM, whole_steps
from ..errors import MemoryShortError
from ..kernels.exact import is_exact
from ..system.memory import is_out_of_memory
from .compile.prepare import many_step, part_step, step_of
from .cuda_graph import Captured, Run
from .kv_cache import KVCache, make_cache
from .pasts import Pasts
from .reading import Reading
from .slots import Slot, Slots

T = TypeVar("T")

_runners: "WeakKeyDictionary[Any, Runner]" = WeakKeyDictionary()


def runner_of(model: Any) -> "Runner":
    """The one runner of a loaded model."""
    if model not in _runners:
        _runners[model] = Runner(model)
    return _runners[model]


class StageRunner:
    """A stage of a model, or all of it: its steps, and the cache of its layers."""

    def __init__(self, one: Any, many: Any, cache: KVCache) -> None:
        """Create a stage. one: the step of one row; many: the step of several."""
        self.one, self.many, self.cache = one, many, cache
        self._runs: dict[tuple[int, int, int], Run[Any]] = {}

    @property
    def device(self) -> torch.device:
        """The device of its layers."""
        return self.cache.device

    def run(self, entering: Tensor, first: int, tokens: int) -> Any:
        """The result of the step for ids, or hidden states, of rows from `first` on, whose longest ends at `tokens`
        after it; the next call for those rows may overwrite it.

        On CUDA a graph is captured for each number of rows and tokens.
        """
        rows, count = entering.shape[:2]
        inputs = self.cache.inputs(first, rows, tokens)
        if not self.cache.reads_all:
            return self._run(entering, inputs)
        if (first, rows, count) not in self._runs:
            self._runs[first, rows, count] = Captured(self._run)
        return self._runs[first, rows, count](entering, inputs)

    def _run(self, entering: Tensor, inputs: list[Tensor]) -> Any:
        step = self.one if entering.shape[0] == 1 else self.many
        return step(entering, *inputs)


class Runner:
    """Runs the requests of one model, each in a slot, which they enter and leave between steps.

    A model on several devices runs stage by stage; embedding and head are with the last one. While no slot is taken,
    only the pasts of ended requests are held, and they give way to a request that needs their memory. It may be used
    from several threads, a call at a time.
    """

    def __init__(self, model: Any) -> None:
        self._of = ref(model)  # the key of this runner
        self._stages: list[StageRunner] = []
        self._slots = Slots([])
        self._prefix: Any | None = None  # keys and values at the beginning of every slot
        self._pasts = Pasts()
        self._lock = threading.RLock()
        self._depth = 0  # of calls within a call
        self._left: list[Slot] = []  # given back, and freed at the end of the outermost call

    @torch.inference_mode()
    def prefill(
        self, prompts: Sequence[Tensor], answers: Sequence[int], owner: str | None = None
    ) -> tuple[list[Slot], Tensor]:
        """Run prompts, [tokens] each, in new slots; returns these, and the logits of the next tokens, [rows,
        vocabulary].

        Args:
            answers: the largest number of tokens after each.
            owner: of a single prompt: its beginning does not run again if a request of this owner began with it too.

        Raises:
            MemoryShortError: memory is too short for so many slots of that length.
        """
        return self._making_room(lambda: self._prefill(prompts, answers, owner))

    @torch.inference_mode()
    def begin(self, prompt: Tensor, answer: int, owner: str | None, most: int | None) -> Reading:
        """Begin to run a prompt in a new slot, or its first tokens; see `prefill` and `Reading`."""
        with Call(self):
            slots = self._making_room(lambda: self._open([prompt], [answer], owner))
            try:
                return self._reading([prompt], slots, most)
            except BaseException:
                self.free(slots)
                raise

    @torch.inference_mode()
    def go_on(self, slot: Slot, prompt: Tensor, most: int | None) -> Reading:
        """Begin to run the next tokens of a prompt in its slot, like `begin`."""
        with Call(self):
            return self._reading([prompt], [slot], most)

    @torch.inference_mode()
    def advance(self, reading: Reading) -> Tensor | None:
        """Run `Reading.advance`. After an error the slot must be freed."""
        with Call(self):
            return self._making_room(reading.advance)

    def unread(self, slot: Slot, prompt: Sequence[int]) -> int:
        """The number of tokens of a prompt that have not run in its slot."""
        return len(prompt) - max(slot.length - self._learned, 0)

    def _prefill(
        self, prompts: Sequence[Tensor], answers: Sequence[int], owner: str | None
    ) -> tuple[list[Slot], Tensor]:
        with Call(self):
            slots = self._open(prompts, answers, owner)
            try:
                logits: dict[int, Tensor] = {}
                for part in batches([len(prompt) for prompt in prompts], TOKENS_AT_ONCE):
                    found = self._run_prompts([prompts[number] for number in part], [slots[number] for number in part])
                    logits |= dict(zip(part, found, strict=True))
            except BaseException:
                self.free(slots)
                raise
            return slots, torch.stack([logits[number] for number in range(len(slots))])

    def _open(self, prompts: Sequence[Tensor], answers: Sequence[int], owner: str | None) -> list[Slot]:
        """Take slots for prompts; that of a single one begins with the tokens that its owner's past has. A run of the
        prompts must follow within the same call.
        """
        slots: list[Slot] = []
        try:
            self._begin()
            needed = [len(prompt) + min(answer, ROOM) for prompt, answer in zip(prompts, answers, strict=True)]
            slots = self._slots.take(len(prompts), whole_steps(self._learned + max(needed)))
            if owner is not None:
                self._reuse(slots[0], prompts[0], owner)
        except BaseException:
            self.free(slots)
            raise
        return slots

    def step(self, slots: Sequence[Slot], ids: Tensor) -> tuple[Tensor, Tensor]:
        """Run tokens of requests, [rows, tokens]; returns the result of `DecodeStep`, which the next step may
        overwrite. The caller must have entered inference mode.

        Raises MemoryShortError if memory is too short for them.
        """
        with Call(self):
            count = ids.shape[1]
            first, rows = self._range(slots)
            beside = self._slots.taken[first : first + rows]
            is_whole = len(slots) == rows and beside == list(slots)
            if not is_whole:
                at = torch.tensor([slot.row - first for slot in slots], device=ids.device)
                ids = ids.new_zeros(rows, count).index_copy(0, at, ids)
            tokens = max([slot.length for slot in beside]) + count
            if tokens > self._slots.capacity:
                self._making_room(lambda: self._slots.reserve(tokens))
            try:
                logits, best = self._run(ids, first, tokens)
            except BaseException:
                self._slots.settle(range(first, first + rows))
                raise
            for slot in slots:
                slot.length += count
            if is_whole:
                return logits, best
            for slot in beside:  # rows that ran along
                if slot not in slots:
                    self._slots.rewind(slot, count)
            for row in range(len(self._slots.taken), first + rows):
                self._slots.rewind(Slot(row), count)
            return logits[at], best[at]

    @torch.inference_mode()
    def rewind(self, slot: Slot, count: int) -> None:
        """Forget the last `count` tokens of a request."""
        with Call(self):
            slot.length -= count
            self._slots.rewind(slot, count)

    @torch.inference_mode()
    def keep(self, slot: Slot, tokens: Sequence[int]) -> None:
        """Keep the first tokens of a request, with their keys and values, for the next request of its owner.

        Does nothing without an owner, for a model whose tokens see later ones, and within another call, when slots may
        be on the move.
        """
        with self._lock:
            if self._depth or slot.owner is None or not tokens:
                return
            with Call(self):
                tokens = tokens[: slot.length - self._learned]
                self._pasts.add(self._model, tokens, self._slots, slot, self._learned + len(tokens))

    @torch.inference_mode()
    def free(self, slots: Sequence[Slot]) -> None:
        """Give slots back, and all memory with the last of them."""
        with Call(self):
            self._left += slots

    @property
    def memory(self) -> int:
        """Bytes of the allocated caches."""
        return self._slots.memory

    @property
    def past_memory(self) -> int:
        """Bytes of the pasts of ended requests."""
        return self._pasts.memory

    @property
    def slot_memory(self) -> int:
        """Bytes of one slot."""
        return self._slots.slot_memory

    def _free_left(self) -> None:
        while self._left:
            slot = max(self._left, key=lambda slot: slot.row)
            self._left.remove(slot)
            if len(self._slots.taken) > 1:
                self._slots.free(slot)
            else:
                self._slots.taken.clear()
        if not self._slots.taken:
            self._stages, self._slots, self._prefix = [], Slots([]), None

    @property
    def _model(self) -> Any:
        return self._of()

    @property
    def _learned(self) -> int:
        return self._prefix.length if self._prefix else 0

    def _begin(self) -> None:
        """Make the stages, with empty caches; a model on one device is one stage."""
        if self._stages:
            return
        model = self._model
        if model.stages:
            for stage in model.stages:
                step = part_step(model, stage[0])
                self._stages.append(StageRunner(step, step, make_cache(model, stage)))
        else:
            one = step_of(model)
            many = one if is_exact(model) else many_step(model)
            self._stages = [StageRunner(one, many, make_cache(model))]
        self._prefix = model.prefix()
        self._slots = Slots([stage.cache for stage in self._stages])

    def _making_room(self, work: Callable[[], T]) -> T:
        """Do work that takes memory; while memory is short, drop a past and begin again."""
        while True:
            try:
                return work()
            except (MemoryShortError, RuntimeError, MemoryError) as error:
                is_short = isinstance(error, MemoryShortError) or is_out_of_memory(error)
                if not (is_short and self._pasts.drop()):
                    raise

    def _reuse(self, slot: Slot, prompt: Tensor, owner: str) -> None:
        """Begin a slot with the tokens that a prompt shares with a past of its owner, if there is one."""
        if not self._model.config.is_causal:
            return
        found = self._pasts.find(self._model, owner, prompt.cpu())
        slot.owner, slot.weights = owner, self._pasts.weights
        if found:
            past, slot.reused = found
            self._slots.put(slot, past.held, self._learned + slot.reused)

    def _range(self, slots: Sequence[Slot]) -> tuple[int, int]:
        """The neighbouring rows of a step: the first row, and their number. For graphs the number is a power of two if
        there are enough rows.
        """
        taken = [slot.row for slot in slots]
        first, rows = min(taken), max(taken) - min(taken) + 1
        bucket = 1 << (rows - 1).bit_length()
        if self._stages[-1].cache.reads_all and bucket <= self._slots.count:
            return min(first, self._slots.count - bucket), bucket
        return first, rows

    def _run(self, ids: Tensor, first: int, tokens: int) -> Any:
        x = self._embedded(ids)
        for stage in self._stages:
            x = stage.run(x.to(stage.device), first, tokens)
        return x

    def _embedded(self, ids: Tensor) -> Tensor:
        """Input of the first stage: token ids, or their embeddings if a model spans devices."""
        return ids if len(self._stages) == 1 else self._model.get_input_embeddings()(ids.clamp(min=0))

    def _run_prompts(self, prompts: Sequence[Tensor], slots: Sequence[Slot]) -> Tensor:
        """The logits after some prompts, [rows, vocabulary], which run as in `Reading`."""
        reading, logits = self._reading(prompts, slots), None
        while logits is None:
            logits = reading.advance()
        return logits

    def _reading(self, prompts: Sequence[Tensor], slots: Sequence[Slot], most: int | None = None) -> Reading:
        stages = [(stage.one.decoder, stage.cache) for stage in self._stages]
        return Reading(self._model, stages, self._prefix, prompts, slots, most)


class Call:
    """A call of a runner, during which no slot is freed: garbage may be collected at any moment, and with it an
    abandoned request.
    """

    __slots__ = ("_runner",)

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def __enter__(self) -> None:
        self._runner._lock.acquire()
        self._runner._depth += 1

    def __exit__(self, *_: object) -> None:
        runner = self._runner
        try:
            if runner._depth == 1:
                runner._free_left()
        finally:
            runner._depth -= 1
            runner._lock.release()
