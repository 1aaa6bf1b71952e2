"""Runs the checks of a script against the server named by its arguments, HOST and PORT, and with TLS if a third one names
the file of its authority.

Prints one line per check, `ok NAME` or `FAIL NAME: why`, and ends with status 1 when one failed.
"""

import sys
import traceback

import redis

HOST, PORT = sys.argv[1], int(sys.argv[2])
TLS = {"ssl": True, "ssl_ca_certs": sys.argv[3]} if len(sys.argv) > 3 else {}
CHECKS = []


def connect(protocol=2, **options):
    return redis.Redis(host=HOST, port=PORT, protocol=protocol, socket_timeout=60, **TLS, **options)


def check(function):
    """Takes up a function of a client on an empty server and of a way to open another client."""
    CHECKS.append(function)
    return function


def raises(error, call):
    try:
        call()
    except error as caught:
        return str(caught)
    raise AssertionError(f"expected {error.__name__}")


def run(client, protocols=(2,)):
    failed = 0
    for protocol in protocols:
        for function in CHECKS:
            name = f"{client} RESP{protocol} {function.__name__}"
            r = connect(protocol)
            try:
                r.flushall()
                function(r, lambda **options: connect(protocol, **options))
                print(f"ok {name}", flush=True)
            except Exception as failure:
                failed += 1
                where = traceback.extract_tb(failure.__traceback__)
                own = (entry for entry in reversed(where) if entry.filename == sys.modules["__main__"].__file__)
                line = next(own, where[-1])
                print(f"FAIL {name}: line {line.lineno} `{line.line}`: {type(failure).__name__} {failure}", flush=True)
            finally:
                r.close()
    sys.exit(1 if failed else 0)
