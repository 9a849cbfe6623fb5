"""What somebody reads whom the gate turns away: a small page in their language, or JSON for programs.

The texts stand here and not in the catalogue of the pages: the gate imports nothing that it does not need.
"""

from __future__ import annotations

import json
from html import escape

ENGLISH = 0
JAPANESE = 1

TEXTS: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "signed_out": (
        ("You are not signed in.", "Sign in at {hub}/hub/login, or send a token: Authorization: token ..."),
        ("サインインしていません。", "{hub}/hub/login でサインインするか、トークンを送ってください。"),
    ),
    "bad_token": (
        ("This token is not valid: it is unknown, was removed, or has run out.", "Make a new one at {hub}/hub/token."),
        ("このトークンは使えません。削除されたか、期限が切れています。", "{hub}/hub/token で作り直してください。"),
    ),
    "out_of_scope": (
        ("This token may not be used for this server.", "Make one with the right scope at {hub}/hub/token."),
        ("このトークンではこのサーバーを使えません。", "{hub}/hub/token で別のトークンを作ってください。"),
    ),
    "cross_site": (
        ("This request came from another web site and was refused.", "Open the page in terakoya itself and try again."),
        ("ほかのサイトから送られた要求なので、拒否しました。", "terakoya のページからもう一度試してください。"),
    ),
    "wrong_origin": (
        ("This server has a web address of its own, and cookies count only there.", "Open it from {hub}/hub/home."),
        ("このサーバーには専用のアドレスがあります。", "{hub}/hub/home から開いてください。"),
    ),
    "not_yours": (
        ("There is nothing here for you.", "Check the address. Your own server is at {hub}/hub/home."),
        ("ここにはあなたのものはありません。", "アドレスを確かめるか、{hub}/hub/home を開いてください。"),
    ),
    "no_such_page": (
        ("There is no such page.", "Go to {hub}/hub/home."),
        ("このページはありません。", "{hub}/hub/home へ進んでください。"),
    ),
    "misspelled": (
        ("The user's name is written differently.", "Use the name as it is shown at {hub}/hub/home."),
        ("アドレスの利用者名の書き方が違います。", "{hub}/hub/home にある名前を使ってください。"),
    ),
    "not_running": (
        ("This server is not running.", "Start it at {hub}/hub/home."),
        ("このサーバーは動いていません。", "{hub}/hub/home から起動してください。"),
    ),
    "no_database": (
        ("The database does not answer, so nobody can be let in: {cause}.", "Try again soon. Running kernels go on."),
        ("データベースが応答しません ({cause})。", "少し待ってもう一度試してください。"),
    ),
}
"""Code to (cause, cure) in English and Japanese."""

PAGE = """<!DOCTYPE html>
<html lang="{lang}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{title}</title><style>
:root{{color-scheme:light dark}}
body{{font:1.05rem/1.6 system-ui,sans-serif;max-width:36rem;margin:15vh auto 0;padding:0 1.5rem}}
h1{{font-size:1.25rem}}
</style></head><body><h1>{title}</h1><p>{cure}</p></body></html>
"""


def language(accept_language: str) -> int:
    """Japanese if the browser prefers it to English."""
    best, chosen = 0.0, ENGLISH
    for part in accept_language.split(",")[:20]:
        tag, _, weight = part.strip().lower().partition(";q=")
        index = {"ja": JAPANESE, "en": ENGLISH}.get(tag.partition("-")[0])
        try:
            value = float(weight or 1)
        except ValueError:
            continue
        if index is not None and value > best:
            best, chosen = value, index
    return chosen


def body(code: str, status: int, *, page: bool, accept_language: str, **facts: str) -> tuple[bytes, bytes]:
    """The content type and the content."""
    spoken = language(accept_language)
    what, cure = (text.format(**facts) for text in TEXTS[code][spoken])
    if not page:
        message = {"status": status, "message": f"{what} {cure}", "code": code}
        return b"application/json", json.dumps(message, ensure_ascii=False).encode()
    lang = ("en", "ja")[spoken]
    return b"text/html; charset=utf-8", PAGE.format(lang=lang, title=escape(what), cure=escape(cure)).encode()
