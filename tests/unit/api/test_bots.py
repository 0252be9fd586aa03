"""The list of bots and the linked apps: what is asked, what is taken out of the answers, and when a list is whole."""

from __future__ import annotations

import contextlib
import json
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_koreai.api.bots import (
    MAX_PAGES,
    PAGE_SIZE,
    Bot,
    BotListing,
    BotPage,
    LinkedApps,
    bots_request,
    linked_apps_request,
    read_bot_page,
    read_linked_apps,
)
from airflow_provider_koreai.api.calls import ApiAnswer, error_from
from airflow_provider_koreai.exceptions import (
    KoreAIAuthError,
    KoreAIConfigurationError,
    KoreAIRefusedError,
    KoreAIRequestError,
)

BASE = "https://bots.kore.ai"
CONN = "koreai_admin"
SECRET = "Odm-not-a-real-secret-0123456789="
BOTS = bots_request(BASE)
LINKED = linked_apps_request(BASE, "st-universal")

# The document of the vendor's documentation.
PAGE_DOCUMENT = {
    "total": 169,
    "availableMore": True,
    "bots": [
        {
            "_id": "st-1",
            "accountId": "6661",
            "purpose": "customer",
            "createdBy": "u-1",
            "type": "default",
            "defaultLanguage": "en",
            "status": "published",
            "name": "Sampletestbot",
            "description": "Use this option when none of the predefined purposes match.",
            "isLinkedTo": [],
            "jwtApps": [{"clientId": "cs-1", "clientSecret": SECRET, "jtiClaimEnforced": False}],
        }
    ],
}
LINKED_DOCUMENT = {
    "type": "unified",
    "configuredLinkedApps": [
        {"_id": "st-1", "name": "ABR", "defaultLanguage": "en", "type": "default", "status": 1},
        {"_id": "st-2", "name": "BCS", "status": 1},
    ],
    "publishedLinkedApps": [{"_id": "st-1", "name": "ABR"}],
}


def answer(document: object, status: int = 200) -> ApiAnswer:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return ApiAnswer(status, {"Content-Type": "application/json"}, body)


def page_of(*numbers: int, total: int | None = None, more: bool | None = None) -> BotPage:
    return BotPage(tuple(Bot(f"st-{number}") for number in numbers), total, more)


def listed(server, listing: BotListing) -> list[int | None]:
    """Ask a server (offset -> page) until the list is whole; give the offsets that were asked for."""
    asked = []
    while (offset := listing.next_offset) is not None:
        asked.append(offset)
        listing.add(server(offset))
    return asked


class TestBotsRequest:
    def test_a_page_is_asked_for_by_offset_and_limit(self):
        request = bots_request(BASE, 50)
        assert (request.method, request.url) == ("GET", f"{BASE}/api/public/bots?offset=50&limit=50")
        assert PAGE_SIZE == 50

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_refusal_says_that_admin_credentials_are_needed(self, status):
        error = error_from(
            BOTS, answer({"errors": [{"msg": "Invalid SDK credentials", "code": 4002}]}, status), CONN
        )
        assert isinstance(error, KoreAIAuthError)
        for part in (
            "list of bots",
            "Invalid SDK credentials",
            CONN,
            "Admin app",
            "Role Management",
            "clock",
        ):
            assert part in str(error)
        assert "Utterances Export" not in str(error)
        assert "the list of bots:" in str(error)

    def test_another_refusal_does_not_speak_of_a_bot_id(self):
        error = error_from(BOTS, answer({"errors": [{"msg": "No", "code": 400}]}, 400), CONN)
        assert isinstance(error, KoreAIRefusedError)
        assert "bot_id" not in str(error)


class TestReadBotPage:
    def test_the_answer_of_the_documentation(self):
        page = read_bot_page(BOTS, answer(PAGE_DOCUMENT), CONN)
        assert page == BotPage((Bot("st-1", "Sampletestbot", "published", "en"),), 169, True)

    def test_no_secret_is_in_what_was_read(self):
        page = read_bot_page(BOTS, answer(PAGE_DOCUMENT), CONN)
        assert SECRET not in repr(page)
        assert SECRET not in json.dumps([vars(bot) for bot in page.bots])

    def test_an_answer_does_not_show_its_body(self):
        assert SECRET not in repr(answer(PAGE_DOCUMENT))

    @pytest.mark.parametrize(
        "body",
        [
            json.dumps(PAGE_DOCUMENT["bots"]),
            json.dumps(PAGE_DOCUMENT)[:-1],
            "x\ufeff" + json.dumps(PAGE_DOCUMENT),
            "callback(" + json.dumps(PAGE_DOCUMENT) + ")",
            f"<html>{SECRET}</html>",
            json.dumps({"bots": {"st-1": {"clientSecret": SECRET}}}),
            json.dumps({"bots": [{"name": "No ID", "clientSecret": SECRET}]}),
            json.dumps({"bots": [SECRET]}),
            json.dumps({"clientSecret": SECRET}),
        ],
    )
    def test_an_answer_that_is_not_the_apis_is_not_repeated(self, body):
        with pytest.raises(
            KoreAIRequestError, match=r"list of bots .*not repeated here.*koreai_admin"
        ) as caught:
            read_bot_page(BOTS, answer(body.encode()), CONN)
        assert SECRET not in str(caught.value)

    @pytest.mark.parametrize("status", [302, 401, 404, 429, 500])
    def test_an_error_repeats_the_vendors_message_and_nothing_else(self, status):
        body = f"oops {json.dumps(PAGE_DOCUMENT)}".encode()
        assert SECRET not in str(error_from(BOTS, answer(body, status), CONN))
        vendors = {"errors": [{"msg": "Busy", "clientSecret": SECRET}]}
        said = str(error_from(BOTS, answer(vendors, status), CONN))
        assert "Busy" in said
        assert SECRET not in said

    @pytest.mark.parametrize("name", ["total", "availableMore"])
    @pytest.mark.parametrize("value", [None, "many", [], 1.5])
    def test_what_is_said_of_further_pages_in_another_form_counts_as_absent(self, name, value):
        page = read_bot_page(BOTS, answer({**PAGE_DOCUMENT, name: value}), CONN)
        assert getattr(page, {"total": "total", "availableMore": "available_more"}[name]) is None

    def test_names_of_fields_are_compared_without_case(self):
        document = {
            "TOTAL": 1,
            "AvailableMore": False,
            "Bots": [{"_ID": "st-1", "Name": "One", "STATUS": "Published"}],
        }
        assert read_bot_page(BOTS, answer(document), CONN) == BotPage(
            (Bot("st-1", "One", "published"),), 1, False
        )


class TestLinkedApps:
    def test_the_bot_and_the_language_are_in_the_url(self):
        request = linked_apps_request(BASE, " st-universal ", "de")
        parts = urlsplit(request.url)
        assert parts.path == "/api/1.1/public/bot/st-universal/universalbot/link"
        assert parse_qs(parts.query) == {"language": ["de"]}

    def test_the_headers_that_the_documentation_requires_are_there(self):
        headers = linked_apps_request(BASE, "st-universal", "de").headers
        assert headers["bot-language"] == "de"
        assert {"app-language", "state", "client-app"} <= headers.keys()

    @pytest.mark.parametrize("language", ["", "e", "en us", "en\r\nauth: x", "en&x=1", None, 5])
    def test_a_language_that_is_no_code_is_refused(self, language):
        with pytest.raises(KoreAIConfigurationError, match="language="):
            linked_apps_request(BASE, "st-universal", language)

    def test_a_refusal_names_the_scope_and_the_bot(self):
        said = str(error_from(LINKED, answer({}, 401), CONN))
        assert "Get linked App details" in said
        assert "st-universal" in said

    def test_the_answer_of_the_documentation(self):
        assert read_linked_apps(LINKED, answer(LINKED_DOCUMENT), CONN) == LinkedApps(
            configured=(Bot("st-1", "ABR", None, "en"), Bot("st-2", "BCS")), published=(Bot("st-1", "ABR"),)
        )

    @pytest.mark.parametrize("missing", ["configuredLinkedApps", "publishedLinkedApps"])
    def test_an_answer_without_one_of_the_lists_is_not_the_apis(self, missing):
        document = {key: value for key, value in LINKED_DOCUMENT.items() if key != missing}
        with pytest.raises(KoreAIRequestError, match=missing):
            read_linked_apps(LINKED, answer(document), CONN)


class TestBotListing:
    def test_it_ends_when_nothing_more_is_available(self):
        listing = BotListing()
        pages = {0: page_of(1, 2, more=True), 2: page_of(3, more=False)}
        assert listed(pages.__getitem__, listing) == [0, 2]
        assert [bot.bot_id for bot in listing.bots] == ["st-1", "st-2", "st-3"]

    def test_it_ends_at_the_total_though_more_is_said_to_be_available(self):
        listing = BotListing()
        pages = {0: page_of(1, 2, total=3, more=True), 2: page_of(3, total=3, more=True)}
        assert listed(pages.__getitem__, listing) == [0, 2]

    def test_an_account_without_bots_has_an_empty_list(self):
        listing = BotListing()
        assert listed({0: page_of(total=0, more=False)}.__getitem__, listing) == [0]
        assert listing.bots == []

    def test_a_bot_on_two_pages_is_listed_once(self):
        listing = BotListing()
        pages = {0: page_of(1, 2, more=True), 2: page_of(2, 3, more=False)}
        listed(pages.__getitem__, listing)
        assert [bot.bot_id for bot in listing.bots] == ["st-1", "st-2", "st-3"]

    def test_pages_are_asked_for_by_their_number_where_the_offset_is_one(self):
        listing = BotListing()
        pages = {
            0: page_of(*range(50), total=120, more=True),
            1: page_of(*range(50, 100), total=120, more=True),
            2: page_of(*range(100, 120), total=120, more=False),
        }
        assert listed(lambda offset: pages.get(offset, page_of(total=120, more=True)), listing) == [
            0,
            50,
            1,
            2,
        ]
        assert len(listing.bots) == 120

    @pytest.mark.parametrize("more", [True, None])
    def test_without_a_total_a_repeated_or_an_empty_page_is_the_end(self, more):
        listing = BotListing()
        assert listed(lambda offset: page_of(1, 2, more=more), listing) == [0, 2]
        assert len(listing.bots) == 2
        assert listed(lambda offset: page_of(*([] if offset else [1, 2]), more=more), BotListing()) == [
            0,
            2,
            1,
        ]

    @pytest.mark.parametrize(
        "server",
        [
            lambda offset: page_of(1, 2, total=9, more=True),
            lambda offset: page_of(*([] if offset else [1, 2]), total=9, more=True),
            lambda offset: page_of(*([] if offset else [1, 2]), total=9),
        ],
        ids=["repeats a page", "gives empty pages", "says only the total"],
    )
    def test_a_list_that_cannot_be_read_to_its_end_is_an_error_and_not_a_short_list(self, server):
        with pytest.raises(KoreAIRequestError, match=r"contained 2 bots of 9.*incomplete"):
            listed(server, BotListing())

    def test_a_list_without_an_end_is_given_up(self):
        pages = []

        def server(offset: int) -> BotPage:
            pages.append(offset)
            return page_of(offset, more=True)

        with pytest.raises(KoreAIRequestError, match="could not be read to its end"):
            listed(server, BotListing())
        assert len(pages) == MAX_PAGES

    @given(
        st.lists(
            st.builds(
                BotPage,
                st.lists(st.builds(Bot, st.sampled_from(["st-1", "st-2", "st-3", "st-4"]))).map(tuple),
                st.none() | st.integers(-1, 6),
                st.none() | st.booleans(),
            ),
            min_size=1,
        )
    )
    def test_it_ends_whatever_is_answered(self, pages):
        asked = 0

        def server(offset: int) -> BotPage:
            nonlocal asked
            asked += 1
            assert offset >= 0
            return pages[asked % len(pages)]

        with contextlib.suppress(KoreAIRequestError):
            listed(server, BotListing())
        assert asked <= 8
