"""The fast engine gives the recorded tokens of ChatGLM3 and GLM-4, whatever prompts are beside one another."""

import pytest
import torch
from recorded import expected, folder

from fastglm.engine.fast import FastEngine
from fastglm.engine.runner import runner_of
from fastglm.engine.sampling import Sampling
from fastglm.variants.load import load

NAMES = ["chatglm3", "glm4", "glm4-1m"]


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def model(name):
    return load(str(folder(name)), "fast", "cpu")[0]


def test_greedy_tokens_are_the_recorded(model, name):
    record = expected(name)
    for case in (*record["generate"], *([record["long"]] if "long" in record else [])):
        found = FastEngine(model).generate(case["input_ids"], 32, Sampling(do_sample=False), ())
        assert list(found) == case["new_ids"]


@torch.inference_mode()
def test_a_long_prompt_beside_a_short_one_is_the_same_as_alone(model):
    runner = runner_of(model)
    prompts = [torch.arange(n) % model.config.vocab_size for n in (1100, 7, 600)]
    together, logits = runner.prefill(prompts, [4] * 3)
    steps = runner.step(together, torch.tensor([[1], [2], [3]]))[0]
    runner.free(together)
    for row, prompt in enumerate(prompts):
        slots, alone = runner.prefill([prompt], [4])
        torch.testing.assert_close(logits[row], alone[0], rtol=1e-4, atol=1e-5)
        step = runner.step(slots, torch.tensor([[row + 1]]))[0]
        torch.testing.assert_close(steps[row], step[0], rtol=1e-4, atol=1e-5)
        runner.free(slots)
