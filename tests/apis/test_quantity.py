"""Quantities compare by value and are spelled as Kubernetes spells them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.apis.quantity import QuantityError, canonical, parse


@pytest.mark.parametrize(
    ("text", "value", "spelling"),
    [
        ("0.1", "0.1", "100m"),
        ("1024Mi", 2**30, "1Gi"),
        ("1.5Gi", 3 * 2**29, "1536Mi"),
        ("0.5Gi", 2**29, "512Mi"),
        ("1000m", 1, "1"),
        ("1000k", 10**6, "1M"),
        ("500M", 500 * 10**6, "500M"),
        ("1e3", 1000, "1e3"),
        ("12E", 12 * 10**18, "12E"),
        (".5", "0.5", "500m"),
        ("2", 2, "2"),
        (2, 2, "2"),
        (0.25, "0.25", "250m"),
        ("0", 0, "0"),
        ("0Gi", 0, "0"),
        ("-1", -1, "-1"),
        ("+1", 1, "1"),
        ("0.0000000001", "0.0000000001", "1n"),
        ("1023Ki", 1023 * 1024, "1023Ki"),
    ],
)
def test_spelling(text, value, spelling):
    assert parse(text) == Decimal(value)
    assert canonical(text) == spelling


@pytest.mark.parametrize("text", ["", "abc", "1 Gi", "1gi", "1KiB", "--1", "1.2.3", "Gi", "1e", True, "0x10", "١"])
def test_no_quantity(text):
    with pytest.raises(QuantityError, match="not a quantity"):
        parse(text)


@given(
    st.integers(0, 10**6),
    st.sampled_from(["", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "E2"]),
)
def test_the_canonical_spelling_means_the_same_and_is_stable(number, suffix):
    text = f"{number}{suffix}"
    assert parse(canonical(text)) == parse(text)
    assert canonical(canonical(text)) == canonical(text)
