"""An OpenID Connect issuer: real keys, real signatures, and a real HTTP server with its discovery document and its keys."""

import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

AUDIENCE = "headrace"


class OidcIssuer:
    """`asked`: how often its keys were asked for. `failing`: it answers 500. `keys`: those that it publishes, by id."""

    def __init__(self) -> None:
        self.url = ""
        self.keys: dict[str, Any] = {}
        self.asked = 0
        self.failing = False
        self.rotate("first")

    def rotate(self, kid: str, kind: str = "EC") -> None:
        """Publishes a new key alone."""
        parameters = {"kid": kid, "use": "sig"}
        made = ECKey.generate_key("P-256", parameters) if kind == "EC" else RSAKey.generate_key(2048, parameters)
        self.keys = {kid: made}

    def token(self, *, header: dict[str, Any] | None = None, key: Any = None, **claims: Any) -> str:
        """A token of ada's, signed by the newest key. `claims`: others than the usual ones; None takes one away."""
        kid, newest = next(reversed(self.keys.items()))
        alg = "ES256" if isinstance(newest, ECKey) else "RS256"
        usual = {
            "iss": self.url,
            "aud": AUDIENCE,
            "exp": int(time.time()) + 600,
            "preferred_username": "ada",
            "sub": "1",
        }
        signed = {name: value for name, value in (usual | claims).items() if value is not None}
        return jwt.encode({"alg": alg, "kid": kid} | (header or {}), signed, key or newest)

    def unsigned(self, **claims: Any) -> str:
        """A token whose header says that it has no signature."""
        usual = {"iss": self.url, "aud": AUDIENCE, "exp": int(time.time()) + 600, "preferred_username": "admin"}
        parts = ({"alg": "none", "kid": next(iter(self.keys))}, usual | claims)
        return ".".join(base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=").decode() for one in parts) + "."

    async def _discovery(self, _: web.Request) -> web.Response:
        return web.json_response({"issuer": self.url, "jwks_uri": f"{self.url}/keys"})

    async def _keys(self, _: web.Request) -> web.Response:
        self.asked += 1
        if self.failing:
            return web.Response(status=500)
        return web.json_response({"keys": [key.as_dict(private=False) for key in self.keys.values()]})

    def application(self) -> web.Application:
        made = web.Application()
        made.router.add_get("/.well-known/openid-configuration", self._discovery)
        made.router.add_get("/keys", self._keys)
        return made


@asynccontextmanager
async def serving_issuer() -> AsyncIterator[OidcIssuer]:
    """An issuer on a port of its own."""
    issuer = OidcIssuer()
    runner = web.AppRunner(issuer.application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    issuer.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield issuer
    finally:
        await runner.cleanup()
