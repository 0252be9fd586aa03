"""
The hook: all that is asked of Kore.ai, from a worker and from an event loop.

May import: every wing below Airflow's doors.
"""
