"""
The bots of an account, and the apps that a universal bot links, without I/O.

Kore.ai's list of bots contains the Client Secrets of all their apps. Only the fields of :class:`Bot` are taken from an
answer; the rest is never kept, logged or quoted in an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from airflow_provider_koreai.api.calls import (
    ApiRequest,
    bot_id_argument,
    by_folded_name,
    read_document,
    text_of,
    unreadable,
)
from airflow_provider_koreai.arguments import language_code
from airflow_provider_koreai.exceptions import KoreAIRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_koreai.api.calls import ApiAnswer

# Kore.ai returns no more at once.
PAGE_SIZE = 50
# 50,000 bots: no account has more, so a longer list is an error.
MAX_PAGES = 1000


@dataclass(frozen=True)
class Bot:
    """
    A bot, or an app that a universal bot links.

    :param bot_id: its ID, for example ``st-ab12cd34-...``.
    :param name: its name; None where Kore.ai did not say.
    :param status: ``configured`` (in development) or ``published``; None for a linked app.
    :param default_language: such as ``en``; None where Kore.ai did not say.
    """

    bot_id: str
    name: str | None = None
    status: str | None = None
    default_language: str | None = None


@dataclass(frozen=True)
class LinkedApps:
    """
    The apps that a universal bot links.

    :param configured: those of its version in development.
    :param published: those of its published version.
    """

    configured: tuple[Bot, ...] = ()
    published: tuple[Bot, ...] = ()


@dataclass(frozen=True)
class BotPage:
    """A page of the list of bots. ``total`` and ``available_more`` are None where Kore.ai does not report them."""

    bots: tuple[Bot, ...]
    total: int | None = None
    available_more: bool | None = None


class BotListing:
    """
    Collects the pages of the list and decides which one to request next. It ends, whatever the server answers.

    In Kore.ai's newest documentation ``offset`` counts bots, in older versions it counts pages. If a page is
    unexpectedly empty, it is requested again by its page number.
    """

    def __init__(self) -> None:
        self._bots: dict[str, Bot] = {}
        self._pages = 0
        self._by_page_number = False
        self._offset = 0
        self._is_whole = False

    @property
    def next_offset(self) -> int | None:
        """The offset of the next page, or None once the list is complete."""
        return None if self._is_whole else self._offset

    @property
    def bots(self) -> list[Bot]:
        """The bots so far, each once, in the order of the list."""
        return list(self._bots.values())

    def add(self, page: BotPage) -> None:
        """Add the page at :attr:`next_offset`; raise KoreAIRequestError if bots are missing and no page has them."""
        found = {bot.bot_id: bot for bot in page.bots if bot.bot_id not in self._bots}
        self._bots.update(found)
        self._pages += 1
        if page.available_more is False or (page.total is not None and len(self._bots) >= page.total):
            self._is_whole = True
        elif found and self._pages < MAX_PAGES:
            self._offset += 1 if self._by_page_number else len(page.bots)
        elif self._bots and not page.bots and not self._by_page_number:
            self._by_page_number, self._offset = True, 1
        elif page.total is None and not found:
            # There is no total to compare with, so this is the end.
            self._is_whole = True
        else:
            of_all = "" if page.total is None else f" of {page.total}"
            raise KoreAIRequestError(
                f"Kore.ai's list of bots could not be read to its end: {self._pages} pages contained "
                f"{len(self._bots)} bots{of_all}, although Kore.ai reports more. An incomplete list is not used; list "
                "the bot IDs yourself, or try again later."
            )


def bots_request(base_url: str, offset: int = 0, limit: int = PAGE_SIZE) -> ApiRequest:
    """Build the call for one page of the account's bots."""
    return ApiRequest(
        "list of bots",
        "GET",
        f"{base_url}/api/public/bots?{urlencode({'offset': offset, 'limit': limit})}",
        refusal=(
            "the app was not created in the Admin Console: this call needs the credentials of an Admin app with the "
            "scope 'Profile Management > Role Management'; a bot's own app is not enough"
        ),
        is_confidential=True,
    )


def linked_apps_request(base_url: str, bot_id: str, language: str = "en") -> ApiRequest:
    """Build the call for the apps that a universal bot links."""
    language = language_code(language)
    return ApiRequest(
        "list of the linked apps",
        "GET",
        f"{base_url}/api/1.1/public/bot/{bot_id_argument(bot_id)}/universalbot/link?{urlencode({'language': language})}",
        bot_id.strip(),
        # According to the documentation these headers are required, in addition to the language in the URL.
        headers={
            "bot-language": language,
            "app-language": "en",
            "state": "configured",
            "client-app": "unified",
        },
        refusal=(
            "the app lacks the scope 'Get linked App details' ('Getlinkedbotdetails' in the Admin Console); "
            f"bot {bot_id.strip()} is not linked to the app, is not a universal bot, or does not exist"
        ),
        is_confidential=True,
    )


def read_bot_page(request: ApiRequest, answer: ApiAnswer, conn_id: str) -> BotPage:
    """Read the answer to :func:`bots_request`."""
    document = by_folded_name(read_document(request, answer, conn_id))
    total, more = document.get("total"), document.get("availablemore")
    return BotPage(
        _bots(document, "bots", request, answer, conn_id),
        total if isinstance(total, int) and not isinstance(total, bool) else None,
        more if isinstance(more, bool) else None,
    )


def read_linked_apps(request: ApiRequest, answer: ApiAnswer, conn_id: str) -> LinkedApps:
    """Read the answer to :func:`linked_apps_request`."""
    document = by_folded_name(read_document(request, answer, conn_id))
    return LinkedApps(
        _bots(document, "configuredLinkedApps", request, answer, conn_id),
        _bots(document, "publishedLinkedApps", request, answer, conn_id),
    )


def _bots(
    document: Mapping[str, Any], name: str, request: ApiRequest, answer: ApiAnswer, conn_id: str
) -> tuple[Bot, ...]:
    entries = document.get(name.casefold())
    if not isinstance(entries, list):
        raise unreadable(request, answer, conn_id, f"has no {name!r} array")
    bots = []
    for entry in entries:
        fields = by_folded_name(entry) if isinstance(entry, dict) else {}
        bot_id, status = text_of(fields.get("_id")), fields.get("status")
        if bot_id is None:
            raise unreadable(request, answer, conn_id, f"has an entry without _id in {name}")
        bots.append(
            Bot(
                bot_id,
                text_of(fields.get("name")),
                # In the list of linked apps, status is a number with another meaning.
                status.lower() if isinstance(status, str) else None,
                text_of(fields.get("defaultlanguage")),
            )
        )
    return tuple(bots)
