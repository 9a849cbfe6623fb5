"""Every sentence of the pages stands in every catalogue, translated, and nothing else does."""

import re

import pytest

from terakoya.errors import NoSuchUser, StartFailed
from terakoya.web import i18n, reasons
from tests.web.messages import extracted, read

LANGUAGES = [language for language in i18n.NAMES if language != i18n.SOURCE]
PLACE = re.compile(r"%\(\w+\)s|\{\w+\}")


def ids(catalog):
    return {message.id for message in catalog if message.id}


@pytest.mark.parametrize("language", LANGUAGES)
def test_complete_and_nothing_stale(language):
    wanted, there = ids(extracted()), ids(read(language))
    assert not wanted - there, "run: python -m tests.web.messages, then translate"
    assert not there - wanted, "run: python -m tests.web.messages"


@pytest.mark.parametrize("language", LANGUAGES)
def test_translated_with_the_same_places(language):
    for message in read(language):
        texts = message.string if isinstance(message.string, tuple) else (message.string,)
        sources = message.id if isinstance(message.id, tuple) else (message.id,)
        for text in texts if message.id else ():
            assert text, f"not translated: {message.id}"
            assert set(PLACE.findall(text)) == set(PLACE.findall(sources[-1])), message.id


def test_errors_are_explained_in_the_visitor_s_language():
    catalogues = i18n.load()
    assert catalogues.explain("en", NoSuchUser(name="x"))[0] == 'There is no user "x".'
    assert catalogues.explain("ja", NoSuchUser(name="x"))[0] == "利用者「x」はいません。"
    what, cure = catalogues.explain("ja", StartFailed(reason="Try again", hint="{odd}"))
    assert "もう一度試す" in what
    assert cure == "{odd}"


@pytest.mark.parametrize(
    ("reason", "english", "japanese"),
    [
        ("it ended by itself", "It ended by itself.", "サーバーが自分で終了しました。"),
        ("It ended by itself.", "It ended by itself.", "サーバーが自分で終了しました。"),
        (
            "Your home /home/x is not a folder.",
            "Your home /home/x is not a folder.",
            "ホーム /home/x はフォルダーではありません。",
        ),
        ("something else: {odd}", "Something else: {odd}.", "Something else: {odd}."),
        ("", "", ""),
    ],
)
def test_reasons(reason, english, japanese):
    catalogues = i18n.load()
    assert reasons.explain(reason, catalogues.of("en").gettext) == english
    assert reasons.explain(reason, catalogues.of("ja").gettext) == japanese


def test_each_language_has_a_catalogue():
    assert set(i18n.load().by_language) == set(i18n.NAMES)
