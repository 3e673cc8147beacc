"""The pages for browsers: one that says what runs here and how to call it, and the documentation of the API."""

from collections.abc import Sequence
from pathlib import Path
from string import Template

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from markupsafe import escape
from starlette.staticfiles import StaticFiles
from swagger_ui_bundle import swagger_ui_path

from fastglm.serve import snippets
from fastglm.serve.served_model import ServedModel

_PAGE = Template("""<!doctype html>
<html lang="$lang"><head><meta charset="utf-8"><title>FAST-ChatGLM · $name</title>
<meta name="viewport" content="width=device-width">
<style>body{font:16px/1.6 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem}
pre{background:#8882;padding:1rem;overflow:auto;border-radius:.5rem}</style></head>
<body><h1>FAST-ChatGLM</h1><p>$runs</p><p>$published</p>
<pre>$curl</pre>
<p>$openai</p>
<pre>$python</pre>
<p>$more</p></body></html>
""")
_TEXTS = {
    "en": {
        "runs": "This server answers with <b>$name</b> as <b>$variant</b>. State: $state.",
        "published": "Ask as published for ChatGLM-6B:",
        "openai": "Or with any client of OpenAI's API:",
        "more": 'All fields: <a href="docs">docs</a>. State: <a href="health">health</a>. '
        "Figures for Prometheus: /metrics.",
    },
    "zh": {
        "runs": "本服务器用 <b>$name</b>（方式：<b>$variant</b>）回答。状态：$state。",
        "published": "按 ChatGLM-6B 发布的接口提问：",
        "openai": "也可以用任何 OpenAI 接口的客户端：",
        "more": '全部字段：<a href="docs">docs</a>。状态：<a href="health">health</a>。Prometheus 指标：/metrics。',
    },
}
_POLICY = {
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
_OF_SWAGGER = "/static/swagger"


def install(app: FastAPI, model: ServedModel, has_key: bool) -> None:
    """Add the pages to an app; everything that they load comes from this server."""
    app.mount(_OF_SWAGGER, StaticFiles(directory=Path(str(swagger_ui_path))), name="swagger")

    @app.get("/", include_in_schema=False)
    async def about(request: Request) -> HTMLResponse:
        lang = preferred(request.headers.get("accept-language", ""), [*_TEXTS])
        url = str(request.base_url).rstrip("/")
        known = {
            "name": model.name,
            "variant": model.key.variant,
            "state": model.state,
            "curl": snippets.curl(url, has_key),
            "python": snippets.python(url, model.name, has_key),
        }
        facts = {key: str(escape(value)) for key, value in known.items()}
        texts = {key: Template(text).substitute(facts) for key, text in _TEXTS[lang].items()}
        html = _PAGE.substitute(facts, **texts, lang=lang)
        return HTMLResponse(html, headers={**_POLICY, "Vary": "Accept-Language", "Content-Language": lang})

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        page = get_swagger_ui_html(
            openapi_url="openapi.json",
            title="FAST-ChatGLM",
            swagger_js_url=f"{_OF_SWAGGER[1:]}/swagger-ui-bundle.js",
            swagger_css_url=f"{_OF_SWAGGER[1:]}/swagger-ui.css",
            swagger_favicon_url=f"{_OF_SWAGGER[1:]}/favicon-32x32.png",
        )
        page.headers.update(_POLICY)
        return page


def preferred(header: str, known: Sequence[str]) -> str:
    """The language of an Accept-Language header that is known, the first one of all if none is."""
    best, best_weight = known[0], 0.0
    for part in header.split(","):
        tag, _, weight = part.partition(";q=")
        try:
            value = float(weight) if weight else 1.0
        except ValueError:
            continue
        lang = tag.strip().partition("-")[0].lower()
        if lang in known and value > best_weight:
            best, best_weight = lang, value
    return best
