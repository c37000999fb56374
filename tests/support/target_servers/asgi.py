"""Answers with the request-target it received, and prints it: uvicorn on h11, Starlette's request.

ASGI hands over path and query apart, and knows no query that is empty: `/a?` is `/a` there.
"""

import sys

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http"
    request = Request(scope, receive)
    await request.body()
    query: bytes = scope["query_string"]
    target: bytes = scope["raw_path"] + (b"?" + query if query else b"")
    print(f"target {target.decode('latin-1')}", flush=True)  # noqa: T201  it is read by the test
    await Response(target, media_type="text/plain")(scope, receive, send)


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        http="h11",
        lifespan="off",
        log_level="warning",
    )
