"""The sample API as a program of its own, trusting a provider by its published keys.

python -m tests.support.api_process PORT ISSUER JWKS_URI AUDIENCE
"""

import asyncio
import json
import sys
import urllib.request

from joserfc.jwk import KeySetSerialization

from gateway import server
from gateway.dev.sample_api import create_sample_api
from gateway.settings import Limits


def main() -> None:
    port, issuer, jwks_uri, audience = sys.argv[1:]

    def fetch() -> KeySetSerialization:
        with urllib.request.urlopen(jwks_uri, timeout=5) as answer:  # noqa: S310  loopback
            keys: KeySetSerialization = json.load(answer)
            return keys

    async def keys() -> KeySetSerialization:
        return await asyncio.to_thread(fetch)

    api = create_sample_api(issuer=issuer, audience=audience, keys=keys)
    # By our own server, which hands over its sockets: uvicorn would not, and WebSockets need it.
    listener = server.Listener(api, [server.bind("127.0.0.1", int(port))])
    asyncio.run(server.serve([listener], limits=Limits(), refused=lambda *_: None))


if __name__ == "__main__":
    main()
