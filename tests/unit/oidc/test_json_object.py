"""Everyone who reads a provider's document reads the same one."""

import math

import pytest

from gateway.oidc.json_object import MAX_DEPTH, NotAnObject, number, read_json_object


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b" ",
        b"[]",
        b"1",
        b"null",
        b'{"a":1}{"a":1}',
        b'{"a":1,}',
        b"{'a':1}",
        b'{"a":1,"a":2}',
        b'{"a":1,"\\u0061":2}',
        b'{"x":{"a":1,"a":1}}',
        b'{"x":[{"a":1,"a":1}]}',
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        b'{"\\udc00":1}',
        b'{"a":[{"b":"\\uDFFF"}]}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":' * 5000,
        b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}",
        b'{"a":"\n"}',
    ],
)
def test_anything_but_one_unambiguous_object_is_refused(octets: bytes) -> None:
    with pytest.raises(NotAnObject):
        read_json_object(octets)


def test_an_object_is_read() -> None:
    text = '{"a":1,"b":[true,null,{"c":"é\\ud83d\\ude00"}],"d":1.5}'
    members = {"a": 1, "b": [True, None, {"c": "é\U0001f600"}], "d": 1.5}
    assert read_json_object(text.encode()) == members


def test_depth_up_to_the_bound_is_fine() -> None:
    inner = MAX_DEPTH - 2
    assert read_json_object(b'{"a":' + b"[" * inner + b"]" * inner + b"}")


def test_constants_that_are_not_json_read_as_null_and_numbers_stay_finite() -> None:
    members = read_json_object(b'{"a":NaN,"b":Infinity,"c":-Infinity,"d":1e999,"e":-1e999}')
    assert [members[name] for name in "abc"] == [None, None, None]
    for name in "de":
        value = members[name]
        assert isinstance(value, float)
        assert math.isfinite(value)


def test_an_inner_fault_can_be_read_as_null_so_that_the_rest_is_kept() -> None:
    octets = b'{"keys":[{"a":1,"a":2},{"b":1}]}'
    assert read_json_object(octets, inner_faults_as_null=True) == {"keys": [None, {"b": 1}]}
    with pytest.raises(NotAnObject):
        read_json_object(b'{"a":1,"a":2}', inner_faults_as_null=True)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0.0),
        (-1, -1.0),
        (1.5, 1.5),
        (10**400, 1e15),
        (-(10**400), -1e15),
        (1e300, 1e15),
        (float("inf"), 1e15),
        (float("nan"), None),
        (True, None),
        (False, None),
        ("1", None),
        (None, None),
        ([], None),
        ({}, None),
    ],
)
def test_a_number_is_safe_to_reckon_with_or_none(value: object, expected: float | None) -> None:
    assert number(value) == expected
