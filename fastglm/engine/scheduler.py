"""The scheduler: requests that enter and leave between the steps of one model."""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import MemoryShortError, NumbersError
from ..system.memory import room_for
from .cuda_graph import Captured, Run
from .kv_cache import LESS
from .logprobs import Logprobs
from .pace import Pace, work_of
from .reading import Reading
from .runner import runner_of
from .sampling import NONE, Choice, Sampler, Sampling, best_of
from .slots import Slot

Ends = Callable[[int], bool]  # tells for each new token of a request whether it is the last


class News(NamedTuple):
    """A new token of a request, or its failure."""

    id: int
    token: int | Exception
    is_last: bool
    reused: int = 0  # tokens of the prompt that an earlier request has read
    logprobs: Logprobs | None = None  # if the request asks for them

    def found(self) -> int:
        """Return the token, or raise the failure."""
        if isinstance(self.token, Exception):
            raise self.token
        return self.token


@dataclass(eq=False, slots=True)
class Ask:
    """A running or waiting request."""

    id: int
    prompt: list[int]
    left: int  # tokens that may still come
    sampling: Sampling
    ends: Ends
    owner: str | None = None
    choice: Choice | None = None
    slot: Slot | None = None
    reading: Reading | None = None  # a run of its prompt that is under way
    work: float = 0.0  # of a part of the run: see `Pace`
    found: list[int] = field(default_factory=list)  # its new tokens

    def news(self, token: int) -> News:
        """Count a new token; a stop check or a grammar that raises ends its own request alone."""
        self.left -= 1
        if token == NONE:
            return News(self.id, NumbersError(), True)
        self.found.append(token)
        try:
            is_last = self.ends(token) or not self.left
            told = self.choice.told.read() if self.choice and self.choice.told else None
            if self.choice and self.choice.matcher and not is_last:
                self.choice.matcher.take(token)
        except Exception as error:
            return News(self.id, error, True)
        return News(self.id, token, is_last, self.slot.reused if self.slot else 0, told)


class Scheduler:
    """Runs requests of one model, which share its steps. A request that fails, or is cancelled, leaves the others
    untouched; an unexpected error of a step fails all requests that share it.

    Prompts run in the order of their requests: whole while nothing else runs, otherwise in chunks of tokens and layer
    by layer, between the steps of the running requests (`Pace`). These wait for a chunk in one layer at the
    longest, or, if a model's tokens see later ones, for a whole prompt in one layer: at most the context. A model on
    several devices runs all layers of a device at once.

    On CUDA each step is launched before the tokens before it are read, so that the device does not wait; a request that
    ends with such a token has run one step too many. A step that tells log-probabilities, or follows a grammar,
    waits for the step before it.

    `alone` is the request whose prompt is running, otherwise None.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.alone: int | None = None
        self.slot_memory = 0  # bytes of keys and values of one request in the last round
        self._runner = runner_of(model)
        self._is_ahead = runs_ahead(model.device)
        self._reader = TokenReader(self._is_ahead)
        self._waiting: deque[Ask] = deque()
        self._is_full = False  # true until a request leaves
        self._rows: list[Ask] = []  # running requests, in the order of their slots
        self._token: Tensor | None = None  # [rows, 1], for the next step
        self._ahead: Tensor | None = None  # [rows, 1], of a step that is already launched
        self._pace = Pace()
        self._parts = len(model.stages) or model.config.layers  # of a prompt that is read beside running requests
        self._sampler: Sampler | None = None  # of the running requests
        self._choose: Run[Tensor] | None = None  # calls it
        self._room: AbstractContextManager[None] = nullcontext()  # of the memory of a step

    @property
    def busy(self) -> bool:
        """Tell whether a request is running or waiting."""
        return bool(self._rows or self._waiting)

    @property
    def slots(self) -> int:
        """The number of requests that hold a slot: the running ones, and one whose prompt is being read."""
        return sum(ask.slot is not None for ask in (*self._rows, *self._waiting))

    def add(
        self,
        id: int,
        prompt: list[int],
        max_new_tokens: int,
        sampling: Sampling,
        ends: Ends,
        owner: str | None = None,
    ) -> None:
        """Add a request, which enters with the next round. The next one of its owner, if it has one, does not read
        again the tokens at the beginning that both share.
        """
        self._waiting.append(Ask(id, prompt, max_new_tokens, sampling, ends, owner))

    @torch.inference_mode()
    def start(self) -> None:
        """Run the prompts of all waiting requests, side by side. Raises MemoryShortError if they do not fit."""
        asks = list(self._waiting)
        many, way_out = (f"{len(asks)} answers", "ask less at once") if len(asks) > 1 else ("a prompt", "shorten it")
        with room_for(f"{many} at once", f"{way_out}, {LESS}"):
            slots, logits = self._runner.prefill([self._prompt(ask) for ask in asks], [ask.left for ask in asks])
            for ask, slot in zip(asks, slots, strict=True):
                ask.slot = slot
            self._enter(asks, logits)
        self._waiting.clear()
        self._ahead = self._token

    @torch.inference_mode()
    def cancel(self, id: int) -> None:
        """Forget a request, running or ended."""
        gone = [ask for ask in self._waiting if ask.id == id]
        self._waiting = deque(ask for ask in self._waiting if ask.id != id)
        self._leave(gone)
        self._end([ask for ask in self._rows if ask.id == id])

    @torch.inference_mode()
    def close(self) -> None:
        """Forget all requests."""
        waiting = list(self._waiting)
        self._waiting.clear()
        self._leave(waiting)
        self._end(self._rows)

    def step(self) -> list[News]:
        """Compute one round: a new token of each running request, a chunk of a prompt, and the first token of each
        request whose prompt has been read.

        If memory is short, a request waits while others run, and fails if it is alone.
        """
        news: list[News] = []
        began, is_beside = perf_counter(), bool(self._rows)
        # Entered anew each time: the consumer of the tokens must not run in inference mode.
        with torch.inference_mode():
            try:
                self._advance_all(news)
            except Exception as error:
                news += self._fail(error)
            read = self._admit(news)
            if not self._rows:
                return news
            try:
                assert self._token is not None
                self._reader.start(self._token)
                if self._is_ahead:
                    self._launch_ahead()
                tokens = self._reader.finish()
            except Exception as error:
                return news + self._fail(error)
            new = [ask.news(token) for ask, token in zip(self._rows, tokens, strict=True)]
            self.slot_memory = self._runner.slot_memory
            if is_beside:
                self._pace.see(perf_counter() - began, read)
            self._end([ask for ask, told in zip(self._rows, new, strict=True) if told.is_last])
        return news + new

    def _fail(self, error: Exception) -> list[News]:
        """Let all running requests fail, by an error of work that they share."""
        news = [News(ask.id, error, True) for ask in self._rows]
        self._leave(self._rows)
        return news

    def _advance_all(self, news: list[News]) -> None:
        """Compute the next tokens of all running requests; the longest request fails if memory is short."""
        if self._ahead is not None:
            self._token, self._ahead = self._ahead, None
            return
        while self._rows:
            try:
                self._token = self._advance()
                return
            except MemoryShortError as error:
                longest = max(self._rows, key=lambda ask: ask.slot.length if ask.slot else 0)
                news.append(News(longest.id, error, True))
                self._leave([longest])

    def _launch_ahead(self) -> None:
        assert self._sampler
        if self._sampler.is_read or all(ask.left == 1 for ask in self._rows):
            return
        try:
            self._ahead = self._advance()
        except MemoryShortError:
            return  # reported in the next round, after these tokens

    def _advance(self) -> Tensor:
        """Launch the step for the next tokens; returns the tokens after them, [rows, 1].

        Raises MemoryShortError if memory is too short; the step can then be run again.
        """
        assert self._token is not None
        assert self._sampler
        assert self._choose
        slots = self._slots()
        with self._room:
            logits, best = self._runner.step(slots, self._token)
            try:
                self._sampler.stir()
                return self._choose(logits, [best])
            except Exception:
                for slot in slots:
                    self._runner.rewind(slot, 1)
                raise

    def _admit(self, news: list[News]) -> float:
        """Run prompts of waiting requests, as much as the pace allows; returns the work in tokens."""
        done = 0.0
        while self._waiting and not (self._rows and self._is_full):
            ask = self._waiting[0]
            needed = ask.work if ask.reading else work_of(self._chunk(ask)) / self._parts
            if self._rows and done and done + needed > self._pace.budget:
                break
            is_over = True
            self.alone = ask.id
            try:
                is_over = self._read(ask)
            except Exception as error:  # of this request alone, even where nobody expected it
                self._leave([ask])
                if isinstance(error, MemoryShortError) and self._rows:
                    self._is_full = True
                    break
                news.append(News(ask.id, error, True))
            finally:
                self.alone = None
            done += ask.work
            if is_over and self._waiting and self._waiting[0] is ask:
                self._waiting.popleft()
        return done

    def _chunk(self, ask: Ask) -> int:
        """The number of tokens of a prompt that run next beside running requests."""
        unread = self._runner.unread(ask.slot, ask.prompt) if ask.slot else len(ask.prompt)
        return self._pace.chunk(unread, self._parts) if self.model.config.is_causal else unread

    def _read(self, ask: Ask) -> bool:
        """Run the next part of a prompt; returns whether the request has entered, with the last token of the prompt.
        After an error it must leave.
        """
        with torch.inference_mode(), room_for("a prompt at once", f"shorten it, {LESS}"):
            if not ask.reading:
                self._begin(ask)
            assert ask.reading
            logits = self._runner.advance(ask.reading)
            if logits is None:
                return False
            ask.reading = None
            if logits.shape[1]:
                self._enter([ask], logits)
            return bool(logits.shape[1])

    def _begin(self, ask: Ask) -> None:
        """Begin a run of the next tokens of a prompt: of all if nothing else runs, or if they see later ones."""
        prompt, most = self._prompt(ask), self._chunk(ask) if self._rows else None
        if ask.slot:
            ask.reading = self._runner.go_on(ask.slot, prompt, most)
        else:
            ask.reading = self._runner.begin(prompt, ask.left, ask.owner, most)
            (ask.slot,) = ask.reading.slots
        ask.work = work_of(ask.reading.tokens) / ask.reading.parts

    def _enter(self, asks: Sequence[Ask], logits: Tensor) -> None:
        """Let requests in; their first tokens, from the logits after their prompts, are then the next ones."""
        choices = [Choice(ask.sampling, self._prompt(ask), self.model.config.vocab_size) for ask in asks]
        sampler = Sampler(choices)
        sampler.stir()
        token = sampler(logits, best_of(logits)[:, None])
        token = token if self._token is None else torch.cat((self._token, token))
        self.alone = None
        self._token = token
        for ask, choice in zip(asks, choices, strict=True):
            ask.choice = choice
        self._rows += asks
        self._arrange()

    def _prompt(self, ask: Ask) -> Tensor:
        return torch.tensor(ask.prompt, device=self.model.device)

    def _end(self, asks: Sequence[Ask]) -> None:
        """Free the slots of requests, whose tokens are kept but for the last: a token is known to be sound once the
        next one was found.
        """
        for ask in asks:
            if ask.slot and ask.found:
                self._runner.keep(ask.slot, [*ask.prompt, *ask.found[:-1]])
        self._leave(asks)

    def _leave(self, asks: Sequence[Ask]) -> None:
        """Free the slots of requests."""
        if not asks:
            return
        self._runner.free([ask.slot for ask in asks if ask.slot])
        for ask in asks:
            ask.slot = ask.reading = None
        kept = [number for number, ask in enumerate(self._rows) if ask not in asks]
        self._rows = [self._rows[number] for number in kept]
        if not kept:
            self._token = self._ahead = self._sampler = self._choose = None
        else:
            self._token, self._ahead = (x if x is None else x[kept] for x in (self._token, self._ahead))
        self._is_full = False
        self._arrange()

    def _arrange(self) -> None:
        """Put the requests in the order of their slots, and make their sampler."""
        order = sorted(range(len(self._rows)), key=lambda number: self._slots()[number].row)
        if order != list(range(len(order))):
            self._rows = [self._rows[number] for number in order]
            self._token, self._ahead = (x if x is None else x[order] for x in (self._token, self._ahead))
        if not self._rows:
            return
        self._sampler = sampler = Sampler([ask.choice for ask in self._rows if ask.choice])
        if sampler.is_plain and not sampler.is_read:
            self._choose = lambda _logits, inputs: inputs[0]
        else:
            self._choose = lambda logits, inputs: sampler(logits[:, -1], *inputs)
        self._room = room_for(f"{len(order)} answers at once", f"ask less at once, {LESS}")
        if self._is_ahead and not sampler.is_plain and not sampler.is_read:
            self._choose = Captured(self._choose)

    def _slots(self) -> list[Slot]:
        return [ask.slot for ask in self._rows if ask.slot]


def runs_ahead(device: torch.device) -> bool:
    """Tell whether steps are launched before the tokens before them are read."""
    return device.type == "cuda"


class TokenReader:
    """Reads tokens from the device without waiting for later launches."""

    def __init__(self, is_cuda: bool) -> None:
        self._event = torch.cuda.Event() if is_cuda else None
        self._token = torch.empty(0, 1, dtype=torch.long)

    def start(self, token: Tensor) -> None:
        """Start reading; token: [rows, 1]."""
        if self._event is None:
            self._token = token
            return
        if len(self._token) != len(token):
            self._token = torch.empty(len(token), 1, dtype=torch.long, pin_memory=True)
        self._token.copy_(token, non_blocking=True)
        self._event.record(torch.cuda.current_stream(token.device))

    def finish(self) -> list[int]:
        """Finish reading: one token per row."""
        if self._event is not None:
            self._event.synchronize()
        return [token for (token,) in self._token.tolist()]
