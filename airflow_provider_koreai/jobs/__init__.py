"""
What runs at Kore.ai and is waited for, decided without I/O: an export, and when to ask for it again.

May import: api and what that may import.
"""
