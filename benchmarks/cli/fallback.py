"""A local place for a run's results if their database went away."""

from benchmarks.run.record import Result
from benchmarks.store.store import Store, local_url
from fastglm.errors import FastGLMError


def keep_here(result: Result, meant: Store) -> FastGLMError | None:
    """Keep the unwritten part of a result, `result.trouble`, in the local store; return the message for the user."""
    if result.trouble is None or meant.url == local_url():
        return result.trouble
    run = result.run
    try:
        local = Store(local_url())
        local.start_run(run)
        local.add(result.measurements)
        local.add_samples(run.id, result.samples)
        local.add_answers(run.id, result.answers)
        failures = [str(row.params["error"]) for row in result.measurements if row.metric == "failure"]
        local.finish(run.id, result.status, "; ".join(failures) or None)
    except FastGLMError as error:
        return FastGLMError(f"{result.trouble}; nor could the results be kept in the local store: {error}")
    return FastGLMError(
        f"{result.trouble}; the results are kept in {local.name}: once the database is back, bring them there with "
        f"python -m benchmarks export {run.id}.json {run.id} --store {local.url} and python -m benchmarks import "
        f"{run.id}.json"
    )
