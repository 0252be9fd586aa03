"""From a connection's settings to a signed token, and what is said of keys that are wrong."""

from __future__ import annotations

import sys
import threading
import time
import warnings
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_koreai.api import tokens
from airflow_provider_koreai.api.settings import (
    ALGORITHMS,
    EXTRA_FIELDS,
    JWE_ALGORITHMS,
    JWE_ENCRYPTIONS,
    settings_from_connection,
)
from airflow_provider_koreai.api.tokens import TokenSigner

from .conftest import AUDIENCE, CLIENT_ID, CONN, SECRET, attempt, settings_of, wrong


def decode(token: str, key, algorithm: str, **options) -> dict:
    import jwt

    return jwt.decode(token, key, algorithms=[algorithm], audience=AUDIENCE, **options)


def pem_of(key, *, style: str = "PKCS8", password: bytes | None = None) -> str:
    from cryptography.hazmat.primitives import serialization

    return key.private_bytes(
        serialization.Encoding.PEM,
        getattr(serialization.PrivateFormat, style),
        serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption(),
    ).decode()


def public_pem_of(key) -> str:
    from cryptography.hazmat.primitives import serialization

    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


@pytest.fixture(scope="module")
def rsa_key():
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class TestToken:
    @pytest.mark.parametrize("algorithm", ["HS256", "HS512"])
    def test_a_client_secret_signs(self, algorithm):
        import jwt

        token = TokenSigner(settings_of({"algorithm": algorithm})).sign()
        assert jwt.get_unverified_header(token)["alg"] == algorithm
        assert decode(token, SECRET, algorithm)["appId"] == CLIENT_ID

    @pytest.mark.parametrize("algorithm", ["RS256", "RS512"])
    @pytest.mark.parametrize("style", ["PKCS8", "TraditionalOpenSSL"])
    def test_an_rsa_key_signs(self, algorithm, style, rsa_key):
        settings = settings_of({"algorithm": algorithm}, password=pem_of(rsa_key, style=style))
        token = TokenSigner(settings).sign()
        assert decode(token, public_pem_of(rsa_key), algorithm)["appId"] == CLIENT_ID

    def test_every_accepted_algorithm_is_tested_here(self):
        assert set(ALGORITHMS) == {"HS256", "HS512", "RS256", "RS512"}

    def test_another_secret_does_not_verify(self):
        import jwt

        with pytest.raises(jwt.InvalidSignatureError):
            decode(TokenSigner(settings_of()).sign(), SECRET.replace("3", "4"), "HS256")

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda pem: pem.replace("\n", "\\n"),
            lambda pem: pem.replace("\n", "\\r\\n"),
            lambda pem: pem.replace("\n", "\r\n"),
            lambda pem: f"\n  {pem}  ",
            lambda pem: pem.rstrip("\n"),
        ],
        ids=["escaped newlines", "escaped CR LF", "CR LF", "blanks around", "no last newline"],
    )
    def test_a_pem_survives_environment_variables_and_form_fields(self, spoil, rsa_key):
        settings = settings_of({"algorithm": "RS256"}, password=spoil(pem_of(rsa_key)))
        assert decode(TokenSigner(settings).sign(), public_pem_of(rsa_key), "RS256")

    def test_the_claims_are_exactly_those_of_the_platform(self):
        now = int(time.time())
        claims = decode(TokenSigner(settings_of()).sign(now), SECRET, "HS256")
        assert claims.pop("jti")
        assert claims == {
            "appId": CLIENT_ID,
            "sub": "airflow-provider-koreai",
            "iss": CLIENT_ID,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + 1800,
            "isAnonymous": False,
        }

    def test_subject_audience_and_life_are_the_connections(self):
        import jwt

        extra = {"subject": "me", "audience": "https://other.example", "token_ttl": 60}
        now = int(time.time())
        token = TokenSigner(settings_of(extra)).sign(now)
        claims = jwt.decode(token, SECRET, algorithms=["HS256"], audience="https://other.example")
        assert (claims["sub"], claims["exp"] - now) == ("me", 60)

    @given(st.integers(1, 3600), st.floats(0, 4e9))
    def test_it_never_lives_longer_than_the_hour_that_the_platform_allows(self, ttl, now):
        options = {"verify_exp": False, "verify_iat": False}
        token = TokenSigner(settings_of({"token_ttl": ttl})).sign(now)
        claims = decode(token, SECRET, "HS256", options=options)
        assert type(claims["iat"]) is type(claims["exp"]) is int
        assert claims["exp"] - now <= 3600
        assert claims["exp"] - claims["iat"] == ttl

    def test_each_has_its_own_jti(self):
        signer = TokenSigner(settings_of())
        now = time.time()
        jtis = {decode(signer.sign(now), SECRET, "HS256")["jti"] for _ in range(500)}
        assert len(jtis) == 500

    def test_the_same_settings_in_two_signers_do_not_share_a_jti(self):
        first, second = (TokenSigner(settings_of()).sign(time.time()) for _ in range(2))
        assert decode(first, SECRET, "HS256")["jti"] != decode(second, SECRET, "HS256")["jti"]

    def test_each_is_signed_at_its_own_time(self, monkeypatch):
        clock = iter([1_000_000.0, 1_000_060.9])
        monkeypatch.setattr(tokens, "time", SimpleNamespace(time=lambda: next(clock)))
        signer = TokenSigner(settings_of())
        options = {"verify_exp": False, "verify_iat": False}
        first, second = (decode(signer.sign(), SECRET, "HS256", options=options) for _ in range(2))
        assert (first["iat"], second["iat"]) == (1_000_000, 1_000_060)
        assert (first["exp"], second["exp"]) == (1_001_800, 1_001_860)

    @pytest.mark.parametrize("algorithm", ["HS256", "HS512"])
    @pytest.mark.parametrize("secret", ["a", "short-secret", "x" * 31, "x" * 32, "x" * 63, "ü" * 20])
    def test_a_short_secret_works_without_a_warning(self, algorithm, secret):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            token = TokenSigner(settings_of({"algorithm": algorithm}, password=secret)).sign()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert decode(token, secret, algorithm)["appId"] == CLIENT_ID

    def test_signing_leaves_other_warnings_as_they_were(self):
        signer = TokenSigner(settings_of(password="short"))
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            signer.sign()
            warnings.warn("another", UserWarning, stacklevel=1)
        assert [str(warning.message) for warning in seen] == ["another"]

    def test_a_secret_is_taken_to_the_letter(self):
        secret = " blanks count " * 5
        token = TokenSigner(settings_of(password=secret)).sign()
        assert decode(token, secret, "HS256")["appId"] == CLIENT_ID

    def test_threads_may_share_a_signer(self):
        signer = TokenSigner(settings_of(password="short"))
        tokens: list[str] = []

        def sign_some() -> None:
            tokens.extend(signer.sign() for _ in range(50))

        threads = [threading.Thread(target=sign_some) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(tokens)) == 200


def key_material(pem: str) -> list[str]:
    return [line for line in pem.splitlines() if line and "-----" not in line]


class TestWrongKeys:
    @pytest.mark.parametrize("algorithm", ["RS256", "RS512"])
    @pytest.mark.parametrize("kind", ["secret", "public", "encrypted", "EC", "truncated", "garbage"])
    def test_what_is_no_rsa_private_key_is_refused_by_name_and_not_repeated(self, algorithm, kind, rsa_key):
        from cryptography.hazmat.primitives.asymmetric import ec

        password = {
            "secret": lambda: SECRET,
            "public": lambda: public_pem_of(rsa_key),
            "encrypted": lambda: pem_of(rsa_key, password=b"pass"),
            "EC": lambda: pem_of(ec.generate_private_key(ec.SECP256R1())),
            "truncated": lambda: pem_of(rsa_key)[:400],
            "garbage": lambda: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
        }[kind]()
        text = wrong({"algorithm": algorithm}, password=password)
        assert f"Connection {CONN!r}" in text
        assert "password" in text
        assert algorithm in text
        assert "RSA private key in PEM" in text
        assert not any(line in text for line in key_material(password))

    def test_a_key_that_is_too_short_is_refused_by_its_size(self, rsa_key, monkeypatch):
        monkeypatch.setattr(
            tokens, "_SHORTEST_KEY", 3072
        )  # nothing makes a key any more that is really too short
        text = wrong({"algorithm": "RS512"}, password=pem_of(rsa_key))
        assert "password is an RSA key of 2048 bits, which is too short" in text

    def test_a_secret_that_is_no_text_is_refused_by_name_and_not_repeated(self):
        text = wrong(password="abc\ud800def")
        assert "password contains an unpaired surrogate" in text
        assert "abc" not in text

    @pytest.mark.parametrize("algorithm", ["HS256", "HS512"])
    def test_a_pem_for_an_algorithm_that_needs_a_secret_is_refused_and_not_repeated(self, algorithm, rsa_key):
        pem = pem_of(rsa_key)
        text = wrong({"algorithm": algorithm}, password=pem)
        assert "password" in text
        assert algorithm in text
        assert "RS256 or RS512" in text
        assert not any(line in text for line in key_material(pem))

    @pytest.mark.parametrize("secret", ["ssh-rsa AAAAB3NzaC1yc2E", "ecdsa-sha2-nistp256 AAAAE2VjZHNh"])
    def test_a_public_ssh_key_is_refused_by_name_and_not_repeated(self, secret):
        # PyJWT does not sign with what looks like a public key.
        text = wrong(password=secret)
        assert f"Connection {CONN!r}" in text
        assert "password" in text
        assert secret.split()[1] not in text


class TestEncryptedToken:
    """Apps with "Enforce JWE"; joserfc is an optional extra."""

    @pytest.fixture(autouse=True)
    def _joserfc(self):
        pytest.importorskip("joserfc")

    @staticmethod
    def unwrap(token, platform_key, alg, enc):
        from joserfc import jwe
        from joserfc.jwk import RSAKey

        envelope = jwe.decrypt_compact(token, RSAKey.import_key(pem_of(platform_key)), algorithms=[alg, enc])
        return envelope.headers(), envelope.plaintext.decode()

    # joserfc holds RSA1_5 to be deprecated; the platform may still ask for it.
    @pytest.mark.filterwarnings("ignore:.*RSA1_5")
    @pytest.mark.parametrize("alg", JWE_ALGORITHMS)
    @pytest.mark.parametrize("enc", JWE_ENCRYPTIONS)
    def test_the_platforms_key_opens_it_and_finds_the_signed_token(
        self, alg, enc, platform_key, platform_jwk
    ):
        extra = {"jwe_public_key": platform_jwk, "jwe_alg": alg, "jwe_enc": enc}
        header, token = self.unwrap(TokenSigner(settings_of(extra)).sign(), platform_key, alg, enc)
        assert header == {"alg": alg, "enc": enc, "typ": "JWT", "kid": "platform-key-1"}
        assert decode(token, SECRET, "HS256")["appId"] == CLIENT_ID

    def test_an_rsa_signed_token_fits_in(self, rsa_key, platform_key, platform_jwk):
        extra = {"jwe_public_key": platform_jwk, "algorithm": "RS512"}
        signer = TokenSigner(settings_of(extra, password=pem_of(rsa_key)))
        _, token = self.unwrap(signer.sign(), platform_key, "RSA-OAEP", "A128CBC-HS256")
        assert decode(token, public_pem_of(rsa_key), "RS512")["appId"] == CLIENT_ID

    def test_each_envelope_holds_its_own_jti(self, platform_key, platform_jwk):
        signer = TokenSigner(settings_of({"jwe_public_key": platform_jwk}))
        tokens = [self.unwrap(signer.sign(), platform_key, "RSA-OAEP", "A128CBC-HS256")[1] for _ in range(10)]
        assert len({decode(token, SECRET, "HS256")["jti"] for token in tokens}) == 10

    def test_a_key_without_id_goes_without_kid(self, platform_key, platform_jwk):
        jwk = {name: value for name, value in platform_jwk.items() if name != "kid"}
        signer = TokenSigner(settings_of({"jwe_public_key": jwk}))
        header, _ = self.unwrap(signer.sign(), platform_key, "RSA-OAEP", "A128CBC-HS256")
        assert "kid" not in header

    @pytest.mark.parametrize(
        "hints",
        [
            {"use": "enc"},
            {"key_ops": ["encrypt"]},
            {"key_ops": ["wrapKey"]},
            {"alg": "RSA-OAEP"},
            {"use": "enc", "key_ops": ["encrypt", "wrapKey"], "alg": "RSA-OAEP", "ext": True},
        ],
        ids=str,
    )
    def test_what_a_jwk_says_of_its_own_use_does_not_stand_in_the_way(
        self, hints, platform_key, platform_jwk
    ):
        signer = TokenSigner(settings_of({"jwe_public_key": {**platform_jwk, **hints}}))
        _, token = self.unwrap(signer.sign(), platform_key, "RSA-OAEP", "A128CBC-HS256")
        assert decode(token, SECRET, "HS256")

    @pytest.mark.parametrize(
        "broken", [{"n": "!!!"}, {"n": "A"}, {"e": "!"}, {"n": 5}, {"e": [1]}, {"n": {"a": 1}}], ids=str
    )
    def test_a_jwk_that_cannot_be_read_is_refused_by_name(self, broken, platform_jwk):
        text = wrong({"jwe_public_key": {**platform_jwk, **broken}})
        assert f"Connection {CONN!r}" in text
        assert "jwe_public_key" in text

    @pytest.mark.filterwarnings("ignore:Key size")
    def test_a_jwk_that_is_too_short_is_refused_by_name(self):
        from cryptography.hazmat.primitives.asymmetric import rsa
        from joserfc.jwk import RSAKey

        short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
        jwk = RSAKey.import_key(public_pem_of(short)).as_dict(private=False)
        text = wrong({"jwe_public_key": jwk})
        assert f"Connection {CONN!r}" in text
        assert "jwe_public_key is a JWK that cannot be used (InvalidKeyLengthError)" in text


def test_a_missing_library_for_encrypted_tokens_is_named_with_the_extra(monkeypatch, platform_jwk):
    monkeypatch.setitem(sys.modules, "joserfc", None)
    text = wrong({"jwe_public_key": platform_jwk})
    assert f"Connection {CONN!r}" in text
    assert "jwe_public_key" in text
    assert "airflow-provider-koreai[jwe]" in text


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**400)])
    | st.floats()
    | st.text()
    | st.sampled_from(
        [*ALGORITHMS, *JWE_ALGORITHMS, *JWE_ENCRYPTIONS, "60", '{"kty":"RSA","n":"A","e":"A"}']
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kty", "n", "e", "kid", "d"]) | st.text(), inner, max_size=4)
    ),
    max_leaves=6,
)


class TestAnyConnection:
    @given(
        host=st.none() | st.text() | st.sampled_from(["bots.kore.ai", "http://localhost:1", "a:b@c", "[::1"]),
        login=st.none() | st.text(),
        secret=st.none() | st.text(),
        schema=st.none() | st.text() | st.sampled_from(["http", "https"]),
        port=st.none() | st.integers(),
        extra=st.none() | st.dictionaries(st.sampled_from(EXTRA_FIELDS) | st.text(), json_values, max_size=5),
    )
    def test_gives_a_token_or_an_error_of_ours(self, host, login, secret, schema, port, extra):
        password = secret and f"MARKED{secret}"
        fields = {"host": host, "login": login, "password": password, "schema": schema, "port": port}
        settings, error = attempt(lambda: settings_from_connection(CONN, **fields, extra=extra))
        token = None
        if settings is not None:
            assert "MARKED" not in repr(settings)
            token, error = attempt(lambda: TokenSigner(settings).sign())
        if token is None:
            assert f"Connection {CONN!r}" in str(error)
            assert "MARKED" not in str(error)
