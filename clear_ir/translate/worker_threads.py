"""Jobs in several threads, whose results come as soon as they are there."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_jobs(
    jobs: Sequence[Job], work: Callable[[Job], tuple[list[Result], list[Job]]], num_threads: int
) -> Iterator[Result]:
    """Work on jobs in threads.

    After an error no further job begins. Those that are running end first, and their results come: what was paid for
    is not lost. The threads do not keep the process alive, so it can be stopped at once.

    Args:
        jobs: The jobs, the first one first.
        work: Works on a job; gives results and further jobs, which come before those that wait.
        num_threads: Jobs at once.

    Yields:
        The results.

    Raises:
        Exception: The first error of `work`.
    """
    waiting = list(reversed(jobs))
    ended: queue.SimpleQueue[tuple[list[Result], list[Job], BaseException | None]] = queue.SimpleQueue()

    def run(job: Job) -> None:
        try:
            ended.put((*work(job), None))
        except BaseException as error:  # raised again by the thread that reads the results
            ended.put(([], [], error))

    running, failed = 0, None
    while running or (waiting and not failed):
        while waiting and running < num_threads and not failed:
            threading.Thread(target=run, args=(waiting.pop(),), daemon=True).start()
            running += 1
        results, more, error = ended.get()
        running -= 1
        failed = failed or error
        waiting += reversed(more)
        yield from results
    if failed:
        raise failed
