"""Calls of a server to copy."""

import json
import shlex


def curl(url: str, has_key: bool) -> str:
    """A question as published for ChatGLM-6B, in a shell."""
    body = json.dumps({"prompt": "你好", "history": []}, ensure_ascii=False)
    key = "-H 'Authorization: Bearer KEY' " if has_key else ""
    return f"curl {shlex.quote(f'{url}/')} -H 'Content-Type: application/json' {key}-d {shlex.quote(body)}"


def python(url: str, model: str, has_key: bool) -> str:
    """A question by OpenAI's client."""
    return f"""from openai import OpenAI

client = OpenAI(base_url={_quoted(f"{url}/v1")}, api_key="{"KEY" if has_key else "none"}")
answer = client.chat.completions.create(model={_quoted(model)}, messages=[{{"role": "user", "content": "你好"}}])
print(answer.choices[0].message.content)"""


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
