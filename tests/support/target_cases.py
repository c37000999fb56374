"""Request-targets behind a route's prefix: what arrives octet by octet, and what does not (K4, K5).

`PASSED` and `REFUSED` are what follows the prefix `/NAME`, query included.
"""

_VISIBLE = bytes(range(0x21, 0x7F))
_FREE_IN_A_PATH = bytes(octet for octet in _VISIBLE if octet not in b"#%?\\")
_FREE_IN_A_QUERY = bytes(octet for octet in _VISIBLE if octet != ord("#"))

# In a path encoded controls and backslashes are refused; a letter behind each keeps it from being
# the beginning of overlong UTF-8.
_MAY_BE_ENCODED = [octet for octet in range(0x20, 0x100) if octet not in (0x5C, 0x7F)]

PASSED: dict[str, bytes] = {
    "nothing": b"/",
    "one segment": b"/a",
    "a slash at the end": b"/a/",
    "deep": b"/a/b/c/d/e/f/g/h",
    "an empty segment": b"/a//b",
    "many empty segments": b"/a////b//",
    "every octet that may stand in a path": b"/" + _FREE_IN_A_PATH.replace(b"/", b""),
    "unreserved": b"/azAZ09-._~",
    "sub-delimiters": b"/!$&'()*+,;=",
    "a colon and an at sign": b"/a:b@c/x:",
    "what RFC 3986 has no place for": b'/"<>[]^`{|}',
    "every encoding, upper case": b"/" + b"".join(b"%%%02Xx" % one for one in _MAY_BE_ENCODED),
    "every encoding, lower case": b"/" + b"".join(b"%%%02xx" % one for one in _MAY_BE_ENCODED),
    "an encoded slash": b"/a%2Fb",
    "an encoded slash in small letters": b"/a%2fb/c",
    "only an encoded slash": b"/a/%2F",
    "an encoded question mark and hash": b"/a%3Fb%23c",
    "an encoded percent sign": b"/a%25b",
    "encoded twice": b"/%252e%252e/%252F",
    "an encoded space and a plus": b"/a%20b+c%2Bd",
    "an encoded letter": b"/%41%7E%2D",
    "an encoded semicolon": b"/a%3Bb",
    "mixed case": b"/%c3%A9%C3%a9",
    "UTF-8": b"/%C3%A9/%E2%82%AC/%F0%9F%92%A9",
    "not UTF-8": b"/%E9%FF%80",
    "parameters": b"/a;v=1/b;w=2;x",
    "an empty parameter": b"/a;/b;;c",
    "dots within": b"/a.b/.c/d./..e/f../...",
    "a dot file": b"/.well-known/x",
    "long segments": b"/" + b"a" * 4000 + b"/" + b"b" * 4000,
    "many segments": b"/a" * 2000,
    "very long": b"/" + b"a" * 15_000 + b"?" + b"b" * 1000,
    "an empty query": b"/a?",
    "an empty query at the root": b"/?",
    "a query": b"/a?b=c",
    "a query at the root": b"/?b=c",
    "repeated keys": b"/a?b=c&b=d&b=c",
    "keys without values": b"/a?b&c=&=d&",
    "only separators": b"/a?&&",
    "question marks in the query": b"/a?b?c=d?",
    "two question marks": b"/a??",
    "slashes and dots in the query": b"/a?x=/../..//./",
    "a backslash in the query": b"/a?b\\c",
    "a broken encoding in the query": b"/a?b=%zz&c=%&d=%1",
    "encoded controls in the query": b"/a?b=%00%0D%0A%7f",
    "plus and space in the query": b"/a?b=c+d%20e%2Bf",
    "a semicolon in the query": b"/a?b=c;d=e",
    "a URL in the query": b"/a?u=https://evil.example/?x=y",
    "an encoded URL in the query": b"/a?u=https%3A%2F%2Fevil.example%2F%3Fx%3Dy",
    "every octet that may stand in a query": b"/a?" + _FREE_IN_A_QUERY,
    "every encoding in the query": b"/a?" + b"".join(b"%%%02X" % one for one in range(256)),
    "every encoding in the query, lower case": b"/a?" + b"".join(
        b"%%%02x" % one for one in range(256)
    ),
    "UTF-8 in the query": b"/a?q=%C3%A9&r=%E2%82%AC",
    "a long query": b"/a?" + b"x=y&" * 3500,
    "brackets in the query": b"/a?b[]=1&b[c]=2",
    "a date in the query": b"/a?t=2026-11-24T12:00:00+01:00",
}  # fmt: skip

# Refused with 400 but for those said here (docs/errors.md: target.malformed, target.ambiguous).
REFUSED: dict[str, bytes] = {
    "a dot segment": b"/a/./b",
    "two dots": b"/a/../b",
    "two dots at the end": b"/a/..",
    "two dots right behind the prefix": b"/../b",
    "encoded dots": b"/a/%2e%2e/b",
    "half-encoded dots": b"/a/.%2E/b",
    "dots with parameters": b"/a/..;x=1/b",
    "dots before an encoded slash": b"/a/..%2Fb",
    "dots behind an encoded slash": b"/a%2F..",
    "a backslash": b"/a\\b",
    "an encoded backslash": b"/a%5Cb",
    "an encoded NUL": b"/a%00",
    "an encoded line end": b"/a%0D%0Ab",
    "an encoded DEL": b"/a%7Fb",
    "half an encoding": b"/a%2",
    "an encoding of nothing": b"/a%",
    "an encoding that is none": b"/a%zz",
    "IIS encoding": b"/a%u002e",
    "overlong UTF-8": b"/a%c0%ae%c0%ae/b",
    "overlong UTF-8 in three octets": b"/a%e0%80%afb",
    "a fragment": b"/a#b",
    "a fragment behind a query": b"/a?b#c",
    "raw UTF-8": b"/\xc3\xa9",
    "raw UTF-8 in the query": b"/a?\xc3\xa9",
    "DEL": b"/a\x7f",
    "too long": b"/" + b"a" * 16_384,
    "a token in the query": b"/a?access_token=x",
}
STATUS = {"too long": 414}
