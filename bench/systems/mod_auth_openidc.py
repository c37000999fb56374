"""Apache with mod_auth_openidc and its session cache in Redis, from Debian's packages."""

import os
from pathlib import Path

from bench.programs import Command
from bench.systems.system import Place, System, needs, printed_version
from bench.world import CLIENT_ID, CLIENT_SECRET, SCOPES, World

_BINARY = Path("/usr/sbin/apache2")
_MODULES = Path("/usr/lib/apache2/modules")
_LOADED = (
    "mpm_event",
    "authn_core",
    "authz_core",
    "authz_user",
    "auth_openidc",
    "headers",
    "proxy",
    "proxy_http",
    "proxy_wstunnel",
)

_CONFIGURATION = """
ServerRoot {folder}
PidFile {folder}/apache.pid
ErrorLog {folder}/error.log
LogLevel error
ServerName localhost
Listen 127.0.0.1:{port}
{user}
{modules}

# One process, as on one core more of them only take turns; threads enough for 1,000 connections.
StartServers 1
ServerLimit 1
ThreadLimit 1200
ThreadsPerChild 1200
MaxRequestWorkers 1200
MinSpareThreads 1
MaxSpareThreads 1200
AsyncRequestWorkerFactor 4
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 600
Timeout 600

OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration
OIDCClientID {client}
OIDCClientSecret {secret}
OIDCRedirectURI {origin}/callback
OIDCScope "{scopes}"
OIDCPKCEMethod S256
OIDCCryptoPassphrase bench-passphrase-of-forty-characters-001
OIDCCacheType redis
OIDCRedisCacheServer 127.0.0.1:{redis_port}
OIDCSessionType server-cache
OIDCSessionInactivityTimeout 3600
OIDCPassClaimsAs environment
OIDCUnAuthAction auth

<Location />
  AuthType openid-connect
  Require valid-user
</Location>
<LocationMatch "^/(api|channels)/">
  OIDCUnAuthAction 401
  RequestHeader set Authorization "expr=Bearer %{{reqenv:OIDC_access_token}}"
  RequestHeader unset Cookie
</LocationMatch>
ProxyPass /api/ {api}/ keepalive=On
ProxyPass /channels/ws {ws}/ws keepalive=On
ProxyPass /channels/sse {channels}/sse flushpackets=on
"""


def _prepare(world: World, place: Place) -> Command:
    modules = "\n".join(f"LoadModule {name}_module {_MODULES}/mod_{name}.so" for name in _LOADED)
    file = place.folder / "apache.conf"
    file.write_text(
        _CONFIGURATION.format(
            folder=place.folder,
            user="User www-data\nGroup www-data" if os.geteuid() == 0 else "",
            port=place.port,
            origin=place.origin,
            modules=modules,
            issuer=world.issuer,
            client=CLIENT_ID,
            secret=CLIENT_SECRET,
            scopes=" ".join(SCOPES),
            redis_port=world.redis_port,
            api=world.api,
            channels=world.channels,
            ws=world.channels.replace("http", "ws", 1),
        )
    )
    return Command((str(_BINARY), "-f", str(file), "-D", "FOREGROUND"), answers=place.origin)


def _version() -> str:
    argv = ("dpkg-query", "-W", "-f", "${Version}", "libapache2-mod-auth-openidc")
    return printed_version(argv)()


MOD_AUTH_OPENIDC = System(
    key="mod_auth_openidc",
    name="mod_auth_openidc + Redis",
    login="/",
    callback="/callback",
    prepare=_prepare,
    missing=needs(
        (_BINARY, "apt-get install apache2-bin"),
        (_MODULES / "mod_auth_openidc.so", "apt-get install libapache2-mod-auth-openidc"),
    ),
    version=_version,
    built="Apache (event MPM, one process) from Debian, `OIDCCacheType redis`, no access log",
)
