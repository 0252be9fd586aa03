"""Encrypted tokens: the receiving end of JWE, for apps that enforce it."""

# ruff: noqa: TID253 (no DAG file imports the emulator)
from __future__ import annotations

import warnings

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

_KEY_BITS = 2048
#: What the platform accepts; RSA1_5 is among it, although joserfc advises against it.
_ALGORITHMS = ["RSA-OAEP", "RSA1_5", "A128CBC-HS256", "A128GCM", "A256GCM"]


class JweError(Exception):
    """The token is not a JWE for this key."""


class JweKey:
    """
    The platform's key pair.

    :param pem: a private RSA key in PEM. Default: a new key.
    :raises ValueError: the PEM is not a private RSA key.
    """

    def __init__(self, pem: bytes | None = None) -> None:
        try:
            self._key = RSAKey.generate_key(_KEY_BITS) if pem is None else RSAKey.import_key(pem)
        except JoseError as error:
            raise ValueError("the JWE key must be a private RSA key") from error
        if not self._key.is_private:
            raise ValueError("the JWE key must be a private RSA key")
        public = self._key.as_dict(private=False)
        self.key_id = self._key.thumbprint()
        self.public_jwk = {
            "kty": "RSA",
            "use": "enc",
            "kid": self.key_id,
            "n": str(public["n"]),
            "e": str(public["e"]),
        }

    def decrypt(self, token: str) -> str:
        """Return the JWT inside a compact JWE."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # RSA1_5 is deprecated
                opened = jwe.decrypt_compact(token, self._key, algorithms=_ALGORITHMS)
            if opened.headers().get("kid") != self.key_id or opened.headers().get("typ") != "JWT":
                raise JweError("the header lacks our kid, or typ JWT")
            return (opened.plaintext or b"").decode("ascii")
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise JweError("the token cannot be decrypted") from error
