"""Grading what arrives on other machines: `autograder grade MODULE --watch --on …`.

All that waits goes out together, since a scheduler takes many at once. What comes back is judged here, and when all of it
has come back the next goes out.
"""

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TypeAlias

from autograder.classes.grade import observed
from autograder.classes.submissions import Submission
from autograder.cluster.nodes import Nodes, Say
from autograder.errors import CourseError
from autograder.grading.grader import Grader
from autograder.grading.report import Result

GATHER_SECONDS = 0.5  # in which what is given together goes out together

Grade: TypeAlias = Callable[[Submission], Result]
Batch: TypeAlias = dict[Submission, tuple[Grade, Future[Result]]]


class Away(Exception):
    """The nodes cannot be used for now, or no scheduler answers: it is no submission's fault, and may be mended meanwhile."""


class OnNodes(Executor):
    """An executor whose tasks grade one submission, which is observed on nodes before.

    A future raises `Away` where that was not possible. At the end what is out is cancelled, and its futures are.

    Args:
        graders: one for each of the module's notebooks; their references have been observed.
        opened: the nodes, anew after they could not be used.
        say: shows a line to whoever waits.
    """

    def __init__(
        self, graders: list[Grader], opened: Callable[[], contextlib.AbstractContextManager[Nodes | None]], say: Say
    ) -> None:
        self._graders, self._opened, self._say = graders, opened, say
        self._lock, self._given, self._ended = threading.Lock(), threading.Event(), threading.Event()
        self._waiting: Batch = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def submit(self, grade: Grade, /, submission: Submission) -> Future[Result]:  # type: ignore[override]
        future = Future[Result]()
        with self._lock:
            if self._ended.is_set():
                raise RuntimeError("nothing is graded after the end")
            self._waiting[submission] = grade, future
            self._given.set()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = True) -> None:
        with self._lock:
            self._ended.set()
            self._given.set()
        if wait:
            self._thread.join()

    # --- the thread that sends ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        with ThreadPoolExecutor(max(1, self._graders[0].workers)) as threads:
            while batch := self._next():
                try:
                    with self._opened() as nodes:
                        while batch:
                            self._observe(batch, nodes, threads)
                            batch = self._next()
                except Exception as error:  # whatever it is, who waits for a result hears of it
                    why = Away(str(error)) if isinstance(error, CourseError) else error
                    for _, future in batch.values():
                        future.set_exception(why)

    def _next(self) -> Batch:
        """All that waits, once something does; at the end nothing."""
        self._given.wait()
        self._ended.wait(GATHER_SECONDS)
        with self._lock:
            batch, self._waiting = self._waiting, {}
            if not self._ended.is_set():
                self._given.clear()
                return batch
        _cancel(batch)
        return {}

    def _observe(self, batch: Batch, nodes: Nodes | None, threads: ThreadPoolExecutor) -> None:
        """Has a batch observed; who is back leaves it."""
        with contextlib.closing(observed(self._graders, list(batch), nodes, self._say)) as back:
            for ready in back:
                for submission in ready:
                    threads.submit(self._answer, submission, *batch.pop(submission))
                if self._ended.is_set():
                    break
        if batch:
            self._say(f"{len(batch)} that were still out are cancelled; what came back is kept")
        _cancel(batch)

    def _answer(self, submission: Submission, grade: Grade, future: Future[Result]) -> None:
        if self._ended.is_set():
            future.cancel()
            return
        try:
            future.set_result(grade(submission))
        except BaseException as error:
            future.set_exception(error)


def _cancel(batch: Batch) -> None:
    for _, future in batch.values():
        future.cancel()
