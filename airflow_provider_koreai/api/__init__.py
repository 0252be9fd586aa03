"""
What is sent to Kore.ai, and what an answer means: settings, tokens, calls, bots. ``client`` and ``async_client`` send it.

May import: redaction, arguments, text, exceptions, version_compat.
"""
