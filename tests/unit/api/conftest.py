"""What the tests of a connection's settings and of its tokens share."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_koreai.api.settings import ConnectionSettings, settings_from_connection
from airflow_provider_koreai.api.tokens import TokenSigner
from airflow_provider_koreai.exceptions import KoreAIConfigurationError

CONN = "koreai_prod"
CLIENT_ID = "cs-0a1b2c3d"
# As long as HS512's hash, so that only the tests of short secrets are about short secrets.
SECRET = "s3cr3t-" * 10
AUDIENCE = "https://idproxy.kore.ai/authorize"


def settings_of(extra=None, **fields) -> ConnectionSettings:
    return settings_from_connection(
        CONN, **{"host": None, "login": CLIENT_ID, "password": SECRET, "extra": extra, **fields}
    )


def wrong(extra=None, **fields) -> str:
    """The text of the error that these settings get, be it when they are read or when the signer is built."""
    with pytest.raises(KoreAIConfigurationError) as caught:
        TokenSigner(settings_of(extra, **fields)).sign()
    return str(caught.value)


def attempt(call) -> tuple[Any, KoreAIConfigurationError | None]:
    try:
        return call(), None
    except KoreAIConfigurationError as error:
        return None, error


@pytest.fixture(scope="module")
def platform_key():
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def platform_jwk(platform_key) -> dict:
    import jwt

    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(platform_key.public_key()))
    return {"kty": "RSA", "n": jwk["n"], "e": jwk["e"], "kid": "platform-key-1"}
