"""
Assets: a bot's utterances as ``koreai://<host>/<bot_id>``, and what a task adds to the events of its outlets.

Airflow 2.11 calls assets datasets.
"""

from __future__ import annotations

from contextlib import suppress
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
    Return the asset that stands for a bot's utterances, for ``outlets`` and ``schedule``.

    :param bot_id: the bot, for example ``st-ab12cd34-...``.
    :param host: the Host of the connection, written as there. Default ``https://bots.kore.ai``.
    :param extra: the asset's extra. Default: none.
    :param kwargs: other arguments of ``Asset``, for example ``group`` on Airflow 3.
    :raises ValueError: ``host`` or ``bot_id`` is not valid.
    """
    return Asset(uri=asset_uri(bot_id, host), extra=extra, **kwargs)


def asset_uri(bot_id: str, host: str | None = None) -> str:
    """Return the URI of :func:`koreai_asset` in its normal form."""
    text = (host or "").strip() or DEFAULT_HOST
    netloc = urlsplit(text if "://" in text else f"https://{text}").netloc
    # Airflow 3 also names the asset after its URI as written, and refuses one URI under two names.
    return sanitize_uri(urlsplit(f"{SCHEME}://{netloc}/{bot_id}")).geturl()


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """
    Return a ``koreai://`` URI in its normal form. Airflow calls this for every asset of that scheme.

    :raises ValueError: the URI is not of the form ``koreai://<host>/<bot_id>``.
    """
    host = uri.netloc.lower().removesuffix(":443")
    if not host or "@" in host:
        raise _wrong(uri, "has no host" if not host else "has a user name or password")
    bot_id = uri.path.strip("/")
    if uri.query:
        raise _wrong(uri, "has a query")
    try:
        bot_id_argument(bot_id)
    except KoreAIConfigurationError as error:
        raise _wrong(uri, str(error)) from None
    return uri._replace(scheme=SCHEME, netloc=host, path=f"/{bot_id}", fragment="")


def create_asset(*, bot_id: str, host: str | None = None, extra: dict[str, Any] | None = None) -> Asset:
    """Make a :func:`koreai_asset` for Airflow's lineage collector, which passes keywords only."""
    return koreai_asset(bot_id, host=host, extra=extra)


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> OpenLineageDataset:
    """Return OpenLineage's dataset for an asset of this scheme; Airflow calls this."""
    from airflow.providers.common.compat.openlineage.facet import Dataset as OpenLineageDataset

    uri = urlsplit(asset.uri)
    return OpenLineageDataset(namespace=f"{SCHEME}://{uri.netloc}", name=uri.path.lstrip("/"))


def tell_outlets(
    outlets: Iterable[object],
    events: Any,
    extra: Mapping[str, Any],
    asset_of_alias: Callable[[], Asset] | None = None,
) -> None:
    """
    Add what a task stored to the events of its outlets, for the DAGs that are scheduled on them.

    :param extra: what was stored.
    :param asset_of_alias: makes the asset for the event of an ``AssetAlias``; without it, an alias gets no event.
    """
    for outlet in outlets:
        if isinstance(outlet, AssetAlias):
            if asset_of_alias is not None:
                events[outlet].add(asset_of_alias(), extra=dict(extra))
        else:
            # An asset, or a reference to one (`Asset.ref(...)`, Airflow 3); what is for OpenLineage only has no event.
            with suppress(TypeError):
                events[outlet].extra.update(extra)


def _wrong(uri: SplitResult, problem: str) -> ValueError:
    # Without user name and password, which may be secrets.
    shown = uri._replace(netloc=uri.netloc.rpartition("@")[2]).geturl()
    return ValueError(f"{shown!r:.200} is not of the form {SCHEME}://<host>/<bot_id>: it {problem}")
