"""gRPC-Web passes, native gRPC is refused before it can look broken (P10)."""

import pytest

from gateway.edge.grpc import refuse_native_grpc
from gateway.edge.messages import BrowserRequest
from gateway.errors import Code, Refused


def call(content_type: bytes, *more: tuple[bytes, bytes]) -> BrowserRequest:
    return BrowserRequest("POST", b"/x.Y/Z", ((b"content-type", content_type), *more))


@pytest.mark.parametrize(
    "content_type",
    [
        b"application/grpc-web",
        b"application/grpc-web+proto",
        b"application/grpc-web-text",
        b"application/grpc-web-text+proto",
        b"Application/gRPC-Web+proto; charset=x",
        b"application/json",
        b"text/plain",
    ],
)
def test_what_needs_no_trailers_passes(content_type: bytes) -> None:
    refuse_native_grpc(call(content_type))


@pytest.mark.parametrize(
    "request_",
    [
        call(b"application/grpc"),
        call(b"application/grpc+proto"),
        call(b"Application/GRPC; x=y"),
        call(b"application/grpc-webby"),
        call(b"application/grpc", (b"te", b"trailers")),
        call(b"application/grpc-web+proto", (b"te", b"Trailers")),
    ],
)
def test_what_needs_trailers_is_refused(request_: BrowserRequest) -> None:
    with pytest.raises(Refused) as caught:
        refuse_native_grpc(request_)
    assert caught.value.code is Code.GRPC_NATIVE


def test_trailers_alone_are_no_grpc() -> None:
    refuse_native_grpc(BrowserRequest("GET", b"/", ((b"te", b"trailers"),)))
