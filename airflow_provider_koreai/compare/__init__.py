"""
What changed between two snapshots of a bot, each a file or rows of a table.

May import: warehouse, utterances, storage and what those may import.
"""
