"""The logic around capturing a step, with plain calls in place of the capture."""

import pytest
import torch

from fastglm.engine.cuda_graph import Captured


class FakeGraphs:
    """Captures like CUDA: nothing is computed until the replay, and each replay writes into the same result."""

    def __init__(self, fails=False):
        self.captured, self.replayed, self.fails = 0, 0, fails

    def __call__(self, work, device):
        self.captured += 1
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing")
        result = torch.zeros(1, 1, dtype=torch.long)

        def replay():
            self.replayed += 1
            result.copy_(work())

        return replay, result


def run(token, inputs):
    """A step that counts in its cache."""
    inputs[0] += 1
    return token * 2 + inputs[0]


def answers(step, sizes):
    """Tokens of an answer whose cache is a new buffer after each change of size."""
    token, place, buffers, found = torch.tensor([[1]]), torch.zeros(1, dtype=torch.long), {}, []
    for size in sizes:
        token = step(token, [place, buffers.setdefault(size, torch.zeros(size))])
        found.append(int(token))
    return found


def test_a_graph_is_captured_once_a_size_and_computes_the_same():
    sizes = [4] * 5 + [8] * 4
    graphs = FakeGraphs()
    assert answers(Captured(run, graphs), sizes) == answers(run, sizes)
    assert (graphs.captured, graphs.replayed) == (2, 7)  # the first step of a size runs uncaptured


def test_a_first_step_that_fails_is_no_warm_up():
    graphs, short = FakeGraphs(), [True, False]

    def failing(token, inputs):
        if short.pop(0) if short else False:
            raise MemoryError
        return run(token, inputs)

    step, inputs = Captured(failing, graphs), [torch.zeros(1, dtype=torch.long), torch.zeros(4)]
    with pytest.raises(MemoryError):
        step(torch.tensor([[1]]), inputs)
    for count in (0, 1):
        step(torch.tensor([[1]]), inputs)
        assert graphs.captured == count


def test_a_step_that_cannot_be_captured_runs_with_one_warning(caplog):
    graphs = FakeGraphs(fails=True)
    sizes = [4] * 5 + [8] * 4
    for count in (1, 2):
        assert answers(Captured(run, graphs), sizes) == answers(run, sizes)
        assert graphs.captured == count  # each answer tries once, and only the first one reports it
    assert [record.message for record in caplog.records] == [
        "The decode step cannot be captured as a CUDA graph, and runs slower: "
        "operation not permitted when stream is capturing"
    ]
