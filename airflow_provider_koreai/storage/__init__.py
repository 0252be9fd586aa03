"""
Where a file goes, whole or not at all: a local disk or an object store.

May import: redaction, arguments, text, exceptions, version_compat.
"""
