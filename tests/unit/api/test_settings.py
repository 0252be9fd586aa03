"""From a connection's fields to its settings, and what is said of fields that are wrong."""

from __future__ import annotations

import json

import pytest
from airflow.providers.common.compat.sdk import BaseHook
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_koreai.api.settings import (
    EXTRA_FIELDS,
    ConnectionSettings,
    is_loopback,
    settings_from_connection,
)
from airflow_provider_koreai.api.tokens import TokenSigner

from .conftest import AUDIENCE, CLIENT_ID, CONN, SECRET, attempt, settings_of, wrong


def base_url(host=None, **fields) -> str:
    return settings_of(host=host, **fields).base_url


class TestHost:
    @pytest.mark.parametrize(
        ("fields", "url"),
        [
            ({"host": None}, "https://bots.kore.ai"),
            ({"host": ""}, "https://bots.kore.ai"),
            ({"host": "  "}, "https://bots.kore.ai"),
            ({"host": "platform.kore.ai"}, "https://platform.kore.ai"),
            ({"host": "platform.kore.ai/"}, "https://platform.kore.ai"),
            ({"host": " platform.kore.ai "}, "https://platform.kore.ai"),
            ({"host": "Platform.Kore.ai"}, "https://platform.kore.ai"),
            ({"host": "https://platform.kore.ai"}, "https://platform.kore.ai"),
            ({"host": "https://platform.kore.ai/"}, "https://platform.kore.ai"),
            ({"host": "HTTPS://platform.kore.ai"}, "https://platform.kore.ai"),
            ({"host": "http://kore.test"}, "http://kore.test"),
            ({"host": "kore.test:8443"}, "https://kore.test:8443"),
            ({"host": "https://kore.test:8443/"}, "https://kore.test:8443"),
            ({"host": "kore.test", "port": 8443}, "https://kore.test:8443"),
            ({"host": "https://kore.test", "port": 8443}, "https://kore.test:8443"),
            ({"host": "kore.test:8443", "port": 8443}, "https://kore.test:8443"),
            ({"host": None, "port": 8443}, "https://bots.kore.ai:8443"),
            ({"host": "kore.test", "schema": "http"}, "http://kore.test"),
            ({"host": "kore.test", "schema": "https"}, "https://kore.test"),
            ({"host": "kore.test", "schema": "HTTP"}, "http://kore.test"),
            ({"host": "kore.test", "schema": "https://"}, "https://kore.test"),
            ({"host": "kore.test", "schema": ""}, "https://kore.test"),
            ({"host": "http://kore.test", "schema": "http"}, "http://kore.test"),
            ({"host": "kore.test", "schema": "http", "port": 8080}, "http://kore.test:8080"),
            ({"host": "localhost", "schema": "http", "port": 8080}, "http://localhost:8080"),
            ({"host": "127.0.0.1:8080"}, "https://127.0.0.1:8080"),
            ({"host": "::1"}, "https://[::1]"),
            ({"host": "[::1]"}, "https://[::1]"),
            ({"host": "[::1]:8080"}, "https://[::1]:8080"),
            ({"host": "::1", "port": 8080, "schema": "http"}, "http://[::1]:8080"),
            ({"host": "http://[2001:db8::1]:8080/"}, "http://[2001:db8::1]:8080"),
        ],
        ids=str,
    )
    def test_every_form_of_a_host_is_understood(self, fields, url):
        assert base_url(**fields) == url

    @pytest.mark.parametrize(
        ("uri", "url"),
        [
            ("koreai://id:secret@platform.kore.ai", "https://platform.kore.ai"),
            ("koreai://id:secret@platform.kore.ai:8443", "https://platform.kore.ai:8443"),
            ("koreai://id:secret@localhost:8080/http", "http://localhost:8080"),
            ("koreai://http://id:secret@localhost:8080", "http://localhost:8080"),
            ("koreai://https://id:secret@platform.kore.ai", "https://platform.kore.ai"),
            ("koreai://id:secret@http%3A%2F%2Flocalhost%3A8080", "http://localhost:8080"),
            ("koreai://id:secret@", "https://bots.kore.ai"),
        ],
    )
    def test_the_uri_form_of_a_connection_is_understood(self, monkeypatch, uri, url):
        monkeypatch.setenv(f"AIRFLOW_CONN_{CONN.upper()}", uri)
        conn = BaseHook.get_connection(CONN)
        settings = settings_from_connection(
            CONN,
            host=conn.host,
            login=conn.login,
            password=conn.password,
            schema=conn.schema,
            port=conn.port,
            extra=conn.extra_dejson,
        )
        assert (settings.base_url, settings.client_id, settings.secret) == (url, "id", "secret")

    @pytest.mark.parametrize(
        "host",
        [
            "https://bots.kore.ai/api",
            "bots.kore.ai/api/public",
            "https://bots.kore.ai/?x=1",
            "https://bots.kore.ai?x=1",
            "https://bots.kore.ai?",
            "https://bots.kore.ai/#top",
            "https:/bots.kore.ai",
            "/bots.kore.ai",
        ],
    )
    def test_a_path_or_a_query_is_refused(self, host):
        text = wrong(host=host)
        assert "host is" in text
        assert "path or a query" in text
        assert "https://bots.kore.ai" in text

    def test_a_query_is_not_repeated(self):
        assert "t0ken" not in wrong(host="https://bots.kore.ai/?key=t0ken")

    @pytest.mark.parametrize(
        "host",
        [
            "user:passw0rd@bots.kore.ai",
            "https://user:passw0rd@bots.kore.ai",
            "https://passw0rd@bots.kore.ai",
            "https://user:passw0rd@bots.kore.ai/path?x=1",
            "ftp://user:passw0rd@bots.kore.ai",
            "user:passw0rd@bots.kore.ai:8443",
            "https://user:passw0rd@bots.kore.ai:8443",
            "https://user:passw0rd@bots.kore.ai:port",
            "user:more:passw0rd@bots.kore.ai",
            "https://user:passw0rd[@bots.kore.ai",
            "https://user:passw0rd@[::1",
        ],
    )
    def test_user_info_is_refused_and_not_repeated(self, host):
        text = wrong(host=host)
        assert "passw0rd" not in text
        assert "host contains a user name or password; enter them as Login and Password" in text

    @pytest.mark.parametrize(
        "host",
        [
            *("https://", "bots kore ai", "bots.kore.ai:port", "bots.kore.ai:99999", "https://[::1", "[x]"),
            *("a\\b", "bücher.example", "1:2:3:x", "bots.kore.ai,platform.kore.ai", "{{ host }}"),
        ],
    )
    def test_what_is_no_host_is_refused(self, host):
        assert "host is" in wrong(host=host)

    @pytest.mark.parametrize("host", ["ftp://bots.kore.ai", "file://bots.kore.ai", "ws://bots.kore.ai"])
    def test_another_scheme_is_refused(self, host):
        text = wrong(host=host)
        assert "host is" in text
        assert "https://<host>" in text

    @pytest.mark.parametrize("schema", ["ftp", "koreai", "public"])
    def test_another_schema_is_refused(self, schema):
        text = wrong(host="bots.kore.ai", schema=schema)
        assert f"schema '{schema}'" in text
        assert "http or https" in text

    def test_a_schema_that_contradicts_the_url_is_refused(self):
        assert "schema is 'http'" in wrong(host="https://kore.test", schema="http")

    def test_a_port_that_contradicts_the_host_is_refused(self):
        text = wrong(host="kore.test:1234", port=5678)
        assert "1234" in text
        assert "5678" in text

    @pytest.mark.parametrize("port", [-1, 65536, 99999])
    def test_a_port_that_does_not_exist_is_refused(self, port):
        assert "port" in wrong(host="kore.test", port=port)

    @given(st.text() | st.from_regex(r"(https?://)?[\w.:@\[\]/?#%-]{0,30}"), st.none() | st.text(max_size=8))
    def test_any_host_is_a_base_url_or_an_error_of_ours(self, host, schema):
        url, error = attempt(lambda: base_url(host, schema=schema))
        if url is None:
            assert "host" in str(error)
            return
        scheme, _, rest = url.partition("://")
        assert scheme in ("http", "https")
        assert rest
        assert not set(rest) & set("/?#@\\ \t\r\n")


class TestWhereTokensGo:
    @pytest.mark.parametrize(
        ("host", "is_loop"),
        [
            *((host, True) for host in ("localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "::1")),
            *((host, False) for host in ("kore.test", "10.0.0.1", "localhost.example.com", "")),
        ],
    )
    def test_what_means_this_machine(self, host, is_loop):
        assert is_loopback(host) is is_loop

    @pytest.mark.parametrize(
        ("host", "in_the_clear"),
        [
            ("http://kore.test", True),
            ("http://10.0.0.1:8080", True),
            ("http://[2001:db8::1]:8080", True),
            ("http://localhost:8080", False),
            ("http://127.0.0.1", False),
            ("http://[::1]:8080", False),
            ("https://kore.test", False),
        ],
    )
    def test_plain_http_to_another_machine_is_known_as_such(self, host, in_the_clear):
        assert settings_of(host=host).is_plain_http_to_elsewhere is in_the_clear

    @pytest.mark.parametrize(
        ("host", "name"), [("kore.test:8443", "kore.test"), ("[::1]:80", "::1"), (None, "bots.kore.ai")]
    )
    def test_the_host_name_has_no_port(self, host, name):
        assert settings_of(host=host).host == name


class TestExtra:
    def test_the_defaults(self):
        assert settings_of() == ConnectionSettings(
            conn_id=CONN,
            base_url="https://bots.kore.ai",
            client_id=CLIENT_ID,
            secret=SECRET,
            algorithm="HS256",
            subject="airflow-provider-koreai",
            audience=AUDIENCE,
            token_ttl=1800,
            jwe_public_key=None,
            jwe_alg="RSA-OAEP",
            jwe_enc="A128CBC-HS256",
            ca_bundle=None,
            timeout=30.0,
            download_hosts=(),
            bot_id=None,
        )

    @pytest.mark.parametrize("name", EXTRA_FIELDS)
    @pytest.mark.parametrize("empty", [None, "", "  "])
    def test_an_empty_field_is_its_default(self, name, empty):
        assert settings_of({name: empty}) == settings_of()

    @pytest.mark.parametrize(
        ("name", "value", "read"),
        [
            ("algorithm", "RS512", "RS512"),
            ("algorithm", "hs512", "HS512"),
            ("subject", " me ", "me"),
            ("audience", "https://idproxy.example", "https://idproxy.example"),
            ("token_ttl", 60, 60),
            ("token_ttl", "60", 60),
            ("token_ttl", 1, 1),
            ("token_ttl", 3600, 3600),
            ("token_ttl", 60.0, 60),
            ("jwe_alg", "rsa1_5", "RSA1_5"),
            ("jwe_enc", "a256gcm", "A256GCM"),
            ("timeout", "2.5", 2.5),
            ("timeout", 3600, 3600),
            ("ca_bundle", __file__, __file__),
            ("download_hosts", "files.example.com", ("files.example.com",)),
            ("download_hosts", "A.example, b.example c.example", ("a.example", "b.example", "c.example")),
            ("download_hosts", ["*.example.com", "h:8443"], ("*.example.com", "h:8443")),
            ("bot_id", "st-1", "st-1"),
        ],
    )
    def test_a_field_is_read(self, name, value, read):
        assert getattr(settings_of({name: value}), name) == read

    def test_a_jwk_is_read_from_json_and_from_an_object_alike(self, platform_jwk):
        as_text = settings_of({"jwe_public_key": json.dumps(platform_jwk)})
        assert as_text.jwe_public_key == settings_of({"jwe_public_key": platform_jwk}).jwe_public_key

    def test_unknown_fields_are_ignored(self):
        assert settings_of({"novelty": [1], "extra__koreai__x": ""}) == settings_of()


WRONG_FIELDS = [
    # (extra, fields, the field that is named, what the text says is accepted)
    ({}, {"login": None}, "login", "Client ID"),
    ({}, {"login": "  "}, "login", "Client ID"),
    ({}, {"password": None}, "password", "Client Secret"),
    ({}, {"password": " \n"}, "password", "Client Secret"),
    ({}, {"host": "https://bots.kore.ai/path"}, "host", "https://bots.kore.ai"),
    ({}, {"host": "ftp://bots.kore.ai"}, "host", "https://"),
    ({}, {"schema": "ftp"}, "schema", "http or https"),
    *(
        ({"algorithm": value}, {}, "algorithm", "HS256, HS512, RS256, RS512")
        for value in ("HS384", "none", "ES256", 256, ["HS256"], True)
    ),
    *(
        ({"token_ttl": value}, {}, "token_ttl", "1 to 3600")
        for value in (0, -1, 3601, 1.5, "an hour", "nan", "inf", True, [], 10**400)
    ),
    *(
        ({"timeout": value}, {}, "timeout", "above 0 and at most 3600")
        for value in (0, -1, 3601, "soon", "nan", "inf", False, {}, 10**400)
    ),
    *(({"jwe_alg": value}, {}, "jwe_alg", "RSA-OAEP, RSA1_5") for value in ("RSA-OAEP-256", "dir", 5)),
    *(
        ({"jwe_enc": value}, {}, "jwe_enc", "A128CBC-HS256, A128GCM, A256GCM")
        for value in ("A256CBC-HS512", "A192GCM", 5)
    ),
    *(
        ({"jwe_public_key": value}, {}, "jwe_public_key", "JWK")
        for value in ("not json", "[]", 5, {"kty": "EC"}, {"kty": "RSA", "e": "AQAB"}, "[" * 100_000)
    ),
    ({"ca_bundle": "/no/such/ca.pem"}, {}, "ca_bundle", "PEM file"),
    ({"ca_bundle": 5}, {}, "ca_bundle", "string"),
    *(
        ({"download_hosts": value}, {}, "download_hosts", "host names")
        for value in ("https://files.example.com", "a/b", 5, [5], {"a": 1}, "*", "*.*", "-", "a_b@c")
    ),
    *(({name: 5}, {}, name, "string") for name in ("subject", "audience", "bot_id")),
]


class TestWhatIsSaidOfWrongFields:
    @pytest.mark.parametrize(
        ("extra", "fields", "named", "accepted"), WRONG_FIELDS, ids=lambda value: repr(value)[:40]
    )
    def test_the_error_names_connection_field_and_accepted_values(self, extra, fields, named, accepted):
        text = wrong(extra, **fields)
        assert f"Connection {CONN!r}" in text
        assert named in text
        assert accepted in text

    @pytest.mark.parametrize(
        ("extra", "fields", "named", "accepted"), WRONG_FIELDS, ids=lambda value: repr(value)[:40]
    )
    def test_the_error_never_holds_the_secret(self, extra, fields, named, accepted):
        assert SECRET not in wrong(extra, **fields)

    def test_all_problems_are_named_at_once(self):
        text = wrong(
            {
                "algorithm": "HS384",
                "token_ttl": 9999,
                "jwe_public_key": "x",
                "jwe_alg": "x",
                "jwe_enc": "x",
                "ca_bundle": "/no/such/ca.pem",
                "timeout": 0,
                "download_hosts": "https://x",
            },
            host="ftp://x",
            login="",
            password="",
        )
        for name in ("host", "login", "password", "algorithm", "token_ttl", "jwe_public_key", "jwe_alg"):
            assert f"{name} " in text
        for name in ("jwe_enc", "ca_bundle", "timeout", "download_hosts"):
            assert f"{name} " in text

    def test_a_private_jwk_is_refused_and_not_repeated(self, platform_key):
        import jwt

        jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(platform_key))
        text = wrong({"jwe_public_key": jwk})
        assert "private" in text
        assert not any(jwk[part] in text for part in ("d", "p", "q", "n"))

    def test_no_secret_is_in_the_settings_repr(self, platform_jwk):
        text = repr(settings_of({"jwe_public_key": platform_jwk}))
        assert SECRET not in text
        assert platform_jwk["n"] not in text

    def test_no_secret_is_in_the_signers_repr(self):
        assert SECRET not in repr(TokenSigner(settings_of()))
