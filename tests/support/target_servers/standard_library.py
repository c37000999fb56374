"""Answers with the request-target it received, and prints it: Python's own `http.server`."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Reads the target from the request line, since `path` is tidied up."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        target = self.requestline.split(" ")[1]
        print(f"target {target}", flush=True)  # noqa: T201  it is read by the test
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(200)
        self.send_header("content-length", str(len(target)))
        self.end_headers()
        self.wfile.write(target.encode("latin-1"))

    do_POST = do_GET  # noqa: N815  the server's own naming

    def log_message(self, form: str, *_: object) -> None:
        if form != '"%s" %s %s':  # a request that it answered
            print("strange", flush=True)  # noqa: T201


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
