"""Encrypted tokens: the receiving end of JWE, for apps that enforce it."""

# ruff: noqa: TID253 (no DAG file imports the emulator)
from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, padding, serialization
from cryptography.hazmat.primitives.asymmetric import padding as rsa_padding
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_GCM_KEY_BYTES = {"A128GCM": 16, "A256GCM": 32}


class JweError(Exception):
    """Not a JWE for this key."""


def _decode(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise JweError("not base64url") from None


def _encode(number: int) -> str:
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class JweKey:
    """The platform's key pair.

    :param pem: a private RSA key in PEM; ``None``: a new one.
    """

    def __init__(self, pem: bytes | None = None) -> None:
        key = (
            rsa.generate_private_key(public_exponent=65537, key_size=2048)
            if pem is None
            else serialization.load_pem_private_key(pem, password=None)
        )
        if not isinstance(key, rsa.RSAPrivateKey):
            raise ValueError("the JWE key must be a private RSA key")
        self._key = key
        numbers = key.public_key().public_numbers()
        modulus = _encode(numbers.n)
        self.key_id = hashlib.sha256(modulus.encode()).hexdigest()[:16]
        self.public_jwk: dict[str, str] = {
            "kty": "RSA",
            "use": "enc",
            "kid": self.key_id,
            "n": modulus,
            "e": _encode(numbers.e),
        }

    def decrypt(self, token: str) -> str:
        """Open a compact JWE.

        :param token: five dot-separated parts.
        :return: the JWT inside.
        """
        parts = token.split(".")
        if len(parts) != 5:
            raise JweError("a JWE has five parts")
        try:
            header: Any = json.loads(_decode(parts[0]))
        except ValueError:
            raise JweError("the header is not JSON") from None
        if not isinstance(header, dict) or header.get("kid") != self.key_id or header.get("typ") != "JWT":
            raise JweError("header without our kid or without typ JWT")
        wrapped, nonce, sealed, tag = (_decode(part) for part in parts[1:])
        key = self._unwrap(header.get("alg"), wrapped)
        try:
            plain = _open(header.get("enc"), key, nonce, sealed, tag, parts[0].encode())
            return plain.decode("ascii")
        except (InvalidTag, ValueError):
            raise JweError("cannot be decrypted") from None

    def _unwrap(self, algorithm: object, wrapped: bytes) -> bytes:
        scheme: rsa_padding.AsymmetricPadding
        if algorithm == "RSA-OAEP":
            sha1 = hashes.SHA1()  # noqa: S303 (what RSA-OAEP of RFC 7518 is defined with)
            scheme = rsa_padding.OAEP(rsa_padding.MGF1(sha1), sha1, None)
        elif algorithm == "RSA1_5":
            scheme = rsa_padding.PKCS1v15()
        else:
            raise JweError("alg must be RSA-OAEP or RSA1_5")
        try:
            return self._key.decrypt(wrapped, scheme)
        except ValueError:
            raise JweError("the key cannot be unwrapped") from None


def _open(method: object, key: bytes, nonce: bytes, sealed: bytes, tag: bytes, header: bytes) -> bytes:
    if isinstance(method, str) and method in _GCM_KEY_BYTES:
        if len(key) != _GCM_KEY_BYTES[method]:
            raise JweError("wrong key length")
        return AESGCM(key).decrypt(nonce, sealed + tag, header)
    if method != "A128CBC-HS256":
        raise JweError("enc must be A128CBC-HS256, A128GCM or A256GCM")
    if len(key) != 32:
        raise JweError("wrong key length")
    signed = header + nonce + sealed + (len(header) * 8).to_bytes(8, "big")
    if not hmac.compare_digest(hmac.new(key[:16], signed, "sha256").digest()[:16], tag):
        raise JweError("wrong authentication tag")
    decryptor = Cipher(algorithms.AES(key[16:]), modes.CBC(nonce)).decryptor()
    padded = decryptor.update(sealed) + decryptor.finalize()
    unpadder = padding.PKCS7(128).unpadder()
    return unpadder.update(padded) + unpadder.finalize()
