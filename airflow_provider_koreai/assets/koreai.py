"""
Assets: a bot's utterances as ``koreai://<host>/<bot_id>``, and what a download tells of the assets that it updates.

On Airflow 2.11 an asset is what is called a dataset there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import Asset, AssetAlias

from airflow_provider_koreai.api.calls import bot_id_argument
from airflow_provider_koreai.api.settings import DEFAULT_HOST
from airflow_provider_koreai.exceptions import KoreAIConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from urllib.parse import SplitResult

    from airflow.providers.common.compat.openlineage.facet import Dataset as OpenLineageDataset

SCHEME = "koreai"


def koreai_asset(
    bot_id: str, *, host: str | None = None, extra: dict[str, Any] | None = None, **kwargs: Any
) -> Asset:
    """
    Give the asset that stands for a bot's utterances, for ``outlets`` and ``schedule``.

    :param bot_id: the bot, such as ``st-ab12cd34-...``.
    :param host: the connection's host, as it is entered there. Default ``https://bots.kore.ai``.
    :param extra: the asset's extra.
    :param kwargs: what else ``Asset`` takes, such as ``group`` on Airflow 3.
    :raises ValueError: the host or the bot ID is none.
    """
    return Asset(uri=asset_uri(bot_id, host), extra=extra, **kwargs)


def asset_uri(bot_id: str, host: str | None = None) -> str:
    """
    Give the URI of :func:`koreai_asset`, in its normal form.

    :param bot_id: the bot.
    :param host: a host name or a URL. Default ``https://bots.kore.ai``.
    :raises ValueError: the host or the bot ID is none.
    """
    text = (host or "").strip() or DEFAULT_HOST
    netloc = urlsplit(text if "://" in text else f"https://{text}").netloc
    # Airflow 3 takes what it is given for the asset's name too, and refuses one URI under two names.
    return sanitize_uri(urlsplit(f"{SCHEME}://{netloc}/{bot_id}")).geturl()


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """
    Bring a ``koreai://`` URI into its normal form; Airflow calls this for every asset of that scheme.

    :param uri: as written.
    :raises ValueError: it is not ``koreai://<host>/<bot_id>``.
    """
    host = uri.netloc.lower().removesuffix(":443")
    if not host or "@" in host:
        raise _wrong(uri, "names no host" if not host else "has a user name or password")
    bot_id = uri.path.strip("/")
    if uri.query:
        raise _wrong(uri, "has a query")
    try:
        bot_id_argument(bot_id)
    except KoreAIConfigurationError as error:
        raise _wrong(uri, str(error)) from None
    return uri._replace(scheme=SCHEME, netloc=host, path=f"/{bot_id}", fragment="")


def create_asset(*, bot_id: str, host: str | None = None, extra: dict[str, Any] | None = None) -> Asset:
    """
    Give :func:`koreai_asset` to Airflow's lineage collector, which knows keywords only.

    :param bot_id: the bot.
    :param host: a host name or a URL. Default ``https://bots.kore.ai``.
    :param extra: the asset's extra.
    """
    return koreai_asset(bot_id, host=host, extra=extra)


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> OpenLineageDataset:
    """
    Say what OpenLineage calls an asset of this scheme.

    :param asset: the asset.
    :param lineage_context: Airflow's.
    """
    from airflow.providers.common.compat.openlineage.facet import Dataset as OpenLineageDataset

    uri = urlsplit(asset.uri)
    return OpenLineageDataset(namespace=f"{SCHEME}://{uri.netloc}", name=uri.path.lstrip("/"))


def tell_outlets(
    outlets: Iterable[object],
    events: Any,
    extra: Mapping[str, Any],
    asset_of_bot: Callable[[], Asset],
) -> None:
    """
    Add what a task has stored to the events of its outlets, for the DAGs that are scheduled on them.

    :param outlets: the task's.
    :param events: the context's ``outlet_events``.
    :param extra: the metadata.
    :param asset_of_bot: gives the asset of the bot, which the event of an ``AssetAlias`` is about.
    """
    for outlet in outlets:
        if isinstance(outlet, AssetAlias):
            events[outlet].add(asset_of_bot(), extra=dict(extra))
        else:
            # An asset, or a reference to one (`Asset.ref(...)`, Airflow 3).
            events[outlet].extra.update(extra)


def _wrong(uri: SplitResult, problem: str) -> ValueError:
    # Without the user info: it may be a secret.
    shown = uri._replace(netloc=uri.netloc.rpartition("@")[2]).geturl()
    return ValueError(f"{shown!r:.200} is not of the form {SCHEME}://<host>/<bot_id>: it {problem}")
