"""
Buttons in Airflow's UI. A task stores their URLs as XComs: the UI itself reads no connection.

Kore.ai documents where its builder begins, but no address of one bot in it. So the button opens the builder, and its
address names the bot for whoever has to choose it there.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, urlencode, urlsplit

from airflow.providers.common.compat.sdk import BaseOperatorLink

from airflow_provider_koreai.api.calls import bot_id_argument

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

log = logging.getLogger(__name__)
# Where the client for S3 looks for an endpoint, besides the connection.
_S3_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


class _StoredLink(BaseOperatorLink):
    name: ClassVar[str]
    xcom_key: ClassVar[str]

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        from airflow.providers.common.compat.sdk import XCom

        return XCom.get_value(key=self.xcom_key, ti_key=ti_key) or ""


class KoreAIBotLink(_StoredLink):
    """The bot's builder."""

    name = "Open in Kore.ai"
    xcom_key = "koreai_bot_url"


class KoreAIExportedFileLink(_StoredLink):
    """The stored file in its store's console."""

    name = "Exported file"
    xcom_key = "koreai_file_url"


def store_bot_link(context: Context, operator: Any) -> None:
    """Store the URL of :class:`KoreAIBotLink` for a task with ``hook`` and ``bot_id``."""
    _store(
        context,
        operator,
        KoreAIBotLink,
        lambda: builder_url(operator.hook.settings.base_url, operator.bot_id),
    )


def store_file_link(context: Context, operator: Any, path: str) -> None:
    """Store the URL of :class:`KoreAIExportedFileLink` for a task with ``storage_conn_id``."""
    _store(context, operator, KoreAIExportedFileLink, lambda: file_url(path, operator.storage_conn_id))


def builder_url(base_url: str, bot_id: str) -> str:
    """
    The address of the builder on a host of Kore.ai's.

    :raises KoreAIConfigurationError: ``bot_id`` is not a bot ID.
    """
    label = (urlsplit(base_url).hostname or "").partition(".")[0]
    # For example platform.kore.ai, bots.kore.ai, and the regional uae-platform and de-bots. Elsewhere the root redirects.
    path = {"platform": "/builder/home", "bots": "/botbuilder"}.get(label.rpartition("-")[2], "/")
    bot_id_argument(bot_id)
    return f"{base_url}{path}?{urlencode({'botId': bot_id.strip()})}"


def file_url(path: str, storage_conn_id: str | None = None) -> str | None:
    """The address of a stored file in its store's console; None for a local file and for a store without a known console."""
    from airflow_provider_koreai.assets.lineage import dataset_name
    from airflow_provider_koreai.storage.paths import file_system

    namespace, key = dataset_name(path)
    scheme, _, bucket = namespace.partition("://")
    if scheme == "gs":
        return f"https://console.cloud.google.com/storage/browser/_details/{quote(bucket)}/{quote(key)}"
    if scheme != "s3" or any(map(os.environ.get, _S3_ENDPOINTS)):
        return None
    if getattr(file_system(path, storage_conn_id)[0], "endpoint_url", None):
        return None  # what speaks S3 at an endpoint of its own is not Amazon's
    return f"https://console.aws.amazon.com/s3/object/{quote(bucket)}?{urlencode({'prefix': key})}"


def _store(context: Context, operator: Any, link: type[_StoredLink], make: Callable[[], str | None]) -> None:
    if not operator.do_xcom_push:
        return
    url = None
    try:
        url = make()
    except Exception as error:  # noqa: BLE001 - what is wrong with the connection, the task itself will say
        log.debug("No link %r: %s", link.name, type(error).__name__)
    # Always: Airflow 3.3 logs an error for a button whose XCom is missing.
    context["ti"].xcom_push(key=link.xcom_key, value=url or "")
