"""What all unit tests share."""

from __future__ import annotations

from hypothesis import settings

# A test's wall-clock time depends on the machine; no test here is about speed.
settings.register_profile("koreai", deadline=None)
settings.load_profile("koreai")
