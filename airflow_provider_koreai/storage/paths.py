"""What a path argument means: a local file or an object in a store, its file type, its compression."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.arguments import FILE_TYPES
from airflow_provider_koreai.exceptions import KoreAIConfigurationError
from airflow_provider_koreai.redaction import scrub
from airflow_provider_koreai.storage.compression import SUFFIXES

if TYPE_CHECKING:
    from airflow_provider_koreai.jobs.export import ExportIdentity


@dataclass(frozen=True)
class PathArgument:
    """
    A task's ``path``, taken apart.

    :param text: as given.
    :param file_type: what its suffix says, None where it says nothing.
    :param compression: likewise.
    :param is_folder: it ends in ``/``.
    """

    text: str
    file_type: str | None
    compression: str | None
    is_folder: bool

    @classmethod
    def parse(cls, path: object, name: str = "path") -> PathArgument:
        """
        Read the argument.

        :param path: a local path, a URL, or a path object.
        :param name: the argument's name, for the message. Default ``path``.
        :raises KoreAIConfigurationError: it is neither.
        """
        text = os.fspath(path) if isinstance(path, os.PathLike) else path
        if not isinstance(text, str):
            # An ObjectStoragePath is no PathLike, and its text is its URL.
            text = str(path) if hasattr(path, "protocol") else ""
        if not text.strip() or "\0" in text or not _is_encodable(text):
            raise KoreAIConfigurationError(
                f"{name}={path!r:.80} is no path; use a local path or a URL such as s3://bucket/utterances.csv. "
                "Ending in / it is a folder."
            )
        file_name, compression = text.lower(), None
        for kind, suffix in SUFFIXES.items():
            if file_name.endswith(suffix):
                file_name, compression = file_name[: -len(suffix)], kind
        file_type = next((each for each in FILE_TYPES if file_name.endswith("." + each)), None)
        return cls(text, file_type, compression, text.endswith("/"))

    @classmethod
    def of_file(cls, path: object, name: str = "path") -> PathArgument:
        """
        Read an argument that names a file.

        :param path: a local path, a URL, or a path object.
        :param name: the argument's name, for the message. Default ``path``.
        :raises KoreAIConfigurationError: it names none.
        """
        argument = cls.parse(path, name)
        if argument.is_folder:
            raise KoreAIConfigurationError(f"{name}={argument.text!r:.200} is a folder; name a file in it.")
        return argument

    def for_export(self, bot_id: str, export: ExportIdentity, file_type: str, compression: str | None) -> str:
        """
        Name the file of an export.

        :param bot_id: the bot.
        :param export: what is known of the export.
        :param file_type: its file type.
        :param compression: how it will be stored.
        """
        if not self.is_folder:
            return self.text
        which = export.requested_time or export.request_id or "latest"
        name = re.sub(r"[^A-Za-z0-9._:+-]+", "-", f"{bot_id}-{which}")
        return f"{self.text}{name}.{file_type}{SUFFIXES.get(compression or '', '')}"


def _is_encodable(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def local_path(path: str) -> str | None:
    """
    Give the local file that a path means.

    :param path: a local path or a URL.
    :return: an absolute path without symbolic links, so that what a link points to is replaced and not the link;
        None for an object store's URL.
    :raises KoreAIConfigurationError: it is a file URL with a host, or a URL that lacks a slash.
    """
    scheme, separator, rest = path.partition("://")
    if not separator:
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", path):
            raise KoreAIConfigurationError(
                f"path={path!r:.200} is neither a URL, which has two slashes behind its colon, nor a local path; put ./ "
                "before a folder with such a name."
            )
        rest = path
    elif scheme.lower() not in ("file", "local"):
        return None
    elif rest.partition("/")[0] not in ("", "localhost"):
        raise KoreAIConfigurationError(
            f"path={path!r:.200} names a host; a local file's URL has three slashes: {scheme}:///folder/file.csv"
        )
    else:
        rest = rest.removeprefix("localhost")
    return os.path.realpath(os.path.expanduser(rest))


def file_system(url: str, storage_conn_id: str | None) -> tuple[Any, str]:
    """
    Give what serves an object store's URL.

    :param url: the URL of an object.
    :param storage_conn_id: the connection, None where the URL or the environment names it.
    :return: an fsspec file system, and the object's path in it.
    :raises KoreAIConfigurationError: nothing serves such a URL, or it names a bucket only.
    :raises Exception: the store's own library could not set it up, such as for want of credentials.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    try:
        # Airflow 2.11 looks for a connection in the URL only where none is given, not even None.
        target = ObjectStoragePath(url, **({"conn_id": storage_conn_id} if storage_conn_id else {}))
        served: Any = target.fs
        problem = ""
    except (ValueError, ImportError, NotImplementedError) as error:
        problem = scrub(str(error))[:300]
    if problem:
        raise KoreAIConfigurationError(
            f"path={url!r:.200} cannot be used: {problem}. Is the provider for this kind of storage installed with "
            "its file system (for S3: apache-airflow-providers-amazon[s3fs])?"
        )
    key = str(target.path)
    if "/" not in key.strip("/"):
        raise KoreAIConfigurationError(f"path={url!r:.200} names no object, only a bucket.")
    return served, key
