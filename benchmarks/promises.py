"""What this project promises of itself, each measured anew: `python -m benchmarks promises`."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

import fastglm
from benchmarks import statistics, trust
from benchmarks.apart import apart
from benchmarks.checkpoints import make_checkpoint, write_published
from benchmarks.machine import busy_warning, machine
from benchmarks.order import Order
from benchmarks.outcome import Outcome, at_least, at_most
from benchmarks.plain_loop import PlainLoop
from benchmarks.progress import BarReporter, Reporter
from benchmarks.questions import held_out
from benchmarks.statistics import Estimate
from benchmarks.workload import Workload, prompts
from fastglm.compress.quantize import quantise_folder
from fastglm.errors import FastGLMError, UsageError
from fastglm.evaluate.likelihood import batches_of
from fastglm.evaluate.streamed import StreamedModel
from fastglm.evaluate.streamed_answers import streamed_answers
from fastglm.hardware import device_card
from fastglm.memory import MemoryMeter
from fastglm.models.checkpoint import Checkpoint
from fastglm.models.packing import encode
from fastglm.models.source import demo_folder
from fastglm.models.tokenizer import ChatGLMTokenizer
from fastglm.progress import OnProgress, Progress


def original_at_512(reporter: Reporter) -> Outcome:
    """`original` against the plain loop where Python's share is large."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = ChatGLMTokenizer.from_pretrained(demo_folder())
        make_checkpoint(Path(folder), tokenizer, hidden=512, layers=8, heads=8, vocabulary=8000)
        estimate = apart(plain_ratio, reporter, folder, Workload((32,), 64, 11))
    return at_most("original takes at most 1.25 × a plain loop, hidden 512, per token", estimate, 1.25)


def original_at_4096(reporter: Reporter) -> Outcome:
    """`original` against the plain loop at the published width."""
    estimate = apart(plain_ratio, reporter, "shape:chatglm-6b@5", Workload((32,), 16, 7))
    return at_most("original takes at most 1.05 × a plain loop, shape:chatglm-6b@5, per token", estimate, 1.05)


def int4_on_avx512(reporter: Reporter) -> Outcome:
    """`int4` against `original` where decoding is bound by memory; promised for CPUs with AVX-512 and 2 threads."""
    order = Order("shape:chatglm-6b@5", ["original", "int4"], ["latency"], Workload((32,), 32, 5), "cpu", threads=2)
    outcome = at_least("int4 decodes at least 4 × as fast as original, shape:chatglm-6b@5", _speed(order, reporter), 4)
    if device_card("cpu").simd == "AVX512":
        return outcome
    return Outcome(f"{outcome.promised} (AVX-512)", outcome.measured, None)


def fast_on_demo(reporter: Reporter) -> Outcome:
    """`fast` against `original` on the demo model."""
    order = Order("demo", ["original", "fast"], ["latency"], Workload((32,), 128, 11), "cpu")
    return at_least("fast decodes at least as fast as original, demo", _speed(order, reporter), 1)


def memory_of_loading(reporter: Reporter) -> Outcome:
    """Loading a sharded fp16 checkpoint of about 1 GB."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokenizer = ChatGLMTokenizer.from_pretrained(demo_folder())
        reporter.at("writing a checkpoint of 1 GB")
        make_checkpoint(folder, tokenizer, 2048, 8, 16, 32000, torch.float16, shard_size="200MB")
        largest = max(file.stat().st_size for file in folder.glob("*.safetensors"))
        peak, stays = apart(loading_peak, reporter, name)
    bound = 1.2 * largest + stays
    return Outcome(
        f"loading peaks at no more than 1.2 × the largest shard + what stays: {bound / 1e9:.2f} GB",
        f"{peak / 1e9:.2f} GB (shard {largest / 1e9:.2f}, stays {stays / 1e9:.2f})",
        peak <= bound,
    )


def memory_of_streaming(reporter: Reporter, layers: int = 28, questions: int = 8) -> Outcome:
    """Logits and answers of a checkpoint of the published size, layer by layer."""
    with _published(reporter, layers) as folder:
        size = Checkpoint(folder).size
        peak, seconds = apart(streaming_peak, reporter, str(folder), questions)
    return Outcome(
        f"the layer-by-layer pass over {size / 1e9:.1f} GB of fp16 stays under 4 GB resident",
        f"{peak / 1e9:.2f} GB ({questions} questions, {seconds:.0f} s)",
        peak < 4e9,
    )


def quantising(reporter: Reporter, layers: int = 28) -> Outcome:
    """A checkpoint of the published size becomes int4, to nearest, on a PC."""
    with _published(reporter, layers) as folder:
        size = Checkpoint(folder).size
        peak, seconds = apart(quantising_peak, reporter, str(folder))
        made = Checkpoint(folder / "int4").size
    return Outcome(
        f"{size / 1e9:.1f} GB of fp16 become int4 in 4 GB resident, 12 minutes and 3.8 GB on disk at most",
        f"{peak / 1e9:.2f} GB, {seconds / 60:.1f} min ({seconds / size * 1e9:.0f} s a GB), {made / 1e9:.2f} GB",
        peak <= 4e9 and seconds <= 720 and made <= 3.8e9,
    )


@contextmanager
def _published(reporter: Reporter, layers: int) -> Iterator[Path]:
    """A checkpoint of the published shape, with room for one made of it beside."""
    with tempfile.TemporaryDirectory() as name:
        wanted, free = 3e9 + 0.55e9 * layers, shutil.disk_usage(name).free
        if free < wanted:
            raise FastGLMError(f"{name} has {free / 1e9:.0f} GB free, wanted are {wanted / 1e9:.0f}: set TMPDIR")
        reporter.at("writing a checkpoint of the published shape")
        write_published(Path(name), layers)
        yield Path(name)


PROMISES: dict[str, Callable[[Reporter], Outcome]] = {
    "original-512": original_at_512,
    "original-4096": original_at_4096,
    "int4-avx512": int4_on_avx512,
    "fast-demo": fast_on_demo,
    "loading-memory": memory_of_loading,
    "streaming-memory": memory_of_streaming,
    "quantising": quantising,
    "same": trust.same_variant,
    "slower": trust.slower_variant,
    "stopwatch": trust.stopwatch,
    "hosting": trust.cost_of_hosting,
    "peak": trust.peak_of_process,
    "disk": trust.size_on_disk,
}


def plain_ratio(progress: OnProgress, model_name: str, workload: Workload) -> Estimate:
    """Seconds a token of `original` over those of the plain loop, on the same weights, in turn, pair by pair.

    Raises `FastGLMError` where the two do not give the same tokens, as then one of them computes something else.
    """
    model, tokenizer = fastglm.load(model_name, "original", "cpu", progress=progress)
    plain = PlainLoop(model)
    asked = prompts(tokenizer, workload.prompt_tokens[0], workload.repeats + 1)
    length, ratios = workload.answer_tokens, []
    for number, prompt in enumerate(asked):
        progress(Progress("original and a plain loop in turn", number, len(asked)))
        ours = list(fastglm.stream(model, tokenizer, prompt, max_new_tokens=length, do_sample=False, ignore_eos=True))
        theirs = [(token, time.perf_counter()) for token in plain.generate(prompt, length)]
        if [piece.token for piece in ours] != [token for token, _ in theirs]:
            raise FastGLMError("original and the plain loop give different tokens: they cannot be compared")
        ratios.append((ours[-1].time - ours[0].time) / (theirs[-1][1] - theirs[0][1]))
    return statistics.median(ratios[1:])  # the first is the warm-up


def loading_peak(progress: OnProgress, folder: str) -> tuple[int, int]:
    """Bytes of resident memory at the peak of loading, above those before it; and bytes of the loaded weights."""
    meter = MemoryMeter("cpu", 0)
    if not meter.reset_peak():
        raise FastGLMError("the peak of a process's memory cannot be measured on this system: use Linux")
    before = meter.read().current
    model, _ = fastglm.load(folder, "original", "cpu", progress=progress)
    return meter.read().peak - before, model.fastglm.weights_memory


def streaming_peak(progress: OnProgress, folder: str, questions: int) -> tuple[int, float]:
    """Bytes of resident memory at the peak, and seconds, of the logits of some answers, and of two tokens of answers
    of its own, in fp32."""
    began = time.perf_counter()
    checkpoint, tokenizer = Checkpoint(Path(folder)), ChatGLMTokenizer.from_pretrained(folder)
    asked = [encode(tokenizer, q.history, q.question, q.expected, 2048) for q in held_out(2)[:questions]]
    model = StreamedModel(checkpoint, torch.device("cpu"), torch.float32)

    def on_layer(done: int, layers: int) -> None:
        progress(Progress("layer by layer", done, layers))

    pad = checkpoint.config.pad_token_id
    assert pad is not None  # set by the config
    model.best_logits(list(batches_of(asked, pad)), 64, on_layer)
    for _ in streamed_answers(model, [example.prompt for example in asked], 2, 1 << 30):
        progress(Progress("answers, layer by layer", 1, 1))
    return MemoryMeter("cpu", 0).read().peak, time.perf_counter() - began


def quantising_peak(progress: OnProgress, folder: str) -> tuple[int, float]:
    """Bytes of resident memory at the peak, and seconds, of rounding a checkpoint to int4."""
    began = time.perf_counter()
    quantise_folder(Path(folder), "int4-g128", Path(folder) / "int4", progress)
    return MemoryMeter("cpu", 0).read().peak, time.perf_counter() - began


def _speed(order: Order, reporter: Reporter) -> Estimate:
    """How many times as fast as the first variant the second one decodes."""
    result = order.carry_out(None, reporter)
    for row in result.measurements:
        if row.metric == "decode_rate_ratio":
            return Estimate(row.value, row.n, row.low, row.high)
    raise FastGLMError("; ".join(str(row.params["error"]) for row in result.measurements if row.metric == "failure"))


def keep(only: str | None = None) -> bool:
    """Measure all promises, or those whose names are in `only`, and print promised and measured side by side.

    Returns False if one is missed or could not be measured. Raises `UsageError` for a name that is none.
    """
    names = [name.strip() for name in only.split(",")] if only else list(PROMISES)
    for name in names:
        if name not in PROMISES:
            raise UsageError(f"there is no promise {name}: choose from {', '.join(PROMISES)}")
    facts = machine("cpu")
    print(f"{facts['cpu']}, {facts['threads']} threads, {facts['memory'] / 1e9:.0f} GB, torch {torch.__version__}")
    if warning := busy_warning(facts):
        print(f"warning: {warning}", flush=True)
    missed = 0
    for name in names:
        reporter = BarReporter()
        try:
            outcome = PROMISES[name](reporter)
            missed += outcome.kept is False
            reporter.close()
            print(outcome.line, flush=True)
        except FastGLMError as error:
            missed += 1
            reporter.error(f"{name} could not be measured: {error}")
    return not missed
