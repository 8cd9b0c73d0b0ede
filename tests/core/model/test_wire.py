"""Messages as text, and what is refused."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpdist.core.model.errors import ConfigurationError, ProtocolMismatch
from hpdist.core.model.json_codec import MAX_DEPTH, MAX_DIGITS, MAX_TEXT, MAX_VALUES, decode, encode

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(10**300), 10**300)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text('aé\U0001f600"\\[{,\x00')
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner) | st.dictionaries(st.text("ab{[", max_size=3), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text("ab", max_size=3), VALUES))
def test_what_is_encoded_is_decoded_unchanged(message: dict[str, object]) -> None:
    assert decode(encode(message)) == message


@given(st.text() | st.binary().map(repr))
def test_any_text_is_a_message_or_refused(text: str) -> None:
    with contextlib.suppress(ProtocolMismatch):
        assert isinstance(decode(text), dict)


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_nesting_up_to_the_limit_is_accepted() -> None:
    message = {"x": nested(MAX_DEPTH - 1)}
    assert decode(encode(message)) == message


@pytest.mark.parametrize(
    ("message", "word"),
    [
        ({"x": float("nan")}, "Out of range"),
        ({"x": float("inf")}, "Out of range"),
        ({"x": object()}, "object"),
        ({"x": {1, 2}}, "set"),
        ({"x": b"bytes"}, "bytes"),
        ({"x": "\ud800"}, "surrogates"),
        ({"x": 10**MAX_DIGITS}, "digits"),
        ({"x": 10**5000}, "digits"),
        ({"x": nested(MAX_DEPTH)}, "deep"),
        ({"x": nested(900)}, "deep"),
        ({"x": [0] * MAX_VALUES}, "values"),
        ({"x": "a" * MAX_TEXT}, "characters"),
    ],
)
def test_what_the_other_side_would_refuse_is_not_sent(
    message: dict[str, object], word: str
) -> None:
    with pytest.raises(ConfigurationError, match=word):
        encode(message)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (b"{}", "bytes"),
        (None, "NoneType"),
        ({"a": 1}, "dict"),
        ("", "Expecting"),
        ("{", "Expecting"),
        ("[]", "object"),
        ("3", "object"),
        ('{"x":NaN}', "NaN"),
        ('{"x":Infinity}', "Infinity"),
        ('{"x":-Infinity}', "Infinity"),
        ('{"x":1e999}', "finite"),
        ('{"x":' + "9" * (MAX_DIGITS + 1) + "}", "digits"),
        ('{"x":' + "9" * 5000 + "}", "digits"),
        ('{"x":"\\ud800"}', "surrogates"),
        ('{"x":"\\uDFFF"}', "surrogates"),
        ('{"x":"\udfff"}', "surrogates"),
        ('{"x":' + "[" * 100 + "]" * 100 + "}", "deep"),
        ('{"x":' + "[" * 100_000 + "]" * 100_000 + "}", "JSON"),
        ('{"x":[' + "0," * MAX_VALUES + "0]}", "values"),
        ('{"x":"' + "a" * MAX_TEXT + '"}', "characters"),
    ],
)
def test_hostile_text_is_refused_with_a_word(text: object, word: str) -> None:
    with pytest.raises(ProtocolMismatch, match=word):
        decode(text)


def test_brackets_and_commas_inside_of_strings_do_not_count() -> None:
    message = {"x": "[{," * 50_000, "digits": "7" * 1000}
    assert decode(encode(message)) == message


def test_characters_beyond_the_basic_plane_survive() -> None:
    assert decode(encode({"x": "\U0001f600é"})) == {"x": "\U0001f600é"}


def test_text_of_a_foreign_json_writer_is_understood() -> None:
    message = {"x": [1, 2.5, "é", None, True]}
    assert decode(json.dumps(message, ensure_ascii=False, indent=2)) == message
