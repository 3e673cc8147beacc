"""A run on real hosts. Times exist and are positive; no test asserts their size."""

from pathlib import Path

import pytest

from benchmarks.cli.commands import main
from benchmarks.store.store import Store

GOLDEN = Path(__file__).parents[2] / "golden" / "chatglm"


@pytest.mark.timeout(600)
def test_variants_of_a_real_model() -> None:
    asked = ["--prompt-tokens", "8,40", "--answer-tokens", "6", "--repeats", "2", "--suite", "latency,memory"]
    assert main(["run", "--model", str(GOLDEN), "--variants", "original,int8", "--device", "cpu", *asked]) == 0
    rows = Store().measurements()
    assert not (rows["metric"] == "failure").any()
    assert (rows["value"] > 0).all()
    assert set(rows["device"]) == {"cpu"}
    weights = rows[rows["metric"] == "weights_memory"].set_index("variant")["value"]
    assert weights["int8"] < weights["original"]
    cache = rows[(rows["metric"] == "cache_memory") & (rows["variant"] == "original")]["value"]
    # Keys and values of prompt and answer: 3 layers, 8 heads of 8, fp32.
    assert cache.tolist() == [2 * 3 * 64 * 4 * tokens for tokens in (8 + 6, 40 + 6)]
    peak = rows[rows["metric"] == "peak_memory"]
    assert (peak["value"] > 50e6).all()  # a process with PyTorch in it
    samples = Store().samples(metric="decode_latency")
    assert samples["values"].map(len).tolist() == [5] * len(samples)
    assert Store().runs()["settings"][0]["arrangement"] == {"latency": "interleaved", "memory": "blocks"}


def test_a_folder_that_is_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FASTGLM_HOME", str(tmp_path / "home"))
    assert main(["run", "--model", str(tmp_path)]) == 1
    assert main(["run", "--model", "shape:chatglm-7b"]) == 2
    assert main(["run", "--device", "abacus"]) == 1
    assert main(["run", "--model", str(GOLDEN), "--prompt-tokens", "250"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["error"] * 4
