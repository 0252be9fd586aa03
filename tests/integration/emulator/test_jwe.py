"""Encrypted tokens, made here independently of the code that opens them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os

import pytest
from cryptography.hazmat.primitives import hashes, padding, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric import padding as rsa_padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from airflow_provider_koreai.emulator.jwe import JweKey


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=="), "big")


def encrypt(token: str, jwk: dict[str, str], alg: str, enc: str, **header: str) -> str:
    key = rsa.RSAPublicNumbers(unb64(jwk["e"]), unb64(jwk["n"])).public_key()
    protected = b64(json.dumps({"alg": alg, "enc": enc, "kid": jwk["kid"], "typ": "JWT", **header}).encode())
    scheme = (
        rsa_padding.PKCS1v15()
        if alg == "RSA1_5"
        else rsa_padding.OAEP(rsa_padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
    )
    aad = protected.encode()
    if enc == "A128CBC-HS256":
        secret, nonce = os.urandom(32), os.urandom(16)
        padder = padding.PKCS7(128).padder()
        plain = padder.update(token.encode()) + padder.finalize()
        encryptor = Cipher(algorithms.AES(secret[16:]), modes.CBC(nonce)).encryptor()
        sealed = encryptor.update(plain) + encryptor.finalize()
        signed = aad + nonce + sealed + (8 * len(aad)).to_bytes(8, "big")
        tag = hmac.new(secret[:16], signed, hashlib.sha256).digest()[:16]
    else:
        secret, nonce = os.urandom(16 if enc == "A128GCM" else 32), os.urandom(12)
        both = AESGCM(secret).encrypt(nonce, token.encode(), aad)
        sealed, tag = both[:-16], both[-16:]
    return ".".join([protected, *map(b64, (key.encrypt(secret, scheme), nonce, sealed, tag))])


@pytest.fixture(scope="module")
def jwe_emulator():
    from airflow_provider_koreai.emulator.process import EmulatorProcess

    with EmulatorProcess(seconds=0, too_soon_seconds=0, args=["--enforce-jwe"]) as emulator:
        yield emulator


@pytest.fixture
def jwe_client(jwe_emulator, client):
    return type(client)(jwe_emulator)


@pytest.fixture
def jwk(jwe_client):
    return jwe_client.emulator.connection()["extra"]["jwe_public_key"]


@pytest.mark.parametrize("alg", ["RSA-OAEP", "RSA1_5"])
@pytest.mark.parametrize("enc", ["A128CBC-HS256", "A128GCM", "A256GCM"])
def test_encrypted_token_is_accepted(jwe_client, jwk, alg, enc):
    assert jwe_client.start(token=encrypt(jwe_client.token(), jwk, alg, enc)).status_code == 200


def test_plain_token_is_refused(jwe_client):
    assert jwe_client.start().status_code == 401


@pytest.mark.parametrize("header", [{"kid": "other"}, {"typ": "JWE"}], ids=str)
def test_wrong_header_is_refused(jwe_client, jwk, header):
    token = encrypt(jwe_client.token(), jwk, "RSA-OAEP", "A256GCM", **header)
    assert jwe_client.start(token=token).status_code == 401


@pytest.mark.parametrize("part", range(5))
@pytest.mark.parametrize("enc", ["A128CBC-HS256", "A256GCM"])
def test_altered_token_is_refused(jwe_client, jwk, part, enc):
    parts = encrypt(jwe_client.token(), jwk, "RSA-OAEP", enc).split(".")
    parts[part] = ("B" if parts[part][0] != "B" else "C") + parts[part][1:]
    assert jwe_client.start(token=".".join(parts)).status_code == 401


def test_bad_inner_token_is_refused(jwe_client, jwk):
    token = encrypt(jwe_client.token(appId="cs-other"), jwk, "RSA-OAEP", "A256GCM")
    assert jwe_client.start(token=token).status_code == 401


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key(),
    ],
    ids=["elliptic curve", "public"],
)
def test_key_that_is_not_a_private_rsa_key_is_refused(key):
    if isinstance(key, rsa.RSAPublicKey):
        pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    else:
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    with pytest.raises(ValueError, match="must be a private RSA key"):
        JweKey(pem)
