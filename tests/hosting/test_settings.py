"""Settings of requests reach a host process, and everything that their pieces tell comes back."""

import json
from typing import Any

import pytest
from recorded import folder

import fastglm
from fastglm.errors import UsageError
from fastglm.hosting.host import Host

MODEL = folder("chatglm"), "fast", "cpu", "float32"
GREEDY = {"max_new_tokens": 16, "do_sample": False, "ignore_eos": True}
ASKED: list[dict[str, Any]] = [
    GREEDY,
    GREEDY | {"presence_penalty": 1.0, "frequency_penalty": 0.5, "logit_bias": {522: -100, 30: 2.5}, "logprobs": 3},
    {"grammar": '{"enum": ["甲,乙", "b"]}', "seed": 1, "logprobs": 0},
]


def test_settings_give_the_same_pieces_in_a_host() -> None:
    loaded = fastglm.load(*MODEL)
    *_, last = fastglm.stream(*loaded, "你好", **GREEDY)
    asked = [*ASKED, GREEDY | {"stop": [last.text[4:6]]}]
    with Host.start(*MODEL) as host:
        answers = [host.ask("你好", **settings) for settings in asked]
        for settings, answer in zip(asked, answers, strict=True):
            found, wanted = list(answer), list(fastglm.stream(*loaded, "你好", owner=None, **settings))
            assert [(p.text, p.token, p.stop) for p in found] == [(p.text, p.token, p.stop) for p in wanted]
            assert [p.logprob for p in found] == pytest.approx([p.logprob for p in wanted], abs=1e-4)
            tops, wanted_tops = ([top for p in pieces for top in p.top_logprobs] for pieces in (found, wanted))
            assert [token for token, _ in tops] == [token for token, _ in wanted_tops]
            assert [value for _, value in tops] == pytest.approx([value for _, value in wanted_tops], abs=1e-4)
        ends = [answer.piece.stop if answer.piece else None for answer in answers]
        assert ends == ["length", "length", "eos", "stop"]
        assert json.loads(answers[2].piece.text if answers[2].piece else "") in ("甲,乙", "b")
        for wrong in ({"logprobs": 30}, {"stop": [""]}, {"grammar": "{"}):
            with pytest.raises(UsageError, match=f"^{next(iter(wrong))} "):
                list(host.ask("你好", **wrong))
