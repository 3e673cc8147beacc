"""Measuring: workloads, statistics, the results store, and the command `python -m benchmarks`.

Models are measured through their host processes (`fastglm.hosting.host`), never inside this one. Only
`benchmarks.store.store` needs SQLAlchemy and pandas; the rest runs wherever `fastglm` does.
"""
