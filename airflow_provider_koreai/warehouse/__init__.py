"""
Utterances in a database table: a snapshot of a bot is there whole or not at all.

May import: utterances, storage and what those may import.
"""
