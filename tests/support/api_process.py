"""The sample API as a program of its own, trusting a provider by its published keys.

python -m tests.support.api_process PORT ISSUER JWKS_URI AUDIENCE
"""

import asyncio
import json
import sys
import urllib.request

import uvicorn
from joserfc.jwk import KeySetSerialization

from gateway.dev.sample_api import create_sample_api


def main() -> None:
    port, issuer, jwks_uri, audience = sys.argv[1:]

    def fetch() -> KeySetSerialization:
        with urllib.request.urlopen(jwks_uri, timeout=5) as answer:  # noqa: S310  loopback
            keys: KeySetSerialization = json.load(answer)
            return keys

    async def keys() -> KeySetSerialization:
        return await asyncio.to_thread(fetch)

    api = create_sample_api(issuer=issuer, audience=audience, keys=keys)
    uvicorn.run(api, host="127.0.0.1", port=int(port), log_level="warning")


if __name__ == "__main__":
    main()
