"""JupyterLab's shared files: compressed once, cached for good, fetched ahead."""

import gzip

import brotli
import pytest
from starlette.requests import Request

from terakoya.web.labstatic import LabStatic
from terakoya.web.statics import best_coding

MAIN, CORE, LATE = "main.0123456789abcdef.js", "jlab_core.fedcba9876543210.js", "77.00112233445566aa.js"


@pytest.fixture
def lab(tmp_path):
    source = tmp_path / "static"
    source.mkdir()
    for name in (MAIN, CORE, LATE):
        (source / name).write_text(f"// {name}\n" + "let x = 1;\n" * 500)
    (source / "small.svg").write_text("<svg/>")
    (source / "a.woff2").write_bytes(b"\x00\x01" * 900)
    (source / "index.html").write_text(
        f'<script defer src="{{{{page_config.fullStaticUrl}}}}/{MAIN}?v=0123456789abcdef">'
    )
    return LabStatic(tmp_path / "cache", source, "9.9.9")


def ask(lab, name, query="", version="9.9.9", **headers):
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": query.encode(),
        "headers": [(key.replace("_", "-").encode(), value.encode()) for key, value in headers.items()],
    }
    return lab.respond(Request(scope), version, name)


def test_gzip_until_the_denser_form_is_ready(lab):
    plain = (lab.source / MAIN).read_bytes()
    first = ask(lab, MAIN, accept_encoding="gzip, deflate, br")
    assert first.headers["content-encoding"] == "gzip"
    assert gzip.decompress(first.body) == plain
    lab.compress_in_background().join(60)
    dense = ask(lab, MAIN, accept_encoding="gzip, deflate, br")
    assert dense.headers["content-encoding"] == "br"
    assert brotli.decompress(dense.body) == plain
    assert ask(lab, MAIN).body == plain
    assert "content-encoding" not in ask(lab, MAIN).headers
    assert LabStatic(lab.cache.parent, lab.source, "9.9.9")._read_dense(MAIN) == dense.body


def test_headers(lab):
    answer = ask(lab, "a.woff2", accept_encoding="br")
    assert "content-encoding" not in answer.headers
    assert answer.headers["content-type"] == "font/woff2"
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    again = ask(lab, "a.woff2", if_none_match=answer.headers["etag"])
    assert again.status_code == 304
    assert again.body == b""
    assert ask(lab, MAIN).headers["content-type"] == "text/javascript; charset=utf-8"
    assert ask(lab, MAIN, accept_encoding="gzip").headers["etag"] != ask(lab, MAIN).headers["etag"]


@pytest.mark.parametrize("name", ["index.html", "../secret", "/etc/passwd", "nothing.js", "", "small.svg/"])
def test_nothing_else_is_served(lab, name):
    with pytest.raises(Exception, match="404"):
        ask(lab, name)


def test_another_version_is_not_here(lab):
    with pytest.raises(Exception, match="404"):
        ask(lab, MAIN, version="1.0.0")


def test_served_by_the_hub(stage):
    browser = stage.browser()
    page = browser.get("/hub/login").text
    lab = stage.place.hub.lab_static
    assert lab.ahead()
    for address in lab.ahead():
        assert f'<link rel="prefetch" as="script" href="{address}"' in page
        answer = browser.get(address)
        assert answer.status_code == 200
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "content-security-policy" not in answer.headers
    assert browser.get("/hub/lab-static/0.0.1/x.js").status_code == 404


def test_what_comes_first_is_learned(lab):
    assert [address.rpartition("/")[2] for address in lab.ahead()] == [
        f"{MAIN}?v=0123456789abcdef",
        f"{CORE}?v=fedcba9876543210",
    ]
    late = f"{LATE}?v=00112233445566aa"
    ask(lab, LATE, "v=00112233445566aa")
    assert late not in str(lab.ahead())  # nobody opened a page
    ask(lab, MAIN, "v=0123456789abcdef")
    ask(lab, LATE, "v=00112233445566aa")
    ask(lab, "a.woff2")
    ask(lab, LATE, "v=nonsense")
    assert len(lab.ahead()) == 3
    assert LabStatic(lab.cache.parent, lab.source, "9.9.9").ahead() == lab.ahead()


def test_a_folder_that_can_t_be_written(lab, monkeypatch):
    lab.cache = lab.source / MAIN / "x"
    lab.first.path = lab.cache / "first.json"
    lab.compress_in_background().join(60)
    ask(lab, MAIN, "v=0123456789abcdef")
    assert ask(lab, LATE, "v=00112233445566aa", accept_encoding="br, gzip").headers["content-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        ("", "identity"),
        ("gzip", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("br;q=1.0, gzip;q=0.1", "br"),
        ("GZIP", "gzip"),
        ("x", "identity"),
    ],
)
def test_content_negotiation(header, coding):
    assert best_coding(header, {"br", "gzip", "identity"}) == coding
