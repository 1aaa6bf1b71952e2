"""Task queues that applications run on Redis, with their workers: RQ and Celery, each with real jobs.

Usage: jobs.py HOST PORT
"""

import datetime
import logging
import operator
import time

import celery
import rq
from celery.contrib.testing.worker import start_worker
from rq.registry import FailedJobRegistry, ScheduledJobRegistry
from rq.scheduler import RQScheduler

from harness import HOST, PORT, check, connect, run

URL = f"redis://{HOST}:{PORT}"
SECONDS_MAX = 120

# What the jobs raise on purpose is no news.
logging.disable()


def work(queue):
    rq.SimpleWorker([queue], connection=queue.connection).work(burst=True)


@check
def rq_results_and_failures(r, another):
    queue = rq.Queue("default", connection=r)
    sums = [queue.enqueue(operator.add, number, number) for number in range(20)]
    broken = queue.enqueue(operator.truediv, 1, 0)
    assert len(queue) == 21
    work(queue)
    assert [job.return_value() for job in sums] == [2 * number for number in range(20)]
    assert broken.get_status(refresh=True) == rq.job.JobStatus.FAILED
    assert broken.id in FailedJobRegistry(queue=queue)
    assert "ZeroDivisionError" in broken.latest_result().exc_string
    assert rq.Worker.all(connection=r) == []


@check
def rq_dependencies_and_retries(r, another):
    queue = rq.Queue("later", connection=r)
    first = queue.enqueue(operator.mul, 6, 7)
    second = queue.enqueue(operator.add, 1, 1, depends_on=first)
    again = queue.enqueue(operator.truediv, 1, 0, retry=rq.Retry(max=2))
    assert second.get_status() == rq.job.JobStatus.DEFERRED
    work(queue)
    assert first.return_value() == 42 and second.return_value() == 2
    again.refresh()
    assert again.retries_left == 0 and again.is_failed


@check
def rq_scheduled_jobs(r, another):
    queue = rq.Queue("scheduled", connection=r)
    job = queue.enqueue_in(datetime.timedelta(milliseconds=1), operator.add, 20, 22)
    assert job.id in ScheduledJobRegistry(queue=queue)
    scheduler = RQScheduler([queue], connection=r)
    assert scheduler.acquire_locks() == {"scheduled"}
    end = time.monotonic() + SECONDS_MAX
    while len(queue) == 0 and time.monotonic() < end:
        time.sleep(0.2)
        scheduler.enqueue_scheduled_jobs()
    scheduler.release_locks()
    work(queue)
    assert job.return_value() == 42


app = celery.Celery("jobs", broker=f"{URL}/1", backend=f"{URL}/2")
app.conf.update(worker_hijack_root_logger=False, broker_connection_retry_on_startup=True, result_expires=60)


@app.task
def add(left, right):
    return left + right


@app.task
def total(numbers):
    return sum(numbers)


@app.task(bind=True, max_retries=2)
def stubborn(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0.01)
    return self.request.retries


@app.task
def broken():
    raise ValueError("meant")


def with_worker(function):
    def checked(r, another):
        with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=SECONDS_MAX):
            function()

    checked.__name__ = function.__name__
    return check(checked)


@with_worker
def celery_results():
    assert [add.delay(number, 1).get(SECONDS_MAX) for number in range(10)] == list(range(1, 11))
    failed = broken.delay()
    assert isinstance(failed.get(SECONDS_MAX, propagate=False), ValueError) and failed.state == "FAILURE"


@with_worker
def celery_chains_groups_and_chords():
    assert celery.chain(add.s(1, 2), add.s(10), add.s(100))().get(SECONDS_MAX) == 113
    assert celery.group(add.s(number, number) for number in range(8))().get(SECONDS_MAX) == list(range(0, 16, 2))
    assert celery.chord((add.s(number, number) for number in range(8)), total.s())().get(SECONDS_MAX) == 56


@with_worker
def celery_retries_and_countdowns():
    assert stubborn.delay().get(SECONDS_MAX) == 2
    assert add.apply_async((1, 2), countdown=0.2).get(SECONDS_MAX) == 3
    assert add.apply_async((1, 2), priority=5).get(SECONDS_MAX) == 3


@check
def celery_keeps_what_no_worker_took(r, another):
    result = add.delay(40, 2)
    assert connect(db=1).llen("celery") == 1
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=SECONDS_MAX):
        assert result.get(SECONDS_MAX) == 42


run("jobs")
