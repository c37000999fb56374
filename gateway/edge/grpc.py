"""gRPC through a browser's connection: gRPC-Web passes as octets, native gRPC cannot (P10).

Native gRPC puts its status into HTTP trailers, which browsers cannot read and HTTP/1.1 gateways
drop. Passed on, such a call would look as if its answer had been cut off.
"""

from gateway.edge.messages import BrowserRequest
from gateway.errors import Code, Refused

_WEB = (b"application/grpc-web", b"application/grpc-web-text")


def refuse_native_grpc(request: BrowserRequest) -> None:
    """Raise Refused(GRPC_NATIVE) for a call that depends on trailers."""
    for value in request.values(b"content-type"):
        media_type = value.partition(b";")[0].strip().lower()
        if not media_type.startswith(b"application/grpc"):
            continue
        is_web = media_type.partition(b"+")[0] in _WEB
        if not is_web or b"trailers" in b",".join(request.values(b"te")).lower():
            raise Refused(Code.GRPC_NATIVE, "Native gRPC needs HTTP/2 and trailers; use gRPC-Web.")
