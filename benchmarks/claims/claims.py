"""The claims of this project, each measured again: `python -m benchmarks promises`."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch

import fastglm
from benchmarks.claims import calibration as trust
from benchmarks.claims import gguf_file, no_growth, other_size, second_turn, serving, slots, starts, triton
from benchmarks.claims.matmul import FORMATS, speedups
from benchmarks.claims.plain_loop import PlainLoop
from benchmarks.environment.machine import busy, busy_warning, machine
from benchmarks.exchange.result_file import ResultFile, Row
from benchmarks.execution.request import RunRequest
from benchmarks.measure import statistics
from benchmarks.measure.bounds import ClaimedFigure, count, kept, text, times
from benchmarks.measure.statistics import Estimate
from benchmarks.run.device import disturbance
from benchmarks.run.isolated import apart
from benchmarks.run.progress import BarReporter, Reporter
from benchmarks.run.questions import held_out
from benchmarks.run.workload import Workload, prompts
from benchmarks.synthetic_checkpoints import make_checkpoint, write_published
from fastglm.compress.quantize import quantise_folder
from fastglm.errors import FastGLMError, UsageError
from fastglm.evaluate.layerwise_answers import layerwise_answers
from fastglm.evaluate.likelihood import batches_of
from fastglm.models.checkpoint import Checkpoint
from fastglm.models.layerwise import LayerwiseModel
from fastglm.models.packing import encode
from fastglm.models.tokenizer_files import read_tokenizer
from fastglm.progress.progress import OnProgress, Progress
from fastglm.system.devices import resolve_device
from fastglm.system.files import in_words
from fastglm.system.memory import MemoryMeter

NONE: Mapping[str, float] = MappingProxyType({})
FAMILY = MappingProxyType({"fast": 1.0, "int8": 2.8, "int4": 5.0})  # least gains of variants over `original`


def original_at_512(reporter: Reporter) -> list[ClaimedFigure]:
    """Compare `original` with the plain loop at a width where Python takes a large share of the time."""
    with tempfile.TemporaryDirectory() as folder:
        make_checkpoint(Path(folder), hidden=512, layers=8, heads=8, vocabulary=8000)
        return [times(apart(plain_ratio, reporter, folder, Workload((32,), 64, 11)), most=1.25)]


def original_at_4096(reporter: Reporter) -> list[ClaimedFigure]:
    """Compare `original` with the plain loop at the published width."""
    return [times(apart(plain_ratio, reporter, "shape:chatglm-6b@5", Workload((32,), 16, 7)), most=1.05)]


def speed_at_4096(reporter: Reporter) -> list[ClaimedFigure]:
    """Decoding at the published width, where memory limits the speed."""
    variants = ["original", "fast", "int8", "int4", "turbo"]
    order = RunRequest("shape:chatglm-6b@5", variants, ["latency"], Workload((32,), 32, 7), "cpu")
    return _ratios(order, reporter, "decode_rate_ratio", least={"int4": 4.2, "turbo": 12})


def speed_of_chatglm3(reporter: Reporter) -> list[ClaimedFigure]:
    """Decoding at the sizes of ChatGLM3-6B."""
    return _ratios(_family("shape:chatglm3-6b@5"), reporter, "decode_rate_ratio", least=FAMILY)


def speed_of_glm4(reporter: Reporter) -> list[ClaimedFigure]:
    """Decoding at the sizes of GLM-4-9B."""
    return _ratios(_family("shape:glm-4-9b@2"), reporter, "decode_rate_ratio", least=FAMILY)


def prompts_at_4096(reporter: Reporter) -> list[ClaimedFigure]:
    """The time to the first token of long prompts at the published width."""
    order = RunRequest(
        "shape:chatglm-6b@5", ["original", "int8", "int4"], ["latency"], Workload((128, 512), 2, 7), "cpu"
    )
    return _ratios(order, reporter, "ttft_ratio", most={"int8": 1, "int4": 1})


def speed_on_demo(reporter: Reporter) -> list[ClaimedFigure]:
    """Decoding with a small model, where reading weights takes only a part of a step."""
    variants = ["original", "fast", "int8", "int4", "turbo"]
    order = RunRequest("demo", variants, ["latency"], Workload((32,), 128, 11), "cpu")
    return _ratios(order, reporter, "decode_rate_ratio", least={"fast": 1.3, "int4": 3, "turbo": 10})


def drafting_on_demo(reporter: Reporter) -> list[ClaimedFigure]:
    """Speculative decoding, relative to the model that checks the drafts."""
    order = RunRequest("demo", ["fast", "speculative"], ["latency"], Workload((32,), 128, 11), "cpu")
    return _ratios(order, reporter, "decode_rate_ratio", least={"speculative": 1})


def fast_as_original(reporter: Reporter, questions: int = 200) -> list[ClaimedFigure]:
    """Greedy answers of `fast` and of `original` to held-out questions, in fp32."""
    return [count(apart(equal_answers, reporter, "demo", questions), questions, least=questions)]


def many_rows(reporter: Reporter) -> list[ClaimedFigure]:
    """Products of 128 and 512 rows, as in prompts, with packed weights relative to fp32: the slower of the two."""
    found = apart(speedups, reporter, rows=(128, 512))
    slowest = {name: min((e for (of, _), e in found.items() if of == name), key=lambda e: e.value) for name in FORMATS}
    return [times(slowest["int8"], "int8", least=1.5), times(slowest["int4-g128"], "int4", least=1)]


def memory_of_loading(reporter: Reporter) -> list[ClaimedFigure]:
    """Loading a sharded fp16 checkpoint of about 1 GB."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reporter.at("writing a checkpoint of 1 GB")
        make_checkpoint(folder, 2048, 8, 16, 32000, torch.float16, shard_size="200MB")
        largest = max(file.stat().st_size for file in folder.glob("*.safetensors"))
        peak, stays = apart(loading_peak, reporter, name)
    allowed = 1.2 * largest + stays
    return [
        ClaimedFigure(peak, "bytes", most=allowed),
        ClaimedFigure(allowed, "bytes", "allowed"),
        ClaimedFigure(largest, "bytes", "shard"),
        ClaimedFigure(stays, "bytes", "stays"),
    ]


def memory_of_streaming(reporter: Reporter, layers: int = 28, questions: int = 8) -> list[ClaimedFigure]:
    """Logits and answers of a checkpoint of the published size, layer by layer."""
    with _published(reporter, layers) as folder:
        peak, seconds = apart(streaming_peak, reporter, str(folder), questions)
    return [ClaimedFigure(peak, "bytes", most=4e9), ClaimedFigure(seconds / 60, "min")]


def quantising(reporter: Reporter, layers: int = 28) -> list[ClaimedFigure]:
    """Quantize a checkpoint of the published size to int4, to nearest, on a PC."""
    with _published(reporter, layers) as folder:
        peak, seconds = apart(quantising_peak, reporter, str(folder))
        made = Checkpoint(folder / "int4").size
    return [
        ClaimedFigure(peak, "bytes", most=4e9),
        ClaimedFigure(seconds / 60, "min", most=12),
        ClaimedFigure(made, "bytes", "on disk", most=3.8e9),
    ]


def calibrating(reporter: Reporter, layers: int = 1) -> list[ClaimedFigure]:
    """Quantize some of the published layers with embedding and head to int4 by GPTQ on few texts."""
    with _published(reporter, layers) as folder:
        peak, seconds, tokens = apart(calibrating_peak, reporter, str(folder))
    of = f"{layers} of 28 layers"
    return [
        ClaimedFigure(peak, "bytes", of),
        ClaimedFigure(seconds / 60, "min", of),
        ClaimedFigure(tokens, "", "tokens of texts"),
    ]


@contextmanager
def _published(reporter: Reporter, layers: int) -> Iterator[Path]:
    """A checkpoint of the published shape on a disk with room for a second one."""
    with tempfile.TemporaryDirectory() as name:
        wanted, free = 3e9 + 0.55e9 * layers, shutil.disk_usage(name).free
        if free < wanted:
            raise FastGLMError(f"{name} has {in_words(free)} free and {in_words(wanted)} are needed: set TMPDIR")
        reporter.at("writing a checkpoint of the published shape")
        write_published(Path(name), layers)
        yield Path(name)


class Promise(NamedTuple):
    """A claim and the figures that decide it: none if this machine cannot tell."""

    promised: str
    measure: Callable[[Reporter], list[ClaimedFigure]]


PROMISES = {
    "original-512": Promise(
        "original takes at most 1.25 × a plain loop, hidden 512, 8 layers, per token", original_at_512
    ),
    "original-4096": Promise(
        "original takes at most 1.05 × a plain loop, shape:chatglm-6b@5, per token", original_at_4096
    ),
    "speed-4096": Promise(
        "decoding, shape:chatglm-6b@5, over original: int4 at least 4.2 ×, turbo 12 × as fast", speed_at_4096
    ),
    "speed-chatglm3": Promise(
        "decoding, shape:chatglm3-6b@5, over original: fast at least 1 ×, int8 2.8 ×, int4 5 × as fast",
        speed_of_chatglm3,
    ),
    "speed-glm4": Promise(
        "decoding, shape:glm-4-9b@2, over original: fast at least 1 ×, int8 2.8 ×, int4 5 × as fast", speed_of_glm4
    ),
    "prompts-4096": Promise(
        "time to the first token, prompts of 128 and 512, shape:chatglm-6b@5: int8 and int4 no more than original",
        prompts_at_4096,
    ),
    "speed-demo": Promise(
        "decoding, demo, over original: fast at least 1.3 ×, int4 3 ×, turbo 10 × as fast", speed_on_demo
    ),
    "speculative": Promise("decoding, demo: speculative faster than fast", drafting_on_demo),
    "fast-text": Promise("fast answers as original, greedy, fp32, demo", fast_as_original),
    "products": Promise(
        "128 and 512 rows by 4096 × 4096: int8 at least 1.5 × as fast as fp32, int4 as fast", many_rows
    ),
    "loading-memory": Promise(
        "loading a sharded fp16 checkpoint of 1 GB peaks at 1.2 × the largest shard + what stays at most",
        memory_of_loading,
    ),
    "streaming-memory": Promise(
        "layer by layer, 12.3 GB of fp16 stay under 4 GB resident: logits of 8 questions, 2 tokens of answers",
        memory_of_streaming,
    ),
    "quantising": Promise(
        "12.3 GB of fp16 become int4, to nearest, in 4 GB resident, 12 minutes and 3.8 GB on disk at most", quantising
    ),
    "calibrating": Promise("12.3 GB of fp16 become int4 by GPTQ: what a layer takes", calibrating),
    "half-width": Promise(other_size.PROMISED, other_size.promise),
    "slots": Promise(slots.PROMISED, slots.requests_at_once),
    "serving": Promise(serving.PROMISED, serving.clients),
    "serving-llama": Promise(serving.PROMISED_LLAMA, serving.over_llama),
    "serving-transformers": Promise(serving.PROMISED_TRANSFORMERS, serving.over_transformers),
    "serving-beside": Promise(serving.PROMISED_BESIDE, serving.beside_prompt),
    "second-turn": Promise(second_turn.PROMISED, second_turn.promise),
    "starts": Promise(starts.PROMISED, starts.promise),
    "gguf": Promise(gguf_file.PROMISED, gguf_file.promise),
    "kernels": Promise(triton.PROMISED, triton.promise),
    "context": Promise(
        "int4, int8 cache, shape:chatglm-6b@5: a token at 2,048 tokens of context takes 1.25 × that at 128 at most",
        no_growth.step_in_long_context,
    ),
    "context-glm": Promise(
        "int4, int8 cache, shape:chatglm3-6b@5: a token at 8,192 tokens of context takes 1.35 × that at 128 at most",
        no_growth.step_in_longest_context,
    ),
    "chats-memory": Promise(
        "resident memory grows by 8 MiB at most from the 100th to the 1,000th chat, demo", no_growth.memory_of_chats
    ),
    "same": Promise("fast against itself, demo: called different at most 5 times in 40", trust.same_variant),
    "slower": Promise("fast slowed by exactly 5 %, demo: found at least 18 times in 20", trust.slower_variant),
    "stopwatch": Promise("decode_rate is within 3 % of a stopwatch in another process, demo", trust.stopwatch),
    "hosting": Promise("a host and a client that reads add at most 1 % to a step, demo", trust.cost_of_hosting),
    "peak": Promise("peak_memory is within 3 % of the system's own figure, CPU", trust.peak_of_process),
    "disk": Promise("disk_size is what du says, demo", trust.size_on_disk),
}


def plain_ratio(progress: OnProgress, model_name: str, workload: Workload) -> Estimate:
    """Seconds per token of `original` relative to the plain loop, on the same weights, in turn, pair by pair.

    Raises `FastGLMError` if the two give different tokens, because then they compute different things.
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
    return statistics.median(ratios[1:])  # the first repeat is the warm-up


def equal_answers(progress: OnProgress, model_name: str, questions: int) -> int:
    """The number of held-out questions to which `fast` gives the greedy answer of `original`, token by token."""
    loaded = [fastglm.load(model_name, variant, "cpu", "float32") for variant in ("original", "fast")]
    known = held_out(20)
    asked = [question.text for question in known[:: max(len(known) // questions, 1)][:questions]]  # of every skill
    same = 0
    for number, known_text in enumerate(asked):
        progress(Progress("fast and original in turn", number, len(asked)))
        answers = [
            [piece.token for piece in fastglm.stream(*one, known_text.prompt, known_text.history, 128, do_sample=False)]
            for one in loaded
        ]
        same += answers[0] == answers[1]
    return same


def loading_peak(progress: OnProgress, folder: str) -> tuple[int, int]:
    """Bytes of resident memory at the peak of loading, above the state before it; and bytes of the loaded weights."""
    meter = MemoryMeter("cpu", 0)
    if not meter.reset_peak():
        raise FastGLMError("the peak of a process's memory cannot be measured on this system: use Linux")
    before = meter.read().current
    model, _ = fastglm.load(folder, "original", "cpu", progress=progress)
    return meter.read().peak - before, model.fastglm.weights_memory


def streaming_peak(progress: OnProgress, folder: str, questions: int) -> tuple[int, float]:
    """Bytes of resident memory at the peak, and seconds, for the losses of some answers and two generated tokens each,
    in fp32.
    """
    began = time.perf_counter()
    checkpoint, tokenizer = Checkpoint(Path(folder)), read_tokenizer(Path(folder))
    asked = [encode(tokenizer, q.text.messages, q.text.answer, 2048) for q in held_out(2)[:questions]]
    model = LayerwiseModel(checkpoint, torch.device("cpu"), torch.float32)

    def on_layer(done: int, layers: int) -> None:
        progress(Progress("layer by layer", done, layers))

    model.finals(list(batches_of(asked, checkpoint.config)), on_layer)
    for _ in layerwise_answers(model, [example.prompt for example in asked], 2, 1 << 30):
        progress(Progress("answers, layer by layer", 1, 1))
    return MemoryMeter("cpu", 0).read().peak, time.perf_counter() - began


def quantising_peak(progress: OnProgress, folder: str) -> tuple[int, float]:
    """Bytes of resident memory at the peak, and seconds, for rounding a checkpoint to int4."""
    began = time.perf_counter()
    quantise_folder(Path(folder), "int4-g128", Path(folder) / "int4", progress)
    return MemoryMeter("cpu", 0).read().peak, time.perf_counter() - began


def calibrating_peak(progress: OnProgress, folder: str) -> tuple[int, float, int]:
    """Bytes of resident memory at the peak, seconds, and tokens of the texts, for quantizing a checkpoint to int4 by
    GPTQ.
    """
    began = time.perf_counter()
    texts = [question.text for question in held_out(4)]
    quantise_folder(Path(folder), "int4-g128", Path(folder) / "int4", progress, texts=texts)
    calibration = Checkpoint(Path(folder) / "int4").config.calibration
    assert calibration is not None  # GPTQ has just written it
    return MemoryMeter("cpu", 0).read().peak, time.perf_counter() - began, calibration["tokens"]


def _ratios(
    order: RunRequest,
    reporter: Reporter,
    metric: str,
    least: Mapping[str, float] = NONE,
    most: Mapping[str, float] = NONE,
) -> list[ClaimedFigure]:
    """A metric of every variant relative to the first, with its bounds, for every prompt length.

    Raises `FastGLMError` if a variant could not be measured.
    """
    found = order.carry_out(None, reporter).measurements
    if failures := [str(row.params["error"]) for row in found if row.metric == "failure"]:
        raise FastGLMError("; ".join(failures))
    lengths = len(order.workload.prompt_tokens) > 1
    return [
        times(
            Estimate(row.value, row.n, row.low, row.high),
            f"{row.variant} {row.params['prompt_tokens']}" if lengths else row.variant,
            least.get(row.variant),
            most.get(row.variant),
        )
        for row in found
        if row.metric == metric
    ]


def _family(model: str) -> RunRequest:
    """A request to measure the decoding of a model of the GLM family."""
    return RunRequest(model, ["original", *FAMILY], ["latency"], Workload((32,), 32, 7), "cpu")


def keep(only: str | None = None, json: Path | None = None) -> bool:
    """Measure all claims, or those named in `only`, and print claimed and measured values side by side.

    Rows are written to the file `json`, or replaced there, one by one. Returns False if a claim is missed or could not
    be measured.

    Raises:
        UsageError: an unknown name, or a file of another machine.
        ServedError: a server has the CPU or the card.
    """
    names = [name.strip() for name in only.split(",")] if only else list(PROMISES)
    for name in names:
        if name not in PROMISES:
            raise UsageError(f"there is no promise {name}: choose from {', '.join(PROMISES)}")
    device = str(resolve_device())
    devices = ",".join(sorted({"cpu", device}))
    disturbance(devices)  # refused here, before anything is measured
    facts = machine(device)
    results = ResultFile.open(json, facts) if json else None
    print(f"{facts['cpu']}, {facts['threads']} threads, {facts['memory'] / 1e9:.0f} GB, torch {torch.__version__}")
    if warning := busy_warning(facts):
        print(f"warning: {warning}", flush=True)
    missed = 0
    for name in names:
        reporter, load, note = BarReporter(), busy(), disturbance(devices)
        try:
            figures = PROMISES[name].measure(reporter)
        except FastGLMError as error:
            missed += 1
            reporter.error(f"{name} could not be measured: {error}")
            continue
        reporter.close()
        missed += kept(figures) is False
        verdict = {True: "kept", False: "MISSED", None: "not for this machine"}[kept(figures)]
        print(f"{PROMISES[name].promised:104}  {text(figures):44}  {verdict}", flush=True)
        if results and figures:
            results.put(Row.now(name, figures, PROMISES[name].promised, load, note))
    return not missed
