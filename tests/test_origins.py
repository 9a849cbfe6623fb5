"""Names of users in host names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from terakoya import origins


@pytest.mark.parametrize(
    ("key", "label"),
    [
        ("alice", "alice"),
        ("jane.doe", "jane--doe"),
        ("a-b_c9", "a-b_c9"),
        ("jane--doe", ""),
        ("a.-b", ""),
        ("a-.b", ""),
        ("a..b", ""),
        (".a", ""),
        ("a b", ""),
        ("evil.example/", ""),
        ("\uff41", ""),
        ("", ""),
        ("x" * 63, "x" * 63),
        ("x" * 64, ""),
        ("a." + "x" * 61, ""),
    ],
)
def test_labels(key: str, label: str) -> None:
    assert origins.label(key) == label


@given(some.text("ab.-_9", max_size=8), some.text("ab.-_9", max_size=8))
def test_no_two_names_share_a_label(one: str, other: str) -> None:
    first, second = origins.label(one), origins.label(other)
    assert "." not in first
    if first:
        assert origins.key(first) == one
        assert (first == second) == (one == other)
