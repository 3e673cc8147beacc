"""The share of a cluster that each replica gets."""

import pytest

from fastglm.errors import FastGLMError
from fastglm.serve.share import Share, share_of

PLAIN, CARDS = {"CPU": 8.0, "memory": 1e9}, {"CPU": 32.0, "GPU": 2.0}


@pytest.mark.parametrize(
    ("machines", "replicas", "device", "share"),
    [
        ([PLAIN], 1, "auto", Share("cpu", 8)),
        ([PLAIN], 3, "auto", Share("cpu", 2)),
        ([PLAIN, {"CPU": 4.0}], 2, "auto", Share("cpu", 4)),
        ([PLAIN, {"CPU": 4.0}], 4, "cpu", Share("cpu", 2)),
        ([PLAIN, CARDS], 2, "auto", Share("cuda", 1, 1)),
        ([PLAIN, CARDS], 1, "cpu", Share("cpu", 32)),
    ],
)
def test_a_replica_has_a_card_or_its_part_of_the_processors(
    machines: list[dict[str, float]], replicas: int, device: str, share: Share
) -> None:
    assert share_of(machines, replicas, device) == share


@pytest.mark.parametrize(
    ("machines", "replicas", "device", "said"),
    [
        ([PLAIN], 9, "auto", "Replicas wanted: 9, processors in the cluster: 8."),
        ([], 1, "auto", "processors in the cluster: 0."),
        ([PLAIN, CARDS], 3, "auto", "Replicas wanted: 3, GPUs in the cluster: 2."),
        ([PLAIN], 1, "cuda", "GPUs in the cluster: 0."),
        ([CARDS], 1, "cuda:1", "leave --device cuda:1 out"),
    ],
)
def test_replicas_that_do_not_fit_are_refused(
    machines: list[dict[str, float]], replicas: int, device: str, said: str
) -> None:
    with pytest.raises(FastGLMError, match=said):
        share_of(machines, replicas, device)
