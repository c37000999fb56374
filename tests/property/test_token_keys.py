"""A token's key in a query, in whatever spelling (H14): one expression against a decoder."""

import re
from dataclasses import replace
from urllib.parse import unquote_to_bytes

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.edge.outgoing import refuse_tokens
from gateway.edge.target import parse_target
from gateway.errors import Refused


def is_a_token_key(pair: bytes) -> bool:
    """As an upstream reads it: decoded, plus signs for spaces, without case, PHP's arrays too."""
    key = unquote_to_bytes(pair.partition(b"=")[0].replace(b"+", b" ")).lower()
    return re.fullmatch(rb" *access[_. \[]token *(?:\[.*)?", key, re.DOTALL) is not None


letter = st.sampled_from(["{0}", "{0}", "{0}", "%{1:02x}", "%{1:02X}", "%{2:02x}"])
spelled = st.lists(letter, min_size=12, max_size=12).map(
    lambda forms: "".join(
        form.format(one, ord(one), ord(one.upper()))
        for form, one in zip(forms, "access_token", strict=True)
    ).encode()
)
around = st.sampled_from(
    [b"", b"&", b";", b"=", b"+", b"%20", b"[", b"%5B", b"%26", b"%3d", b"a", b"a=1&", b"%", b"%61"]
)
border = st.sampled_from([b"_", b".", b"+", b"%20", b"%5f", b"%2E", b"-", b""])
query = st.lists(
    st.one_of(
        around,
        spelled,
        border,
        st.tuples(st.just(b"access"), border, st.just(b"token")).map(b"".join),
    ),
    max_size=8,
).map(b"".join)


@settings(max_examples=2000, deadline=None)
@given(query)
@example(b"a=1&%41ccess%2etoken[x]=1")
@example(b"access_token%3d=1")
def test_a_query_is_refused_exactly_if_somebody_could_read_a_token_in_it_h14(query: bytes) -> None:
    target = parse_target(b"/api/x", authority_expected=b"")
    refused = False
    try:
        refuse_tokens(replace(target, query=query))
    except Refused:
        refused = True
    assert refused == any(map(is_a_token_key, re.split(rb"[&;]", query)))
