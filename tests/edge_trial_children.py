"""Children that misbehave in place of the one that tries bundles; the folder that they are given says how."""

import json
import os
import resource
import signal
import sys
import time


def untrusted():
    """The real one without its look at the graph: what the limits alone are worth."""
    import toolkit.runtime.bundle_graphs as room
    from toolkit.edge.trial_child import main

    room.check_trust = lambda file, entry: None
    main()


def hardened():
    """As under a filter of system calls that has no priorities: the real one must do without."""
    from toolkit.edge.trial_child import _limit_time

    def refused(by):
        raise PermissionError(1, "Operation not permitted")

    os.nice = refused
    _limit_time(7.5)
    print(json.dumps({"outcome": "failed", "problem": "done"}))


def environment():
    told = {"outcome": "failed", "problem": json.dumps(dict(os.environ))}
    print(json.dumps(told))


def limits():
    from toolkit.edge.trial_child import _go_first, _limit_time

    _limit_time(7.5)
    _go_first()
    names = ("RLIMIT_CPU", "RLIMIT_CORE", "RLIMIT_FSIZE")
    found = {name: resource.getrlimit(getattr(resource, name)) for name in names}
    with open("/proc/self/oom_score_adj") as file:
        found["oom_score_adj"] = int(file.read())
    found |= {"timer": signal.getitimer(signal.ITIMER_REAL)[0], "nice": os.nice(0)}
    print(json.dumps({"outcome": "failed", "problem": json.dumps(found)}))


def flood():
    while True:
        os.write(1, b"x" * 65536)


def complain():
    sys.stderr.write("first line\nno such thing\n")
    sys.exit(3)


def wrong_answer():
    print('{"outcome": "splendid"}')


def sleep():
    time.sleep(60)


def quiet():
    """Closes its pipes and lives on."""
    os.close(1)
    os.close(2)
    time.sleep(60)


def die(number):
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    request = json.loads(sys.argv[1])
    way, _, number = os.path.basename(request["folder"]).partition("=")
    if os.path.isdir(request["folder"]):
        untrusted()
    elif number:
        die(int(number))
    else:
        globals()[way]()
