"""Answers an upstream could send: one for each rule, and what comes of bending them."""

from hypothesis import strategies as st

_OK = b"HTTP/1.1 200 OK\r\n"
CORPUS = [
    _OK + b"content-length: 5\r\n\r\nhello",
    _OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    _OK + b"transfer-encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n",
    _OK + b"connection: close\r\n\r\nuntil the end",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + _OK + b"content-length: 0\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nwhatever",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\netag: x\r\ncontent-length: 5\r\n\r\n",
    _OK + b"set-cookie: a\r\nset-cookie: b\r\ncontent-length: 1\r\n\r\nx",
]
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
