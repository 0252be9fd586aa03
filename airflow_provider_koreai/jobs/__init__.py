"""
What runs at Kore.ai and is waited for: exports, imports, trainings and batch tests; what their answers mean, and when to ask
again.

May import: api and what that may import.
"""
