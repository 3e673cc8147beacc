"""`report`: one self-contained HTML file with all measurements; Markdown; errors."""

import re
from html.parser import HTMLParser
from itertools import product
from pathlib import Path

import plotly.graph_objects as go
import pytest
from measured import measure
from wrong_usage import refuse

from benchmarks.cli.commands import main
from benchmarks.report import html
from benchmarks.run.record import Record
from benchmarks.store.find_run import measurements_of
from benchmarks.store.run import Run
from benchmarks.store.store import Store

EVIL = "<script>alert(1)</script> & | *bold*"


@pytest.fixture
def store() -> Store:
    return Store()


class Reader(HTMLParser):
    """Collects text, scripts and everything that the page would load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.inside = ""
        self.text: list[str] = []
        self.scripts: list[str] = []
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.meta: list[dict[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        self.tags.append(tag)
        self.loads += [str(value) for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag == "meta":
            self.meta.append(dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        (self.scripts if self.inside == "script" else self.text).append(data)


def read(path: Path) -> Reader:
    return Reader(path.read_text(encoding="utf-8"))


def test_one_file_holds_everything(store: Store, tmp_path: Path) -> None:
    run = measure(store, ["original", "fast", "int4"], lengths=[32, 128])
    target = tmp_path / "report.html"
    assert main(["report", run.id, "--out", str(target)]) == 0
    page = read(target)
    text = " ".join(page.text)
    assert page.loads == []
    policy = next(meta["content"] for meta in page.meta if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy
    assert any(meta.get("name") == "viewport" for meta in page.meta)
    assert sum("* plotly.js v" in script for script in page.scripts) == 1
    assert (
        sum("Plotly.newPlot(" in script and len(script) < 100_000 for script in page.scripts)
        == page.tags.count("h2") - 2
    )
    for said in (run.id, "A processor", "A GPU", "8 GB", "abc", "python -m benchmarks run", "repeats 10", "torch 2.11"):
        assert said in text
    assert "done" in page.text
    assert re.search(r"\d\.\d+ × original, [\d.]+ – [\d.]+ ×", text)


def test_all_text_is_escaped(store: Store, tmp_path: Path) -> None:
    names = ["original", "<img src=x>"]
    run = measure(store, names, model=EVIL, command=EVIL, failing={"fast": EVIL}, code_version=EVIL)
    store.finish(run.id, "failed", EVIL)
    target, other = tmp_path / "report.html", tmp_path / "report.md"
    assert main(["report", run.id, "--out", str(target), "--markdown", str(other)]) == 0
    page = read(target)
    assert page.loads == []
    assert "img" not in page.tags
    assert EVIL in page.text
    assert "alert(1)" not in "".join(page.scripts)
    assert not any("<img" in script for script in page.scripts if len(script) < 100_000)
    labels = "".join(script for script in page.scripts if len(script) < 100_000).replace("\\u0026", "&")
    assert "&lt;img src=x&gt;" in labels  # plotly reads its labels as HTML
    assert "\\u003cimg" not in labels
    written = other.read_text(encoding="utf-8")
    assert r"\<script\>alert(1)\</script\> \& \| \*bold\*" in written
    assert "\\<img src=x\\>" in written


def drawn(store: Store, run: Run) -> dict[str, go.Figure]:
    return {chart.title: chart.figure for chart in html.draw(measurements_of(store, run.id), store.samples([run.id]))}


def test_the_charts_show_what_was_measured(store: Store) -> None:
    run = measure(store, lengths=[32, 128], noise=0.05)
    figures = drawn(store, run)
    assert list(figures) == [
        "Time to first token, over that of original",
        "Decode rate, over that of original",
        "Time to first token",
        "Prefill rate",
        "Decode rate",
        "Decode latency",
        "Times of single tokens, 32 in, 16 out",
        "Times of single tokens, 128 in, 16 out",
        "Memory",
    ]
    rows = {
        (row.metric, row.variant): row
        for row in measurements_of(store, run.id)
        if row.params.get("prompt_tokens") == 128
    }
    first = figures["Time to first token"].data[1]
    row = rows["ttft", "int4"]
    assert row.low is not None
    assert first.name == "int4"
    assert list(first.x) == [32, 128]
    assert first.y[1] == pytest.approx(row.value)  # s, because the longest takes more than one
    assert first.error_y.arrayminus[1] == pytest.approx(row.value - row.low)
    rate = figures["Decode rate"].data[1]
    assert rate.y[1] == pytest.approx(rows["decode_rate", "int4"].value)
    assert rate.error_y.array[1] > 0
    ratio = figures["Decode rate, over that of original"].data[0]
    assert (ratio.name, ratio.y[1]) == ("int4", pytest.approx(rows["decode_rate_ratio", "int4"].value))
    weights, cache, rest = figures["Memory"].data
    assert list(weights.x) == ["original", "int4"]
    assert list(weights.y) == [16, 4]  # MB
    assert [sum(parts) for parts in zip(weights.y, cache.y, rest.y, strict=True)] == pytest.approx([40, 40], abs=1e-4)
    assert figures["Memory"].layout.barmode == "stack"


def test_servers_are_drawn_by_clients_and_against_their_first_tokens(store: Store) -> None:
    run = Run("demo", ["original", "int4"], ["serving"], {"device": "cpu"})
    record = Record(run, store)
    store.start_run(run)
    for variant, speed in (("original", 1), ("int4", 2)):
        for clients, repeat in product((1, 4, 16), range(3)):
            params = {"clients": clients, "prompts": "32", "answer_tokens": 16}
            record.add(variant, "throughput", params, repeat, 10.0 * speed * clients)
            record.add(variant, "ttft", params, repeat, *[0.02 * clients] * 20)
    record.save(everything=True)
    figures = drawn(store, run)
    over = figures["Throughput by number of clients"].data[1]
    assert (over.name, list(over.x), list(over.y)) == ("int4", [1, 4, 16], [20, 80, 320])
    against = figures["Throughput against the time to the first token"]
    assert list(against.data[1].x) == pytest.approx([20, 80, 320])  # ms
    assert (list(against.data[0].y), list(against.data[0].text)) == ([10, 40, 160], ["1", "4", "16"])
    assert "ms" in against.layout.xaxis.title.text


def test_token_times_are_all_there(store: Store) -> None:
    run = measure(store, suites=["latency"])
    figures = drawn(store, run)
    assert "Memory" not in figures
    line = figures["Times of single tokens, 32 in, 16 out"].data[1]
    times = [time * 1000 for row in store.samples([run.id], "decode_latency")["values"][10:] for time in row]
    assert (line.x[0], line.x[-1]) == (pytest.approx(min(times)), pytest.approx(max(times)))
    assert (line.y[0], line.y[-1]) == (0, 1)
    assert list(line.x) == sorted(line.x)


def test_a_single_repeat_has_no_interval_and_is_drawn(store: Store) -> None:
    run = measure(store, ["int4"], repeats=1, suites=["latency"])
    assert sum(drawn(store, run)["Decode rate"].data[0].error_y.array) == 0


def test_remarks_name_the_weaknesses_of_the_figures(store: Store, tmp_path: Path) -> None:
    run = measure(store, ["original", "int4"], failing={"int4": "out of memory"}, machine={"cpu_busy": 0.7})
    store.finish(run.id, "cancelled")
    target = tmp_path / "report.html"
    assert main(["report", run.id[:18], "--out", str(target)]) == 0
    text = " ".join(read(target).text)
    assert "70% of the processors" in text
    assert "int4: latency failed: out of memory" in text
    assert "the run is cancelled" in text


def test_without_a_file_the_table_is_printed(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    run = measure(store)
    assert main(["report", run.id]) == 0
    assert capsys.readouterr().out.splitlines()[0].split()[:3] == ["metric", "of", "variant"]


def test_markdown(store: Store, tmp_path: Path) -> None:
    run, target = measure(store), tmp_path / "report.md"
    assert main(["report", run.id, "--markdown", str(target)]) == 0
    lines = target.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# demo"
    assert f"- run: {run.id}" in lines
    table = [line for line in lines if line.startswith("|")]
    assert table[0] == "| metric | of | variant | value | 95 % interval | n | ratio |"
    assert len({line.count("|") for line in table}) == 1
    assert any(line.startswith(r"| decode\_rate | 32 in, 16 out | int4 | ") for line in table)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "there is no run 'nothing'"),
        (["{empty}", "--out", "{folder}/x.html"], "measured nothing (out of memory)"),
        (["{run}", "--out", "{folder}"], "name a file for --out"),
        (["{run}", "--markdown", "{folder}/no/x.md"], "name another file for --markdown"),
        (["{run}", "--store", "none"], "without a store"),
        ([], "RUN"),
    ],
)
def test_wrong_usage(
    arguments: list[str], said: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = measure(store, ["int4"], failing={"int4": "out of memory"})
    names = {"run": measure(store).id, "empty": empty.id, "folder": str(tmp_path)}
    refuse(["report", *(argument.format(**names) for argument in arguments)], said, capsys)
    assert not (tmp_path / "x.html").exists()
