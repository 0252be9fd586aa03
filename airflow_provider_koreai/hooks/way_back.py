"""The hook's calls that change a bot: upload and import a file, train, run a batch test."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

from airflow_provider_koreai.arguments import FILE_TYPES, choice
from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIError, KoreAIFileError
from airflow_provider_koreai.jobs import batch_test, imports, training

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_koreai.api.calls import ApiAnswer, ApiRequest
    from airflow_provider_koreai.api.settings import ConnectionSettings
    from airflow_provider_koreai.jobs.batch_test import BatchTest
    from airflow_provider_koreai.jobs.imports import Import, UploadedFile
    from airflow_provider_koreai.jobs.training import Training

T = TypeVar("T")

# Files up to this size are kept in memory while they are sent, larger ones in a temporary file.
_IN_MEMORY = 1 << 20


class WayBackCalls:
    """A part of :class:`~airflow_provider_koreai.hooks.koreai.KoreAIHook`, which sends what is asked for here."""

    if TYPE_CHECKING:

        @property
        def settings(self) -> ConnectionSettings: ...

        async def asettings(self) -> ConnectionSettings: ...

        def _call(
            self,
            request: ApiRequest,
            read: Callable[[ApiRequest, ApiAnswer, str], T],
            max_tries: int | None = None,
        ) -> T: ...

        async def _acall(
            self,
            request: ApiRequest,
            read: Callable[[ApiRequest, ApiAnswer, str], T],
            max_tries: int | None = None,
        ) -> T: ...

    def upload_file(
        self,
        path_or_stream: str | os.PathLike[str] | BinaryIO,
        *,
        file_type: str | None = None,
        storage_conn_id: str | None = None,
    ) -> UploadedFile:
        """
        Upload a file for an import (``uploadfile``). It changes nothing; import it right afterwards.

        The file is sent a piece at a time, a compressed one (gzip, zstd) decompressed, and Parquet as JSON. A stream is sent
        as it is, from where it is to its end.

        :param path_or_stream: a local path, a URL that Airflow's ObjectStoragePath understands, or a binary stream.
        :param file_type: ``csv`` or ``json``. Default: from the path's suffix, or else from the content; a stream needs
            it.
        :param storage_conn_id: connection for the object store of the path.
        :return: ``file_id``, which is a secret (anyone who has it can import the file), and ``file_name``.
        :raises KoreAIConfigurationError: the connection or an argument cannot be used.
        :raises KoreAIFileError: the file does not exist, is damaged or empty.
        :raises KoreAIError: as :meth:`~airflow_provider_koreai.hooks.koreai.KoreAIHook.start_export`.
        """
        with _content(path_or_stream, file_type, storage_conn_id) as (kind, content):
            request = imports.upload_request(self.settings.base_url, content, kind)
            file_id = self._call(request, imports.read_file_id)
        return imports.UploadedFile(file_id, imports.file_name(kind))

    def start_import(self, bot_id: str, file_id: str, file_name: str) -> Import:
        """
        Start the import of an uploaded file (``mlimport``). It replaces utterances of the bot in development.

        It is sent again only if it surely did not begin: after a rate limit, or a connection that could not be made.

        :param bot_id: the bot.
        :param file_id: from :meth:`upload_file`. The upload decides what the file's type is.
        :param file_name: from :meth:`upload_file`.
        :return: the import; its ``import_id`` is what :meth:`get_import` needs.
        :raises KoreAIImportUncertainError: no readable answer came, or a 5xx: the import may be running.
        :raises KoreAIError: as :meth:`~airflow_provider_koreai.hooks.koreai.KoreAIHook.start_export`; the import did not
            begin.
        """
        request = imports.start_request(self.settings.base_url, bot_id, file_id, file_name)
        try:
            return self._call(request, imports.read_import)
        except KoreAIError as error:
            problem = imports.start_error(request, error)
            if problem is error:
                raise
            raise problem from error

    def get_import(self, bot_id: str, import_id: str, *, max_tries: int | None = None) -> Import:
        """
        Ask for an import (``mlimport/status``).

        :param bot_id: the bot.
        :param import_id: from :meth:`start_import`.
        :param max_tries: how often to send the call at most. Default: as often as the hook does.
        :raises KoreAIError: as :meth:`~airflow_provider_koreai.hooks.koreai.KoreAIHook.start_export`.
        """
        request = imports.status_request(self.settings.base_url, bot_id, import_id)
        return self._call(request, imports.read_import, max_tries)

    async def aget_import(self, bot_id: str, import_id: str, *, max_tries: int | None = None) -> Import:
        """Ask for an import, from an event loop. See :meth:`get_import`."""
        request = imports.status_request((await self.asettings()).base_url, bot_id, import_id)
        return await self._acall(request, imports.read_import, max_tries)

    def start_training(self, bot_id: str, language: str = "en") -> Training:
        """
        Train a bot in one language (``ml/train``).

        :param bot_id: the bot.
        :param language: a language code. Default ``en``.
        :return: the training, with its ``training_id``.
        :raises KoreAIError: as :meth:`~airflow_provider_koreai.hooks.koreai.KoreAIHook.start_export`.
        """
        request = training.start_request(self.settings.base_url, bot_id, language)
        return self._call(request, training.read_start)

    def get_training(self, bot_id: str, language: str = "en", *, max_tries: int | None = None) -> Training:
        """
        Ask for the latest training in a language (``ml/train/status``), whoever started it.

        Right after a start this may still be the training before. To wait for yours, call this before the start, and
        let :class:`~airflow_provider_koreai.jobs.training.TrainingWatch` judge the answers after it.

        :param bot_id: the bot.
        :param language: a language code. Default ``en``.
        :param max_tries: how often to send the call at most. Default: as often as the hook does.
        :raises KoreAIError: as :meth:`~airflow_provider_koreai.hooks.koreai.KoreAIHook.start_export`.
        """
        request = training.status_request(self.settings.base_url, bot_id, language)
        return self._call(request, training.read_status, max_tries)

    async def aget_training(
        self, bot_id: str, language: str = "en", *, max_tries: int | None = None
    ) -> Training:
        """Ask for the latest training in a language, from an event loop. See :meth:`get_training`."""
        request = training.status_request((await self.asettings()).base_url, bot_id, language)
        return await self._acall(request, training.read_status, max_tries)

    def start_batch_test(
        self,
        bot_id: str,
        *,
        test_suite: str = batch_test.DEFAULT_SUITE,
        version: str = "inDevelopment",
        language: str = "en",
    ) -> BatchTest:
        """
        Run one of a bot's test suites.

        :param bot_id: the bot.
        :param test_suite: its name. Default ``Developer defined utterances``, which every bot has.
        :param version: ``inDevelopment`` (the default) or ``published``.
        :param language: a language code. Default ``en``.
        :return: the run; its ``request_id`` is what :meth:`get_batch_test` needs.
        :raises KoreAIError: as :meth:`~airflow_provider_koreai.hooks.koreai.KoreAIHook.start_export`.
        """
        request = batch_test.start_request(
            self.settings.base_url, bot_id, test_suite=test_suite, version=version, language=language
        )
        return self._call(request, batch_test.read_start)

    def get_batch_test(
        self,
        bot_id: str,
        request_id: str,
        *,
        test_suite: str = batch_test.DEFAULT_SUITE,
        max_tries: int | None = None,
    ) -> BatchTest:
        """
        Ask for a run of a test suite.

        :param bot_id: the bot.
        :param request_id: from :meth:`start_batch_test`.
        :param test_suite: the suite that was run. Default ``Developer defined utterances``.
        :param max_tries: how often to send the call at most. Default: as often as the hook does.
        :raises KoreAIError: as :meth:`~airflow_provider_koreai.hooks.koreai.KoreAIHook.start_export`.
        """
        request = batch_test.status_request(self.settings.base_url, bot_id, request_id, test_suite=test_suite)
        return self._call(request, batch_test.read_status, max_tries)

    async def aget_batch_test(
        self,
        bot_id: str,
        request_id: str,
        *,
        test_suite: str = batch_test.DEFAULT_SUITE,
        max_tries: int | None = None,
    ) -> BatchTest:
        """Ask for a run of a test suite, from an event loop. See :meth:`get_batch_test`."""
        request = batch_test.status_request(
            (await self.asettings()).base_url, bot_id, request_id, test_suite=test_suite
        )
        return await self._acall(request, batch_test.read_status, max_tries)


@contextmanager
def _content(
    source: Any, file_type: str | None, storage_conn_id: str | None
) -> Iterator[tuple[str, BinaryIO]]:
    """Find a file's type and content; the content can be read from its beginning again and again."""
    if isinstance(source, (str, os.PathLike)):
        from airflow_provider_koreai.utterances.importable import import_file

        with import_file(os.fspath(source), file_type, storage_conn_id) as file:
            yield file.file_type, file.content
        return
    if not file_type:
        raise KoreAIConfigurationError("file_type is missing: a stream has no suffix. Pass csv or json.")
    kind = choice("file_type", file_type, FILE_TYPES)
    if not hasattr(source, "read") or isinstance(source, io.TextIOBase):
        raise KoreAIConfigurationError(
            f"path_or_stream is of type {type(source).__name__}; pass a path, or a stream opened in binary mode ('rb')."
        )
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as copy:
        shutil.copyfileobj(source, copy)
        if copy.tell() == 0:
            raise KoreAIFileError("The stream is empty, so there is nothing to import.")
        yield kind, cast("BinaryIO", copy)
