"""The obvious build in Python, as a tutorial would have it: this is what the gateway replaces."""

import json
import os
import secrets
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

import httpx2
from itsdangerous import BadSignature, URLSafeSerializer
from joserfc import jwt
from joserfc.jwk import KeySet
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

_SETTINGS: dict[str, str] = json.loads(os.environ["OBVIOUS_APP"])
_UPSTREAMS = {"api": _SETTINGS["api"], "channels": _SETTINGS["channels"]}
_COOKIE = "session"
_LIFETIME = 6 * 3600  # seconds
_NOT_PASSED_ON = {"host", "cookie", "connection", "authorization"}
_NOT_RETURNED = {"connection", "transfer-encoding", "keep-alive"}

signer = URLSafeSerializer(_SETTINGS["secret"])
redis = Redis.from_url(_SETTINGS["redis"], max_connections=2000)
client = httpx2.AsyncClient(
    limits=httpx2.Limits(max_connections=None, max_keepalive_connections=1000),
    timeout=httpx2.Timeout(60),
)
provider: dict[str, Any] = {}


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    """Discover the provider; close what was opened."""
    found = await client.get(f"{_SETTINGS['issuer']}/.well-known/openid-configuration")
    provider.update(found.json())
    provider["keys"] = KeySet.import_key_set((await client.get(provider["jwks_uri"])).json())
    yield
    await client.aclose()
    await redis.aclose()


async def login(_: Request) -> Response:
    """Send the browser to the provider."""
    attempt = {name: secrets.token_urlsafe(32) for name in ("verifier", "state", "nonce")}
    challenge = urlsafe_b64encode(sha256(attempt["verifier"].encode()).digest()).rstrip(b"=")
    query = urlencode(
        {
            "response_type": "code",
            "client_id": _SETTINGS["client_id"],
            "redirect_uri": f"{_SETTINGS['origin']}/callback",
            "scope": _SETTINGS["scope"],
            "state": attempt["state"],
            "nonce": attempt["nonce"],
            "code_challenge": challenge.decode(),
            "code_challenge_method": "S256",
        }
    )
    response = RedirectResponse(f"{provider['authorization_endpoint']}?{query}", 303)
    response.set_cookie("attempt", str(signer.dumps(attempt)), httponly=True, samesite="lax")
    return response


async def callback(request: Request) -> Response:
    """Exchange the code, check the ID token, keep the tokens in Redis."""
    attempt = signer.loads(request.cookies["attempt"])
    if request.query_params["state"] != attempt["state"]:
        return JSONResponse({"code": "state"}, 400)
    answer = await client.post(
        provider["token_endpoint"],
        data={
            "grant_type": "authorization_code",
            "code": request.query_params["code"],
            "redirect_uri": f"{_SETTINGS['origin']}/callback",
            "code_verifier": attempt["verifier"],
        },
        auth=(_SETTINGS["client_id"], _SETTINGS["client_secret"]),
    )
    answer.raise_for_status()
    tokens = answer.json()
    claims = jwt.decode(tokens["id_token"], provider["keys"]).claims
    if claims["nonce"] != attempt["nonce"] or claims["iss"] != _SETTINGS["issuer"]:
        return JSONResponse({"code": "id_token"}, 400)
    name = secrets.token_urlsafe(32)
    await redis.set(
        f"obvious:{name}", json.dumps({"tokens": tokens, "sub": claims["sub"]}), _LIFETIME
    )
    response = RedirectResponse("/", 303)
    response.set_cookie(_COOKIE, str(signer.dumps(name)), httponly=True, samesite="lax")
    response.delete_cookie("attempt")
    return response


async def home(_: Request) -> Response:
    """Stand in for the app."""
    return JSONResponse({})


async def session(request: Request) -> dict[str, Any] | None:
    """Read the session of this request from Redis."""
    if request.headers.get("x-csrf") != "1":
        return None
    try:
        name = signer.loads(request.cookies.get(_COOKIE, ""))
    except BadSignature:
        return None
    stored = await redis.get(f"obvious:{name}")
    return json.loads(stored) if stored else None


async def pass_on(request: Request) -> Response:
    """Forward a request with the session's token, and stream the answer back."""
    found = await session(request)
    if found is None:
        return JSONResponse({"code": "session"}, 401)
    fields = [(n, v) for n, v in request.headers.items() if n not in _NOT_PASSED_ON]
    fields.append(("authorization", f"Bearer {found['tokens']['access_token']}"))
    upstream = _UPSTREAMS.get(request.path_params["name"])
    if upstream is None:
        return JSONResponse({"code": "route"}, 404)
    target = f"{upstream}/{request.path_params['path']}"
    outgoing = client.build_request(
        request.method,
        target,
        headers=fields,
        params=request.query_params,
        content=await request.body(),
    )
    answer = await client.send(outgoing, stream=True)
    returned = {n: v for n, v in answer.headers.items() if n not in _NOT_RETURNED}

    async def body() -> AsyncIterator[bytes]:
        async for piece in answer.aiter_raw():
            yield piece
        await answer.aclose()

    return StreamingResponse(body(), answer.status_code, returned)


app = Starlette(
    routes=[
        Route("/login", login),
        Route("/callback", callback),
        Route("/", home),
        Route("/{name:str}/{path:path}", pass_on, methods=["GET", "POST", "PUT", "DELETE"]),
    ],
    lifespan=lifespan,
)
