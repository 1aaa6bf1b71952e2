"""A server that ends tells its clients where to go: redis-py as it comes, whose threads use one pool, goes on at another
server without a failed command (CLIENT MAINT_NOTIFICATIONS, MOVING).

Usage: move.py HOST PORT SERVER, where HOST is a loopback address and SERVER a program to start there and at the next address.
"""

import ipaddress
import subprocess
import sys
import tempfile
import threading
import time

import redis

HOST, PORT, SERVER = sys.argv[1], int(sys.argv[2]), sys.argv[3]
NEXT = str(ipaddress.ip_address(HOST) + 1)
THREADS = 4
NOTICE_SECONDS = 4
PATIENCE_SECONDS = 60


def start(folder, host, *directives):
    words = [SERVER, "redis", "--bind", host, "--port", str(PORT), "--dir", folder, "--save", "", *directives]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    until("it serves", lambda: answers(host))
    return process


def answers(host):
    try:
        return redis.Redis(host=host, port=PORT).ping()
    except redis.ConnectionError:
        return False


def until(what, condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def move(folder):
    endpoint = f"{NEXT}:{PORT}"
    old = start(folder, HOST, "--shutdown-notice", str(NOTICE_SECONDS), "--shutdown-notice-endpoint", endpoint)
    new = start(folder, NEXT)
    try:
        seen = redis.Redis(host=NEXT, port=PORT)
        pool = redis.Redis(host=HOST, port=PORT, protocol=3)
        done, failures = threading.Event(), []

        def work():
            while not done.is_set() and not failures:
                try:
                    pool.incr("counter")
                except Exception as failure:
                    failures.append(failure)

        threads = [threading.Thread(target=work) for _ in range(THREADS)]
        [thread.start() for thread in threads]
        until("all work", lambda: int(pool.get("counter") or 0) > 100 * THREADS)
        assert seen.get("counter") is None
        old.terminate()
        assert old.wait(PATIENCE_SECONDS) == 0
        there = int(seen.get("counter"))
        until("all go on there", lambda: failures or int(seen.get("counter")) > there + 100 * THREADS)
        done.set()
        [thread.join() for thread in threads]
        assert not failures, failures
    finally:
        old.kill()
        new.kill()


try:
    with tempfile.TemporaryDirectory() as folder:
        move(folder)
    print("ok redis-py moves on without a failed command")
except AssertionError as failure:
    print(f"FAIL redis-py moves on without a failed command: {failure}")
    sys.exit(1)
