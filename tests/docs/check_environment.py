"""
Reads what a page's ``export`` has set as Airflow and the provider do: ``python check_environment.py <name> ...``.

A connection must be one that the hook can use, an option one that Airflow knows, and a secrets backend must have
``koreai_default``. It ends with an error where that is not so.
"""

from __future__ import annotations

import os
import sys

from airflow.configuration import conf
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_koreai.hooks.koreai import KoreAIHook


def check(name: str) -> None:
    """Check one variable."""
    if name.startswith("AIRFLOW_CONN_"):
        print(KoreAIHook(name.removeprefix("AIRFLOW_CONN_").lower()).settings)
        return
    section, option = name.removeprefix("AIRFLOW__").lower().split("__")
    # Options have other names on Airflow 2; the pages say so where it matters.
    if AIRFLOW_V_3_0_PLUS and option not in conf.configuration_description[section]["options"]:
        raise SystemExit(f"Airflow knows no option [{section}] {option}")
    if os.environ.get("AIRFLOW__SECRETS__BACKEND_KWARGS"):
        print(KoreAIHook().settings)


if __name__ == "__main__":
    for variable in sys.argv[1:]:
        check(variable)
