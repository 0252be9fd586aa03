"""A local Kore.ai: ``python -m airflow_provider_koreai.emulator`` serves Kore.ai's API without an account.

This module imports nothing, so that :mod:`airflow_provider_koreai.emulator.process` stays cheap to import.
"""
