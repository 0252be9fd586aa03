"""
From a connection's settings to a freshly signed token for one request.

Kore.ai refuses a second request that carries the same ``jti``, so a token is never used twice: each request,
and each retry of it, gets its own. Claims and algorithms: Kore.ai's "API authentication" documentation.
"""

from __future__ import annotations

import re
import time
import uuid
import warnings
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.api.settings import wrong_setting

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_koreai.api.settings import ConnectionSettings


class TokenSigner:
    """
    Signs tokens for one connection. The key is parsed only once, here.

    :raises KoreAIConfigurationError: the secret does not fit the algorithm, or the JWE library is missing.
    """

    def __init__(self, settings: ConnectionSettings) -> None:
        self._settings = settings
        self._key: Any = settings.secret
        # PyJWT warns at each signing if an HMAC secret is shorter than its hash (RFC 7518, section 3.2).
        self._is_short = settings.algorithm.startswith("HS") and len(settings.secret.encode()) < 64
        if settings.algorithm.startswith("RS"):
            self._key = _private_key(settings)
        elif "-----BEGIN" in settings.secret or re.match(r"\s*(ssh-|ecdsa-sha2-)", settings.secret):
            raise wrong_setting(
                settings,
                "password",
                f"is a key, but algorithm is {settings.algorithm}, which signs with a Client Secret; enter the Client Secret, "
                "or enter an RSA private key in PEM and set algorithm to RS256 or RS512",
            )
        self._wrap = _jwe_wrapper(settings) if settings.jwe_public_key is not None else None

    def sign(self, now: float | None = None) -> str:
        """Sign a token for one request, at ``now`` in seconds since the epoch (default: the current time)."""
        import jwt

        issued = int(time.time() if now is None else now)
        claims = {
            "appId": self._settings.client_id,
            "sub": self._settings.subject,
            "iss": self._settings.client_id,
            "aud": self._settings.audience,
            "iat": issued,
            "exp": issued + self._settings.token_ttl,
            "jti": uuid.uuid4().hex,
            "isAnonymous": False,
        }
        with warnings.catch_warnings() if self._is_short else nullcontext():
            if self._is_short:
                # Kore.ai issues the secret, so the user cannot change its length.
                warnings.simplefilter("ignore")
            token = jwt.encode(claims, self._key, algorithm=self._settings.algorithm)
        return self._wrap(token) if self._wrap is not None else token


def _private_key(settings: ConnectionSettings) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    remedy = "enter the app's RSA private key in PEM (-----BEGIN PRIVATE KEY-----, not encrypted)"
    try:
        key = load_pem_private_key(settings.secret.strip().encode(), password=None)
        if not isinstance(key, RSAPrivateKey):
            problem = "is not an RSA key"
        elif key.key_size < _SHORTEST_KEY:
            problem = f"is an RSA key of {key.key_size} bits, which is too short"
        else:
            return key
    except (ValueError, UnsupportedAlgorithm):
        problem = "is not a readable private key in PEM"
    except TypeError:
        problem = "is an encrypted private key"
    raise wrong_setting(settings, "password", f"{problem}, and algorithm is {settings.algorithm}; {remedy}")


def _jwe_wrapper(settings: ConnectionSettings) -> Callable[[str], str]:
    jwk = {k: v for k, v in (settings.jwe_public_key or {}).items() if k in ("kty", "n", "e", "kid")}
    try:
        from joserfc import jwe
        from joserfc.errors import JoseError
        from joserfc.jwk import RSAKey
    except ImportError:
        raise wrong_setting(
            settings,
            "jwe_public_key",
            "needs a library that is not installed: pip install 'airflow-provider-koreai[jwe]'",
        ) from None
    header = {"alg": settings.jwe_alg, "enc": settings.jwe_enc, "typ": "JWT"}
    if jwk.get("kid"):
        header["kid"] = str(jwk["kid"])

    def wrap(token: str) -> str:
        return jwe.encrypt_compact(header, token, key, algorithms=[settings.jwe_alg, settings.jwe_enc])

    try:
        key = RSAKey.import_key(jwk)
        wrap("")  # the library checks some properties of a key only when it is first used
    except (JoseError, ValueError, TypeError) as error:
        problem = f"is a JWK that cannot be used ({type(error).__name__}); copy it from the app again"
    else:
        return wrap
    raise wrong_setting(settings, "jwe_public_key", problem)


# Bits. Shorter keys can be broken; some cannot even sign with RS512.
_SHORTEST_KEY = 1024
