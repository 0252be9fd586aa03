"""
From a download link to a verified file.

May import: api, jobs, storage, utterances and what those may import.
"""
