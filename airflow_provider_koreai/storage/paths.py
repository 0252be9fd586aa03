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
    """A task's ``path`` as given, and what its ending says: a file type, a compression, a folder."""

    text: str
    file_type: str | None
    compression: str | None
    is_folder: bool

    @classmethod
    def parse(cls, path: object, name: str = "path") -> PathArgument:
        """Read the argument ``name``: a local path, a URL, or a path object."""
        text = os.fspath(path) if isinstance(path, os.PathLike) else path
        if not isinstance(text, str):
            # An ObjectStoragePath is not a PathLike, and its text is its URL.
            text = str(path) if hasattr(path, "protocol") else ""
        if not text.strip() or "\0" in text or not _is_encodable(text):
            raise KoreAIConfigurationError(
                f"{name}={path!r:.80} is not a path. Pass a local path or a URL such as s3://bucket/utterances.csv; a "
                "trailing / means a folder."
            )
        file_name, compression = text.lower(), None
        for kind, suffix in SUFFIXES.items():
            if file_name.endswith(suffix):
                file_name, compression = file_name[: -len(suffix)], kind
        file_type = next((each for each in FILE_TYPES if file_name.endswith("." + each)), None)
        return cls(text, file_type, compression, text.endswith("/"))

    @classmethod
    def of_file(cls, path: object, name: str = "path") -> PathArgument:
        """Read the argument ``name``, which must not be a folder."""
        argument = cls.parse(path, name)
        if argument.is_folder:
            raise KoreAIConfigurationError(f"{name}={argument.text!r:.200} is a folder; name a file in it.")
        return argument

    def for_export(self, bot_id: str, export: ExportIdentity, file_type: str, compression: str | None) -> str:
        """Return the path of an export's file; in a folder it is named after the bot and the export's time."""
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


def local_path(path: str, name: str = "path") -> str | None:
    """
    Return the local file that a path means, or None for an object store's URL.

    It is absolute and without symbolic links, so that what a link points to is replaced and not the link.
    """
    scheme, separator, rest = path.partition("://")
    if not separator:
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", path):
            raise KoreAIConfigurationError(
                f"{name}={path!r:.200} is ambiguous: a URL has two slashes after the colon. For a local folder of that "
                "name, put ./ in front."
            )
        rest = path
    elif scheme.lower() not in ("file", "local"):
        return None
    elif rest.partition("/")[0] not in ("", "localhost"):
        raise KoreAIConfigurationError(
            f"{name}={path!r:.200} names a host; the URL of a local file has three slashes: {scheme}:///folder/file.csv"
        )
    else:
        rest = rest.removeprefix("localhost")
    return os.path.realpath(os.path.expanduser(rest))


def file_system(url: str, storage_conn_id: str | None, name: str = "path") -> tuple[Any, str]:
    """
    Return the fsspec file system that serves an object's URL, and the object's path in it.

    What the store's own library raises, for example without credentials, comes as it is.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    try:
        # Airflow 2.11 looks for a connection in the URL only where none is given, not even None.
        target = ObjectStoragePath(url, **({"conn_id": storage_conn_id} if storage_conn_id else {}))
        served: Any = target.fs
    except (ValueError, ImportError, NotImplementedError) as error:
        raise KoreAIConfigurationError(
            f"{name}={url!r:.200} cannot be used: {scrub(str(error))[:300]}. Is the provider for this kind of storage "
            "installed with its file system (for S3: apache-airflow-providers-amazon[s3fs])?"
        ) from error
    key = str(target.path)
    if "/" not in key.strip("/"):
        raise KoreAIConfigurationError(f"{name}={url!r:.200} names a bucket, but no object in it.")
    return served, key
