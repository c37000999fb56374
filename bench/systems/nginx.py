"""nginx as a plain reverse proxy without any login: the limit of what one core can pass on."""

from bench.programs import Command
from bench.provider_login import issued_token
from bench.systems.system import Place, System, printed_version
from bench.world import World, nginx_binary, nginx_command


def _prepare(world: World, place: Place) -> Command:
    # The same octets go upstream as from everybody else, only that it is always the same token.
    bearer = f'proxy_set_header Authorization "Bearer {issued_token(world)}";'

    def host(url: str) -> str:
        return url.removeprefix("http://")

    return nginx_command(
        place.folder,
        "nginx",
        f"""
  upstream api {{ server {host(world.api)}; keepalive 1024; keepalive_requests 1000000000; }}
  upstream channels {{ server {host(world.channels)}; keepalive 1024; }}
  server {{
    listen 127.0.0.1:{place.port};
    proxy_http_version 1.1;
    location /api/ {{
      proxy_pass http://api/;
      proxy_set_header Connection "";
      proxy_set_header Cookie "";
      {bearer}
    }}
    location = /channels/sse {{
      proxy_pass http://channels/sse;
      proxy_buffering off;
      proxy_read_timeout 1h;
      proxy_set_header Connection "";
      {bearer}
    }}
    location = /channels/ws {{
      proxy_pass http://channels/ws;
      proxy_read_timeout 1h;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection upgrade;
      {bearer}
    }}
  }}""",
        answers=place.origin,
    )


NGINX = System(
    key="nginx",
    name="nginx proxy_pass, no login",
    login="",
    callback="",
    prepare=_prepare,
    missing=lambda: None if nginx_binary() else "nginx is missing: apt-get install nginx",
    version=printed_version((nginx_binary() or "nginx", "-v")),
    built="`proxy_pass` with keep-alive to the API, no access log; adds one fixed bearer token",
)
