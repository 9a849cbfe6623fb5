"""What the edge itself says when nobody answers behind it: a page in both languages, or JSON for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from terakoya.edge.answers import UNAVAILABLE
from terakoya.edge.filters import GATE_ERROR


@dataclass(frozen=True)
class Reply:
    """A cause and a cure; the first sentence pair in English, the second in Japanese."""

    title: str
    cure: str
    title_ja: str
    cure_ja: str


GATE_DOWN = Reply(
    "The part of terakoya that checks who you are is not answering.",
    "It restarts by itself within seconds. Reload this page if it does not do so by itself. If it stays so, tell "
    "whoever runs this server.",
    "利用者を確かめる部分が応答していません。",
    "数秒で自動的に再起動します。このページが変わらなければ再読み込みしてください。続く場合は管理者に知らせてください。",
)
UPSTREAM_DOWN = Reply(
    "What this address leads to is not answering: it has just stopped, or is about to start.",
    "Reload this page in a few seconds if it does not do so by itself. Your files are safe. If it stays so, start your "
    "server again at /hub/home.",
    "この先のサーバーが応答していません。停止した直後か、起動する直前です。",
    "このページが変わらなければ再読み込みしてください。ファイルは無事です。"
    "続く場合は /hub/home からサーバーを起動し直してください。",
)

AGAIN = '<meta http-equiv="refresh" content="2">'
"""Most of what is down is back by then; a server that did not start has left its reason where this leads to."""

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">{again}
<title>terakoya</title><style>
:root{{color-scheme:light dark}}
body{{font:1.05rem/1.6 system-ui,sans-serif;max-width:36rem;margin:15vh auto 0;padding:0 1.5rem}}
h1{{font-size:1.25rem}}section+section{{margin-top:2.5rem;opacity:.85}}
</style></head><body>
<section><h1>{title}</h1><p>{cure}</p></section>
<section lang="ja"><h1>{title_ja}</h1><p>{cure_ja}</p></section>
</body></html>
"""


def config() -> dict[str, Any]:
    """Mappers in order; what none of them takes keeps Envoy's own plain words."""
    mappers: list[dict[str, Any]] = [{"filter": _status(UNAVAILABLE), "status_code": 503}]
    for flagged, reply in ((_status(GATE_ERROR), GATE_DOWN), (_nobody_there(), UPSTREAM_DOWN)):
        mappers.append(_mapper([flagged, _wants_html(), _is_get()], _page(reply, AGAIN)))
        mappers.append(_mapper([flagged, _wants_html()], _page(reply)))
        mappers.append(_mapper([flagged], _json(reply)))
    return {"mappers": mappers}


def _mapper(conditions: list[dict[str, Any]], form: dict[str, Any]) -> dict[str, Any]:
    condition = conditions[0] if len(conditions) == 1 else {"and_filter": {"filters": conditions}}
    return {"filter": condition, "status_code": 503, "body_format_override": form}


def _status(code: int) -> dict[str, Any]:
    value = {"default_value": code, "runtime_key": "terakoya.never_set"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _nobody_there() -> dict[str, Any]:
    return {"response_flag_filter": {"flags": ["UH", "UF", "UC", "UO", "UR", "URX", "LR", "UT"]}}


def _wants_html() -> dict[str, Any]:
    return {"header_filter": {"header": {"name": "accept", "string_match": {"contains": "text/html"}}}}


def _is_get() -> dict[str, Any]:
    return {"header_filter": {"header": {"name": ":method", "string_match": {"exact": "GET"}}}}


def _page(reply: Reply, again: str = "") -> dict[str, Any]:
    text = PAGE.format(again=again, title=reply.title, cure=reply.cure, title_ja=reply.title_ja, cure_ja=reply.cure_ja)
    # A percent sign begins a command in Envoy's formats.
    return {
        "text_format_source": {"inline_string": text.replace("%", "%%")},
        "content_type": "text/html; charset=utf-8",
    }


def _json(reply: Reply) -> dict[str, Any]:
    return {"json_format": {"status": 503, "message": f"{reply.title} {reply.cure}"}}
