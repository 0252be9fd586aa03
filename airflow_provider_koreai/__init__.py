"""Apache Airflow provider for Kore.ai: scheduled, unattended exports of a bot's ML utterances."""

from __future__ import annotations

__version__ = "0.2.0"
