"""The hook for connections of type ``koreai``."""

from __future__ import annotations

import contextlib
import json
import time
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_koreai import metrics
from airflow_provider_koreai.api.calls import may_be_retried
from airflow_provider_koreai.api.settings import ConnectionSettings, settings_from_connection
from airflow_provider_koreai.api.shared_connections import Known, shared
from airflow_provider_koreai.api.start_lock import one_start_at_a_time
from airflow_provider_koreai.api.tokens import TokenSigner
from airflow_provider_koreai.exceptions import (
    KoreAIAuthError,
    KoreAIConfigurationError,
    KoreAIError,
    KoreAIRateLimitError,
    KoreAIRefusedError,
    KoreAIServerError,
)
from airflow_provider_koreai.hooks.way_back import WayBackCalls
from airflow_provider_koreai.jobs import export as export_job
from airflow_provider_koreai.jobs.confirming import CONFIRM_SECONDS, Confirmation
from airflow_provider_koreai.jobs.export import ExportIdentity, ExportWatch
from airflow_provider_koreai.redaction import without_locals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from datetime import datetime

    import requests
    import tenacity
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_koreai.api.bots import Bot, LinkedApps
    from airflow_provider_koreai.api.calls import ApiAnswer, ApiRequest
    from airflow_provider_koreai.download.export_file import DownloadResult
    from airflow_provider_koreai.jobs.export import Export

T = TypeVar("T")

# Seconds. A secrets backend that does not answer looks like a connection that does not exist.
LOOK_UP_PAUSES = (1.0, 2.0)


class KoreAIHook(WayBackCalls, BaseHook):
    """
    Calls Kore.ai's public API. The calls that change a bot are in :mod:`airflow_provider_koreai.hooks.way_back`.

    Connection errors, timeouts, 429 (as its ``Retry-After`` says), 5xx and unreadable answers to a GET are retried, with
    exponential backoff and full jitter, each time with a newly signed token. After a 401 the connection is read again and the call is sent once more, as the secret may have been
    rotated. A second 401, a 403 or another 4xx of the API ends the call; a 4xx that is not in the API's form comes from
    a gateway and counts as trouble.

    :param koreai_conn_id: ID of a connection of type ``koreai``. Default ``koreai_default``.
    :param max_tries: how many times a call is sent at most. Default 5.
    :param max_retry_seconds: seconds after which a call is not retried any more. Default 120.
    :param max_retry_wait: longest pause between two tries in seconds, unless the service asks for a longer one.
        Default 20.
    """

    conn_name_attr = "koreai_conn_id"
    default_conn_name = "koreai_default"
    conn_type = "koreai"
    hook_name = "Kore.ai"

    def __init__(
        self,
        koreai_conn_id: str = default_conn_name,
        *,
        max_tries: int = 5,
        max_retry_seconds: float = 120.0,
        max_retry_wait: float = 20.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.koreai_conn_id = koreai_conn_id
        self.max_tries = max_tries
        self.max_retry_seconds = max_retry_seconds
        self.max_retry_wait = max_retry_wait

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the layout of Airflow's connection form for this type."""
        from airflow_provider_koreai.connection_form import field_behaviour

        return field_behaviour()

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's extra fields, for Airflow versions that do not read them from the provider info."""
        from airflow_provider_koreai.connection_form import widgets

        return widgets()

    def get_conn(self) -> requests.Session:
        """
        Return the HTTP session that the calls use. It carries no token: each request gets its own.

        :raises KoreAIConfigurationError: as :attr:`settings`.
        """
        _ = self.settings
        return self._session

    @cached_property
    def settings(self) -> ConnectionSettings:
        """
        The connection's settings, checked.

        :raises KoreAIConfigurationError: the connection does not exist, or a field is missing or wrong; the text names
            all such fields.
        """
        with without_locals():
            return self._read_settings()

    def start_export(
        self,
        bot_id: str,
        *,
        state: str = "configured",
        file_type: str = "csv",
        confirm_seconds: float = CONFIRM_SECONDS,
        on_started: Callable[[Export], object] | None = None,
    ) -> Export:
        """
        Start an export of a bot's ML utterances (``mlexport``), and confirm it.

        The confirmation asks the status call until it reports the new export, usually once or twice, for at most
        ``confirm_seconds``. ``request_id`` and ``requested_time`` of the result are those that the status call reports, so
        that later tasks can compare exactly. Where it does not report the export in time, they are those of the start's
        own answer, and a warning is logged. Starts of the same bot on one machine wait for each other meanwhile.

        :param bot_id: the bot, for example ``st-ab12cd34-...``.
        :param state: ``configured`` (in development, the default) or ``published``.
        :param file_type: ``csv`` (the default) or ``json``.
        :param confirm_seconds: seconds to spend on the confirmation at most. Default 30.
        :param on_started: called with the start's own answer before it is confirmed, so that it can be kept at once.
        :return: the export; its ``request_id`` and ``requested_time`` distinguish it from the bot's others.
        :raises KoreAIConfigurationError: the connection or an argument cannot be used.
        :raises KoreAIAuthError: 401 or 403.
        :raises KoreAIRateLimitError: 429, after retries.
        :raises KoreAIRequestError: another 4xx, or an answer that is not the API's.
        :raises KoreAIServerError: 5xx or no answer, after retries.
        """
        request = export_job.start_request(self.settings.base_url, bot_id, state=state, file_type=file_type)
        with one_start_at_a_time(request.url.partition("?")[0], confirm_seconds):
            began = time.monotonic()
            started = self._call(request, export_job.read_export)
            took = time.monotonic() - began
            metrics.export_started(bot_id)
            if on_started is not None:
                on_started(started)
            confirmation = Confirmation(started, self.log, confirm_seconds, took=took)
            # One try a call: the confirmation is what tries again.
            return confirmation.run(lambda: self.get_export(bot_id, max_tries=1))

    def get_export(self, bot_id: str, *, max_tries: int | None = None) -> Export:
        """
        Ask for the bot's latest export, whoever started it (``mlexport/status``).

        :param bot_id: the bot.
        :param max_tries: how many times to send the call at most. Default: the hook's ``max_tries``.
        :raises KoreAIError: as :meth:`start_export`.
        """
        request = export_job.status_request(self.settings.base_url, bot_id)
        return self._call(request, export_job.read_export, max_tries)

    def list_bots(self) -> list[Bot]:
        """
        List all bots of the account, for example to map tasks over them.

        The connection must be that of an Admin app (Admin Console, scope ``Profile Management > Role Management``).
        Kore.ai's answer carries the Client Secrets of all apps: none of them is kept or shown.

        :return: ID, name, status and default language of each bot, in Kore.ai's order.
        :raises KoreAIAuthError: 401 or 403, for example because the app is that of a single bot.
        :raises KoreAIRequestError: another 4xx, an answer that is not the API's, or a list that does not end.
        :raises KoreAIError: as :meth:`start_export`.
        """
        from airflow_provider_koreai.api import bots

        listing = bots.BotListing()
        while listing.next_offset is not None:
            request = bots.bots_request(self.settings.base_url, listing.next_offset)
            listing.add(self._call(request, bots.read_bot_page))
        return listing.bots

    def iter_analytics(
        self,
        bot_id: str,
        analytics_type: str,
        start: str | datetime,
        end: str | datetime,
        *,
        channel: str | None = None,
        include_user_ids: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """
        Read a bot's analytics of an interval (``getAnalytics``), row by row, as Kore.ai writes them.

        Rows that come or go while the pages are read are noticed, and the reading begins anew; so the rows are held
        back until the last page was read.

        :param bot_id: the bot.
        :param analytics_type: ``unhandledutterance``, ``successintent``, ``failintent``, ``successtask``, ``failtask`` or
            ``performance``.
        :param start: the beginning, a time or its text in ISO 8601 (UTC if it has no offset).
        :param end: the end, which is not included.
        :param channel: rows of this channel only. Default None: of all.
        :param include_user_ids: keep ``userId`` and the other fields that say who a user is. Default False.
        :raises KoreAIRequestError: the rows changed too often to be read whole, or as :meth:`start_export`.
        :raises KoreAIError: as :meth:`start_export`.
        """
        from airflow_provider_koreai.api.analytics import Query, read_page
        from airflow_provider_koreai.hooks.analytics import read_whole

        query = Query.of(bot_id, analytics_type, start, end, channel)
        return read_whole(
            query,
            self.settings.base_url,
            lambda request: self._call(request, read_page),
            include_user_ids=include_user_ids,
        )

    def list_linked_apps(self, bot_id: str, *, language: str = "en") -> LinkedApps:
        """
        List the apps that a universal bot links.

        :param bot_id: the universal bot.
        :param language: a language code. Default ``en``.
        :return: the apps of its version in development, and those of its published version.
        :raises KoreAIError: as :meth:`start_export`.
        """
        from airflow_provider_koreai.api import bots

        request = bots.linked_apps_request(self.settings.base_url, bot_id, language)
        return self._call(request, bots.read_linked_apps)

    def download_export(
        self,
        bot_id: str,
        path: str,
        *,
        request_id: str | None = None,
        requested_time: str | None = None,
        file_type: str | None = None,
        newer_than: str | datetime | None = None,
        storage_conn_id: str | None = None,
        on_superseded: str = "fail",
        min_rows: int | None = None,
        max_bytes: int | None = None,
        overwrite: bool = True,
        is_retry: bool = False,
        compression: str | None = None,
        link_wait: float = 60.0,
    ) -> DownloadResult:
        """
        Download the file of a finished export. It appears at ``path`` complete or not at all.

        The link is asked for here, so it never passes through XCom and never expires between tasks.

        :param bot_id: the bot.
        :param path: a local path, or a URL that Airflow's ObjectStoragePath understands. Ending in ``/`` it is a
            folder, and the file is named ``<bot_id>-<requested_time>.<csv|json>``.
        :param request_id: the export's request ID; without it and ``requested_time``: the bot's latest export.
        :param requested_time: the export's requested time.
        :param file_type: ``csv`` or ``json``; None takes it from the path, or accepts either.
        :param newer_than: without ``request_id`` and ``requested_time``, the time from which on an export counts; an
            older one is treated like one that is still running.
        :param storage_conn_id: connection for the object store of ``path``.
        :param on_superseded: ``fail`` (the default) or ``follow`` a newer export of the same file type.
        :param min_rows: refuse a file with fewer rows.
        :param max_bytes: refuse a file with more bytes.
        :param overwrite: replace an existing file (the default); False refuses before anything is downloaded.
        :param is_retry: with ``overwrite=False``, accept a file that has the same content, because an earlier try may
            have published it. Default False.
        :param compression: ``gzip`` or ``zstd`` for the stored file; None (the default) stores it as it came.
        :param link_wait: seconds to wait for an export that is still running or has no link yet. Default 60.
        :raises KoreAIDownloadError: the file could not be downloaded completely, or its content is wrong.
        :raises KoreAIExportFailedError: the export failed.
        :raises KoreAIExportSupersededError: a newer export took its place.
        :raises KoreAIError: as :meth:`start_export`.
        """
        from airflow_provider_koreai.download.export_file import download_export

        watch = ExportWatch(
            bot_id,
            ExportIdentity.of(request_id, requested_time, file_type),
            on_superseded=on_superseded,
            newer_than=newer_than,
            log=self.log,
        )
        result = download_export(
            get_export=lambda: self.get_export(bot_id),
            watch=watch,
            settings=self.settings,
            path=path,
            file_type=watch.ours.file_type,
            storage_conn_id=storage_conn_id,
            min_rows=min_rows,
            max_bytes=max_bytes,
            overwrite=overwrite,
            is_retry=is_retry,
            compression=compression,
            link_wait=link_wait,
            log=self.log,
        )
        metrics.downloaded(result.bot_id, result.bytes, result.rows)
        return result

    def test_connection(self) -> tuple[bool, str]:
        """
        Test the connection, for Airflow's Test button: ask for the latest export of the bot in its extra field ``bot_id``.

        :return: whether the connection works, and a text for the user.
        """
        works, said = self._test()
        # The Test button gives the connection an ID of its own, which means nothing to the user.
        name = f"onnection {self.koreai_conn_id!r}"
        for text, instead in (
            (f" (c{name})", ""),
            (f"C{name}", "This connection"),
            (f"c{name}", "this connection"),
        ):
            said = said.replace(text, instead)
        return works, said

    def _test(self) -> tuple[bool, str]:
        try:
            bot_id = self.settings.bot_id
            if bot_id is None:
                return False, (
                    "The settings are complete, but the credentials can only be tested with a bot: "
                    "enter a bot ID in the extra field bot_id."
                )
            self.get_export(bot_id, max_tries=1)
        except KoreAIRefusedError as error:
            if error.by_api and error.http_status == HTTPStatus.NOT_FOUND:
                return True, "Kore.ai accepted the credentials; this bot has not been exported yet."
            accepted = "Kore.ai accepted the credentials, but refused the call. " if error.by_api else ""
            return False, f"{accepted}{error}"
        except KoreAIRateLimitError as error:
            return True, f"Kore.ai answered, but its rate limit is reached; try again later. {error}"
        except KoreAIAuthError as error:
            # Kore.ai's documentation shows a missing scope as a 401.
            if error.status_code == HTTPStatus.FORBIDDEN or "scope is incorrect" in str(error).lower():
                return False, f"Kore.ai accepted the credentials, but the app lacks a scope. {error}"
            return False, f"Kore.ai refused the credentials. {error}"
        except KoreAIServerError as error:
            return False, f"Kore.ai could not be reached: check the host and the network. {error}"
        except KoreAIError as error:
            return False, str(error)
        return True, f"Kore.ai accepted the credentials; bot {bot_id} can be exported."

    async def aget_export(self, bot_id: str, *, max_tries: int | None = None) -> Export:
        """Ask for the bot's latest export, from an event loop. Arguments and errors are those of :meth:`get_export`."""
        request = export_job.status_request((await self.asettings()).base_url, bot_id)
        return await self._acall(request, export_job.read_export, max_tries)

    @contextlib.asynccontextmanager
    async def aopen(self) -> AsyncIterator[None]:
        """Keep the event loop's shared connections open from one call to the next."""
        from airflow_provider_koreai.api.async_client import connections_open

        async with connections_open():
            yield

    async def asettings(self) -> ConnectionSettings:
        """
        Return the connection's settings, looked up without blocking the event loop and at most a minute old.

        :raises KoreAIConfigurationError: as :attr:`settings`.
        """
        return (await self._aknown()).settings

    async def _aknown(self, refused: Known | None = None) -> Known:
        with without_locals():
            return await shared(self.koreai_conn_id, self._aread, self.log, refused=refused)

    async def _aread(self) -> Known:
        import asyncio

        # Reading an RSA key, and the first import of the libraries, take too long for the event loop.
        return await asyncio.to_thread(_known, await self._aread_settings())

    @cached_property
    def _session(self) -> requests.Session:
        from airflow_provider_koreai.api.client import new_session

        return new_session()

    @cached_property
    def _signer(self) -> TokenSigner:
        return TokenSigner(self.settings)

    def _read_settings(self) -> ConnectionSettings:
        try:
            connection = self._look_ups()(self.get_connection, self.koreai_conn_id)
        except AirflowNotFoundException as error:
            raise self._no_connection() from error
        return self._settings_of(connection, connection.extra_dejson)

    async def _aread_settings(self) -> ConnectionSettings:
        from airflow.providers.common.compat.connection import get_async_connection

        from airflow_provider_koreai.version_compat import get_async_extra_dejson

        try:
            look_ups = self._look_ups(asynchronous=True)
            connection = await look_ups(get_async_connection, self.koreai_conn_id, hook=self)
        except AirflowNotFoundException as error:
            raise self._no_connection() from error
        return self._settings_of(connection, await get_async_extra_dejson(connection))

    def _look_ups(self, *, asynchronous: bool = False) -> Any:
        """Return what looks a connection up, and again if it was not found: perhaps a secrets backend was away."""
        import tenacity

        def tell(state: tenacity.RetryCallState) -> None:
            self.log.warning(
                "Connection %r was not found; looking again in %.0f s",
                self.koreai_conn_id,
                state.upcoming_sleep,
            )

        return (tenacity.AsyncRetrying if asynchronous else tenacity.Retrying)(
            stop=tenacity.stop_after_attempt(len(LOOK_UP_PAUSES) + 1),
            wait=tenacity.wait_chain(*map(tenacity.wait_fixed, LOOK_UP_PAUSES)),
            retry=tenacity.retry_if_exception_type(AirflowNotFoundException),
            before_sleep=tell,
            reraise=True,
        )

    def _no_connection(self) -> KoreAIConfigurationError:
        return KoreAIConfigurationError(
            f"Connection {self.koreai_conn_id!r} does not exist, or Airflow's secrets backend could not be reached: Airflow "
            "does not tell the two apart. Create it with type koreai, or pass the ID of another connection as koreai_conn_id."
        )

    def _settings_of(self, connection: Connection, extra: dict[str, Any]) -> ConnectionSettings:
        if connection.conn_type and connection.conn_type != self.conn_type:
            raise KoreAIConfigurationError(
                f"Connection {self.koreai_conn_id!r} is of type {connection.conn_type!r}; "
                f"it must be of type {self.conn_type!r}."
            )
        if not _is_object(connection.extra, extra):
            raise KoreAIConfigurationError(
                f"Connection {self.koreai_conn_id!r} (type {self.conn_type}) cannot be used: Extra must be a JSON "
                'object, for example {"timeout": 60}.'
            )
        settings = settings_from_connection(
            self.koreai_conn_id,
            host=connection.host,
            login=connection.login,
            password=connection.password,
            schema=connection.schema,
            port=connection.port,
            extra=extra or {},
        )
        if settings.is_plain_http_to_elsewhere:
            self.log.warning(
                "Connection %r uses plain http to reach %s: tokens and data cross the network unencrypted.",
                self.koreai_conn_id,
                settings.host,
            )
        return settings

    def _call(
        self,
        request: ApiRequest,
        read: Callable[[ApiRequest, ApiAnswer, str], T],
        max_tries: int | None = None,
    ) -> T:
        for attempt in self._retrying(request, max_tries):
            with attempt, without_locals():
                result = self._ask(request, read)
        return result

    def _ask(self, request: ApiRequest, read: Callable[[ApiRequest, ApiAnswer, str], T]) -> T:
        try:
            return read(request, self._send(request), self.koreai_conn_id)
        except KoreAIAuthError as error:
            if error.status_code != HTTPStatus.UNAUTHORIZED:
                raise
        # Once more: the secret may have been rotated, or a proxy may have repeated the request ("possibly a replay").
        for name in ("settings", "_signer"):
            self.__dict__.pop(name, None)
        request = request.to(self.settings.base_url)
        return read(request, self._send(request), self.koreai_conn_id)

    def _send(self, request: ApiRequest) -> ApiAnswer:
        from airflow_provider_koreai.api.client import new_session, send

        if request.is_repeatable:
            return send(self._session, self.settings, request, self._signer.sign())
        # A connection that was kept open may have been closed by the other side, which looks like a lost answer.
        with new_session() as session:
            return send(session, self.settings, request, self._signer.sign())

    async def _acall(
        self,
        request: ApiRequest,
        read: Callable[[ApiRequest, ApiAnswer, str], T],
        max_tries: int | None = None,
    ) -> T:
        async with self.aopen():
            async for attempt in self._retrying(request, max_tries, asynchronous=True):
                with attempt, without_locals():
                    result = await self._aask(request, read)
        return result

    async def _aask(self, request: ApiRequest, read: Callable[[ApiRequest, ApiAnswer, str], T]) -> T:
        """Do what :meth:`_ask` does."""
        known = await self._aknown()
        try:
            return read(request, await _asend(known, request), self.koreai_conn_id)
        except KoreAIAuthError as error:
            if error.status_code != HTTPStatus.UNAUTHORIZED:
                raise
        known = await self._aknown(refused=known)
        return read(request, await _asend(known, request), self.koreai_conn_id)

    def _retrying(self, request: ApiRequest, max_tries: int | None, *, asynchronous: bool = False) -> Any:
        """Retry above the HTTP library, so that each try is signed anew."""
        import tenacity

        max_tries = self.max_tries if max_tries is None else max_tries
        backoff = tenacity.wait_random_exponential(multiplier=1, max=self.max_retry_wait)

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.retry_after if isinstance(error, KoreAIRateLimitError) else None
            return max(backoff(state), asked or 0.0)

        def tell(state: tenacity.RetryCallState) -> None:
            metrics.retried(request.bot_id, request.call)
            self.log.warning(
                "Attempt %d of %d failed; trying again in %.1f s: %s",
                state.attempt_number,
                max_tries,
                state.upcoming_sleep,
                state.outcome.exception() if state.outcome else None,
            )

        return (tenacity.AsyncRetrying if asynchronous else tenacity.Retrying)(
            stop=tenacity.stop_after_attempt(max_tries) | tenacity.stop_before_delay(self.max_retry_seconds),
            wait=wait,
            retry=tenacity.retry_if_exception(
                lambda error: isinstance(error, KoreAIError) and may_be_retried(request, error)
            ),
            before_sleep=tell,
            reraise=True,
        )


def _is_object(text: str | None, parsed: Any) -> bool:
    """Return whether an extra is a JSON object or empty; Airflow treats a text that it cannot parse as empty."""
    if not parsed and text and text.strip():
        try:
            parsed = json.loads(text)
        except ValueError:
            return False
    return parsed is None or isinstance(parsed, dict)


async def _asend(known: Known, request: ApiRequest) -> ApiAnswer:
    from airflow_provider_koreai.api.async_client import asend

    return await asend(known.settings, request.to(known.settings.base_url), known.signer.sign, known.ca_stamp)


def _known(settings: ConnectionSettings) -> Known:
    from airflow_provider_koreai.api.client import ca_stamp

    signer = TokenSigner(settings)
    signer.sign()
    return Known(settings, signer, ca_stamp(settings))
