"""Answers an upstream could send: one for each rule, and what comes of bending them."""

from hypothesis import strategies as st

from tests.support.corpus import read_corpus

CORPUS = read_corpus("answer")[:10]  # the whole ones that are right
PARTS = [
    b"\r\n", b"\n", b"\r", b"\x00", b" ", b"\t", b":", b",", b";", b"0", b"-1", b"f" * 16,
    b"content-length: 1\r\n", b"transfer-encoding: chunked\r\n", b"transfer-encoding: x\r\n",
    b"connection: close\r\n", b"HTTP/1.1 ", b"HTTP/1.0 200 OK\r\n", b"0\r\n\r\n", b"1\r\nx\r\n",
]  # fmt: skip


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """An answer of the corpus, bent here and there, or several of them in a row."""
    octets = b"".join(draw(st.lists(st.sampled_from(CORPUS), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(octets)))
        cut = draw(st.integers(0, 4))
        part = draw(st.sampled_from(PARTS) | st.binary(max_size=3))
        octets = octets[:at] + part + octets[at + cut :]
    return octets
