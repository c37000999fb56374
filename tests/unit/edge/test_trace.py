import pytest

from gateway.edge.messages import BrowserRequest, Field
from gateway.edge.trace import is_traceparent, request_id, trace_context

TRACE = b"0af7651916cd43dd8448eb211c80319c"
PARENT = b"b7ad6b7169203331"
GOOD = b"00-" + TRACE + b"-" + PARENT + b"-01"


def with_ids(*values: bytes) -> BrowserRequest:
    return BrowserRequest("GET", b"/", tuple((b"x-request-id", value) for value in values))


@pytest.mark.parametrize("value", [b"a", b"A.b_c-9", b"x" * 64])
def test_a_trusted_peers_plain_id_is_kept_l14(value: bytes) -> None:
    assert request_id(with_ids(value), trusted=True, fresh="fresh") == value.decode()
    assert request_id(with_ids(value), trusted=False, fresh="fresh") == "fresh"


@pytest.mark.parametrize(
    "values",
    [
        (),
        (b"",),
        (b"a", b"a"),
        (b"x" * 65,),
        (b"x" * 10_000,),
        (b"a b",),
        (b"a\r\nb",),
        (b"a\n",),
        (b"a,b",),
        (b"\xff",),
        (b'"a"',),
    ],
)
def test_any_other_id_is_replaced_l14(values: tuple[bytes, ...]) -> None:
    assert request_id(with_ids(*values), trusted=True, fresh="fresh") == "fresh"


@pytest.mark.parametrize("value", [GOOD, GOOD[:-2] + b"00", b"01" + GOOD[2:], b"fe" + GOOD[2:]])
def test_the_shape_of_the_recommendation_is_known(value: bytes) -> None:
    assert is_traceparent(value)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        GOOD.upper(),
        GOOD + b"-x",
        GOOD + b"\n",
        b" " + GOOD,
        GOOD[:-1],
        b"ff" + GOOD[2:],
        b"00-" + b"0" * 32 + b"-" + PARENT + b"-01",
        b"00-" + TRACE + b"-" + b"0" * 16 + b"-01",
        GOOD.replace(b"-", b"_"),
        b"0g" + GOOD[2:],
        GOOD + b"," + GOOD,
    ],
)
def test_any_other_traceparent_is_not(value: bytes) -> None:
    assert not is_traceparent(value)


PARENT_LINE: Field = (b"traceparent", GOOD)


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        ([], 0),
        ([PARENT_LINE], 1),
        ([PARENT_LINE, (b"tracestate", b"a=1"), (b"tracestate", b"b=2")], 3),
        ([PARENT_LINE, (b"tracestate", b"a" * 512)], 2),
        ([PARENT_LINE, (b"tracestate", b"a" * 513)], 1),
        ([PARENT_LINE, (b"tracestate", b"a" * 300), (b"tracestate", b"b" * 300)], 1),
        ([PARENT_LINE, (b"tracestate", b"\xff")], 1),
        ([PARENT_LINE, (b"tracestate", b"a=\x00")], 1),
        ([PARENT_LINE, PARENT_LINE], 0),
        ([(b"traceparent", b"x"), (b"tracestate", b"a=1")], 0),
        ([(b"tracestate", b"a=1")], 0),
    ],
)
def test_a_state_without_a_valid_parent_means_nothing(lines: list[Field], kept: int) -> None:
    assert list(trace_context(lines)) == lines[:kept]
