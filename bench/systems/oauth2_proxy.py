"""oauth2-proxy with sessions in Redis, its published module built with Go."""

import base64

import yaml

from bench.programs import Command
from bench.systems.system import Place, System, needs
from bench.world import BENCH, CACHE, CLIENT_ID, CLIENT_SECRET, SCOPES, World

_BINARY = CACHE / "bin" / "oauth2-proxy"


def _prepare(world: World, place: Place) -> Command:
    def upstream(name: str, url: str) -> dict[str, object]:
        return {
            "id": name,
            "path": f"^/{name}/(.*)$",
            "rewriteTarget": "/$1",
            "uri": url,
            "flushInterval": "10ms",
        }

    alpha = {
        "server": {"bindAddress": f"127.0.0.1:{place.port}"},
        "upstreamConfig": {
            "upstreams": [upstream("api", world.api), upstream("channels", world.channels)]
        },
        "injectRequestHeaders": [
            {
                "name": "Authorization",
                "values": [{"claimSource": {"claim": "access_token", "prefix": "Bearer "}}],
            }
        ],
        "providers": [
            {
                "id": "bench",
                "provider": "oidc",
                "clientID": CLIENT_ID,
                "clientSecret": CLIENT_SECRET,
                "scope": " ".join(SCOPES),
                "code_challenge_method": "S256",
                "oidcConfig": {
                    "issuerURL": world.issuer,
                    "emailClaim": "email",
                    "userIDClaim": "sub",
                    "groupsClaim": "groups",
                    "audienceClaims": ["aud"],
                    "insecureSkipNonce": False,
                },
            }
        ],
    }
    file = place.folder / "alpha.yaml"
    file.write_text(yaml.safe_dump(alpha))
    secret = base64.urlsafe_b64encode(bytes(range(32))).decode()
    return Command(
        (
            str(_BINARY),
            f"--alpha-config={file}",
            f"--cookie-secret={secret}",
            "--cookie-secure=false",
            "--email-domain=*",
            "--skip-provider-button",
            f"--redirect-url={place.origin}/oauth2/callback",
            "--session-store-type=redis",
            f"--redis-connection-url={world.redis}",
            "--api-route=^/(api|channels)/",
            "--request-logging=false",
            "--auth-logging=false",
        ),
        {"GOMAXPROCS": "1"},
        answers=f"{place.origin}/ping",
    )


def _version() -> str:
    text = (BENCH / "oauth2_proxy" / "go.mod").read_text()
    (line,) = (one for one in text.splitlines() if "oauth2-proxy/v7 v" in one)
    return line.split()[1].removeprefix("v")


OAUTH2_PROXY = System(
    key="oauth2-proxy",
    name="oauth2-proxy + Redis",
    login="/oauth2/start?rd=/oauth2/nothing",
    callback="/oauth2/callback",
    prepare=_prepare,
    missing=needs((_BINARY, "Go builds it; see bench/setup")),
    version=_version,
    built="sessions in Redis, `Authorization` from the session's access token, request log off",
)
