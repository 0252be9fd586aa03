"""
HTML reports: one template family and one style sheet for all of them.

May import: exceptions.
"""
