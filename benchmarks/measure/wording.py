"""Numbers with their units, and parameters of measurements, in words."""

from benchmarks.measure.measurement import Params


def quantity(value: float, unit: str) -> str:
    """A number with its unit, in the most readable size."""
    factor, shown = size(value, unit)
    return f"{short(value * factor)} {shown}".rstrip()


def size(value: float, unit: str) -> tuple[float, str]:
    """The factor and the unit that make a value most readable."""
    if unit in ("s", "s/token") and value < 1:
        return 1e3, f"m{unit}"
    if unit in ("bytes", "bytes/s"):
        factor, shown = (1e-9, "GB") if value >= 1e9 else (1e-6, "MB")
        return factor, unit.replace("bytes", shown)
    return 1, unit


def kind(metric: str, params: Params) -> str:
    """Params in words; for a KL of earlier versions, with a note on its kind."""
    bound = metric == "kl_divergence" and "arithmetic" not in params
    return ", ".join(filter(None, [words(params), "lower bound" if bound else ""]))


def words(params: Params) -> str:
    """Params in words: `32 in, 64 out, p95`."""
    known = {
        "prompt_tokens": "{} in",
        "answer_tokens": "{} out",
        "quantile": "{}",
        "disk_cache": "disk cache {}",
        "during": "{}",
        "batch": "batch {}",
        "clients": "clients {}",
        "rate": "{} requests/s",
        "prompts": "prompts {}",
        "meter": "{}",
        "arithmetic": "{} arithmetic",
        "vocabulary": "over {} tokens",
    }
    quantile = params.get("quantile")
    shown = {**params, "quantile": _quantile(quantile)} if isinstance(quantile, float) else params
    texts = [text.format(shown[name]) for name, text in known.items() if name in shown]
    others = [f"{name} {value}" for name, value in params.items() if name not in known and name != "baseline"]
    return ", ".join([*texts, *others])


def _quantile(share: float) -> str:
    return "largest" if share == 1 else f"p{100 * share:.0f}"


def short(value: float) -> str:
    """Three significant digits."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
