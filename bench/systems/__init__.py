"""The systems under test, in the order of the table; one module each."""

from bench.systems.express_bff import EXPRESS
from bench.systems.gateway import GATEWAY, GATEWAY_UNCACHED
from bench.systems.mod_auth_openidc import MOD_AUTH_OPENIDC
from bench.systems.nginx import NGINX
from bench.systems.oauth2_proxy import OAUTH2_PROXY
from bench.systems.obvious_python import OBVIOUS_PYTHON
from bench.systems.system import Place, System

SYSTEMS = (
    NGINX,
    GATEWAY,
    GATEWAY_UNCACHED,
    OAUTH2_PROXY,
    MOD_AUTH_OPENIDC,
    EXPRESS,
    OBVIOUS_PYTHON,
)

__all__ = ["SYSTEMS", "Place", "System"]
