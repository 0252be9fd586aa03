"""Who is let in, and what the others are told."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

if TYPE_CHECKING:
    import requests

INVALID = {"errors": [{"msg": "Invalid SDK credentials", "code": 4002}]}
REPLAY = {"errors": [{"msg": "error verifying the jwt: possibly a replay", "code": 401}]}
LONG_JTI = {
    "errors": [{"msg": 'error verifying the jwt: if "jti" claim "exp" must be <= 1 hour(s)', "code": 401}]
}


def assert_refused(response: requests.Response, body: Any = INVALID) -> None:
    assert response.status_code == 401
    assert response.json() == body


def test_good_token_is_accepted(client):
    assert client.start().status_code == 200


def test_absent_token_is_refused(client):
    assert_refused(client.start(token=""))


def test_absent_token_is_refused_by_the_status_call(client):
    assert_refused(client.status(token=""))


def test_bearer_token_is_refused(client):
    bearer = {"authorization": f"Bearer {client.token()}"}
    assert_refused(client.start(token="", headers=bearer))


@pytest.mark.parametrize("token", ["x", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "\xe9"])
def test_nonsense_is_refused(client, token):
    assert_refused(client.start(token=token.encode("latin-1")))


def test_wrong_secret_is_refused(client):
    assert_refused(client.start(token=client.token(key="another secret of at least thirty-two bytes")))


def test_unsigned_token_is_refused(client):
    assert_refused(client.start(token=jwt.encode(client.claims(), None, "none")))


def test_other_algorithm_is_refused(client):
    assert_refused(client.start(token=client.token(algorithm="HS512")))


@pytest.mark.parametrize("spelling", ["appid", "App ID", "appID"])
def test_misspelt_app_id_is_refused(client, spelling):
    token = client.token(appId=None, **{spelling: client.emulator.client_id})
    assert_refused(client.start(token=token))


def test_other_client_id_is_refused(client):
    assert_refused(client.start(token=client.token(appId="cs-somebody-else")))


@pytest.mark.parametrize("change", [{"sub": None}, {"sub": 7}], ids=["absent", "number"])
def test_token_without_a_subject_is_refused(client, change):
    assert_refused(client.start(token=client.token(**change)))


def test_token_without_exp_is_refused(client):
    assert_refused(client.start(token=client.token(exp=None)))


@pytest.mark.parametrize("age", [0, 1, 3600])
def test_expired_token_is_refused_without_leeway(client, age):
    assert_refused(client.start(token=client.token(exp=int(time.time()) - age)))


@pytest.mark.parametrize("exp", ["2999-01-01", "99999999999", True, [1]], ids=str)
def test_exp_that_is_no_number_is_refused(client, exp):
    assert_refused(client.start(token=client.token(exp=exp)))


def test_token_from_a_clock_ahead_of_ours_is_accepted(client):
    assert client.start(token=client.token(iat=int(time.time()) + 120)).status_code == 200


def test_token_without_jti_is_accepted_and_may_be_used_again(client):
    token = client.token(jti=None, exp=int(time.time()) + 86400)
    assert [client.start(token=token).status_code for _ in range(2)] == [200, 200]


def test_second_use_of_a_jti_is_refused(client):
    token = client.token()
    assert client.start(token=token).status_code == 200
    assert_refused(client.start(token=token), REPLAY)


def test_second_use_of_a_jti_is_refused_across_calls_and_bots(client):
    token = client.token()
    assert client.start(token=token).status_code == 200
    assert_refused(client.status("st-demo-bank", token=token), REPLAY)


def test_new_token_with_an_old_jti_is_refused(client):
    assert client.start(token=client.token(jti="once")).status_code == 200
    assert_refused(client.start(token=client.token(jti="once", sub="other")), REPLAY)


def test_jti_is_used_up_by_an_answer_that_is_an_error(client):
    client.control.add_fault("st-demo-travel", "status", "http", status=503)
    token = client.token()
    assert client.status(token=token).status_code == 503
    assert_refused(client.status(token=token), REPLAY)


def test_jti_of_a_forged_token_is_not_used_up(client):
    client.start(token=client.token(jti="mine", key="a forger's secret of at least thirty-two bytes"))
    assert client.start(token=client.token(jti="mine")).status_code == 200


def test_jti_with_more_than_an_hour_is_refused(client):
    assert_refused(client.start(token=client.token(exp=int(time.time()) + 3660)), LONG_JTI)


def test_jti_with_an_hour_is_accepted(client):
    assert client.start(token=client.token(exp=int(time.time()) + 3600)).status_code == 200


def test_unknown_bot_is_refused_like_a_bad_token(client):
    assert_refused(client.start("st-nobody"))


def test_bot_that_is_not_linked_is_refused_like_a_bad_token(client):
    client.control.configure_bot("st-demo-travel", linked=False)
    assert_refused(client.start())
    assert_refused(client.status())


def test_missing_scope_is_forbidden(client):
    client.control.configure_bot("st-demo-travel", scope=False)
    response = client.start()
    assert response.status_code == 403
    assert "scope" in response.json()["errors"][0]["msg"]


def test_enforced_jti_refuses_a_token_without_and_hs512_is_checked(start_emulator):
    client = start_emulator("--enforce-jti", "--algorithm", "HS512")
    assert client.start(token=client.token(algorithm="HS512")).status_code == 200
    assert_refused(client.start(token=client.token(algorithm="HS512", jti=None)))
    assert_refused(client.start(token=client.token(algorithm="HS256")))


def test_rsa_tokens_are_checked_with_the_public_key(start_emulator, tmp_path):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    file = tmp_path / "public.pem"
    file.write_bytes(public)
    client = start_emulator("--algorithm", "RS256", "--public-key", str(file))
    assert client.start(token=client.token(key=private, algorithm="RS256")).status_code == 200
    assert_refused(client.start(token=client.token(key=private, algorithm="RS512")))
    assert_refused(client.start(token=client.token()))
    assert client.emulator.connection()["extra"]["algorithm"] == "RS256"
