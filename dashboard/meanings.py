"""Meanings of metrics in the visitor's language."""

from dashboard.texts import say


def meaning(metric: str) -> str:
    """A metric's meaning; for a metric of another version only its name."""
    known = {
        "ttft": say("meaning-ttft"),
        "prefill_rate": say("meaning-prefill-rate"),
        "decode_latency": say("meaning-decode-latency"),
        "decode_rate": say("meaning-decode-rate"),
        "acceptance": say("meaning-acceptance"),
        "throughput": say("meaning-throughput"),
        "energy": say("meaning-energy"),
        "load_time": say("meaning-load-time"),
        "disk_size": say("meaning-disk-size"),
        "weights_memory": say("meaning-weights-memory"),
        "cache_memory": say("meaning-cache-memory"),
        "peak_memory": say("meaning-peak-memory"),
        "decode_rate_ratio": say("meaning-decode-rate-ratio"),
        "ttft_ratio": say("meaning-ttft-ratio"),
        "throughput_ratio": say("meaning-throughput-ratio"),
        "skill_accuracy": say("meaning-skill-accuracy"),
        "perplexity": say("meaning-perplexity"),
        "bits_per_byte": say("meaning-bits-per-byte"),
        "kl_divergence": say("meaning-kl-divergence"),
        "top1_agreement": say("meaning-top1-agreement"),
    }
    return known.get(metric, metric)
