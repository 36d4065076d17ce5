#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`firebreak up` with stand-ins for the services, in TAP. Needs root. Usage: test_up.py PATH-OF-FIREBREAK"""
import errno
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import traceback
import types
import urllib.request

FIREBREAK = os.path.abspath(sys.argv[1])

# What each does it writes to the file EVENTS of its own directory's parent.
COMMON = """#!{python}
import os, signal, socket, sys
here = os.path.dirname(os.path.abspath(sys.argv[0]))
def note(text):
    with open(os.path.join(here, "..", "EVENTS"), "a") as f:
        f.write(text + "\\n")
def value(name):
    return sys.argv[sys.argv.index(name) + 1]
def marker(name):
    return os.path.exists(os.path.join(here, "..", name))
"""
WARDEN = COMMON + """
if "--stop-all" in sys.argv:
    note("stop-all")
    sys.exit(0)
if marker("WARDEN_FAILS"):
    sys.exit(3)
note(f"warden pid={os.getpid()} uid={os.getuid()} base={value('--uid-base')} max={value('--max-sandboxes')}")
path = os.path.join(value("--run"), "warden.sock")
if os.path.exists(path):
    os.unlink(path)
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.bind(path)
os.chown(path, int(value("--api-uid")), 0)
os.chmod(path, 0o600)
s.listen()
def end(*_):
    note("warden ends")
    os._exit(0)
signal.signal(signal.SIGTERM, end)
while True:
    s.accept()[0].close()
"""
RECORDER = COMMON + """
note(f"recorder pid={os.getpid()} uid={os.getuid()}")
path = os.path.join(value("--run"), "recorder.sock")
if os.path.exists(path):
    os.unlink(path)
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.bind(path)
os.chmod(path, 0o666)
s.listen()
def end(*_):
    note("recorder ends")
    os._exit(0)
signal.signal(signal.SIGTERM, end)
while True:
    s.accept()[0].close()
"""
API = COMMON + """
import http.server
fds = sorted(int(f) for f in os.listdir("/proc/self/fd"))
key = os.fdopen(int(value("--bootstrap-key-fd"))).readline().strip()
with open(os.path.join(here, "..", "KEY"), "w") as f:
    f.write(key)
note(f"api pid={os.getpid()} fds={','.join(map(str, fds[:4]))} n={len(fds)} group={os.getpgrp()} key={len(key)}")
note("environment " + " ".join(sorted(os.environ)))
note("secret in sight" if key in " ".join(sys.argv) + str(os.environ) else "no secret in sight")
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass
    def do_GET(self):
        self.send_response(204)
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
server.socket = socket.socket(fileno=int(value("--listen-fd")))
server.socket.setblocking(True)
def end(*_):
    note("api ends")
    os._exit(0)
signal.signal(signal.SIGTERM, end)
server.serve_forever()
"""


class Instance:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="firebreak-up-")
        os.chmod(self.dir, 0o755)
        self.src = os.path.join(self.dir, "src")
        for name, text in (("firebreak", None), ("warden", WARDEN), ("recorder", RECORDER), ("e2b-sandbox", API), ("jailmon", ""), ("envd", "")):
            os.makedirs(os.path.join(self.src, name))
            path = os.path.join(self.src, name, name)
            if text is None:
                shutil.copy(FIREBREAK, path)
            else:
                with open(path, "w", encoding="ascii") as f:
                    f.write(text.replace("{python}", sys.executable, 1))
            os.chmod(path, 0o755)
        self.state = os.path.join(self.dir, "state")
        self.run = os.path.join(self.dir, "run")
        self.processes = []

    def mark(self, name):
        with open(os.path.join(self.src, name), "w", encoding="ascii"):
            pass

    def up(self, *args):
        p = subprocess.Popen([os.path.join(self.src, "firebreak", "firebreak"), "up", "--state", self.state, "--run", self.run,
                              "--listen", "127.0.0.1:0", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env={"PATH": os.environ["PATH"], "SECRET": "x"})
        self.processes.append(p)
        return p

    def ready(self, *args):
        p = self.up(*args)
        self.wait("it is ready", lambda: os.path.exists(os.path.join(self.run, "api.url")) or p.poll() is not None)
        assert p.poll() is None, p.communicate()
        return p

    def events(self):
        path = os.path.join(self.src, "EVENTS")
        if not os.path.exists(path):
            return ""
        with open(path, encoding="ascii") as f:
            return f.read()

    def pids(self, name):
        return [int(n) for n in re.findall(rf"^{name} pid=(\d+)", self.events(), re.M)]

    @staticmethod
    def wait(what, condition, seconds=20):
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, f"waited {seconds} s until {what}"
            time.sleep(0.01)

    def clean(self):
        for p in self.processes:
            if p.poll() is None:
                p.kill()
                p.wait()
            p.stdout.close()
            p.stderr.close()
        for pid in self.pids("warden") + self.pids("api") + self.pids("recorder"):
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.dir)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def stop(p, number=signal.SIGTERM):
    p.send_signal(number)
    out, err = p.communicate(timeout=30)
    return p.returncode, out, err


def equal(got, want):
    assert got == want, f"got {got!r}, want {want!r}"


def has(text, part):
    assert part in text, f"{part!r} is not in {text!r}"


def mode(path):
    st = os.stat(path)
    return st.st_uid, stat.S_IMODE(st.st_mode)


def it_makes_what_it_needs_with_owners_and_modes(i):
    p = i.ready()
    equal(mode(i.state), (0, 0o755))
    equal(mode(os.path.join(i.state, "templates")), (0, 0o755))
    equal(mode(os.path.join(i.state, "db")), (65532, 0o700))
    equal(mode(os.path.join(i.state, "api.key")), (0, 0o600))
    equal(mode(i.run), (0, 0o755))
    stop(p)


def it_tells_what_to_export_but_no_key_to_what_is_no_terminal(i):
    p = i.ready()
    with open(os.path.join(i.run, "api.url"), encoding="ascii") as f:
        url = f.read().strip()
    with urllib.request.urlopen(url + "/health", timeout=10) as r:
        equal(r.status, 204)
    _, out, err = stop(p)
    has(out, f"export E2B_API_URL={url}\n")
    has(out, f"export E2B_SANDBOX_URL={url}\n")
    has(out, f"cat {i.state}/api.key")
    assert "e2b_" not in out + err
    has(err, "warden        ready")
    has(err, "e2b-sandbox   ready")
    has(err, "template build")


def the_key_is_handed_over_and_nothing_else(i):
    p = i.ready()
    with open(os.path.join(i.state, "api.key"), encoding="ascii") as f:
        key = f.read()
    assert re.fullmatch(r"e2b_[0-9a-f]{40}\n", key)
    with open(os.path.join(i.src, "KEY"), encoding="ascii") as f:
        equal(f.read(), key.strip())
    events = i.events()
    has(events, "fds=0,1,2,3 n=6")  # 4 is the listening socket, the sixth is the directory being listed
    has(events, "no secret in sight")
    assert "SECRET" not in events
    stop(p)


def the_key_stays_the_same(i):
    stop(i.ready())
    with open(os.path.join(i.state, "api.key"), encoding="ascii") as f:
        first = f.read()
    stop(i.ready())
    with open(os.path.join(i.state, "api.key"), encoding="ascii") as f:
        equal(f.read(), first)


def it_stops_in_order_and_leaves_nothing(i):
    for number in (signal.SIGTERM, signal.SIGINT):
        p = i.ready()
        code, _, _ = stop(p, number)
        equal(code, 0)
        equal(re.findall(r"^(api ends|warden ends|recorder ends|stop-all)$", i.events(), re.M)[-4:], ["api ends", "warden ends", "recorder ends", "stop-all"])
        assert not os.path.exists(i.run)


def keep_does_not_end_the_sandboxes(i):
    p = i.ready("--keep")
    code, _, err = stop(p)
    equal(code, 0)
    has(err, "sandboxes go on")
    assert "stop-all" not in i.events()


def a_service_that_dies_is_started_again_and_gets_the_key_again(i):
    p = i.ready()
    os.kill(i.pids("api")[0], signal.SIGKILL)
    i.wait("the API is back", lambda: len(i.pids("api")) == 2)
    has(i.events().rsplit("api pid", 1)[1], "key=44")
    os.kill(i.pids("warden")[0], signal.SIGKILL)
    i.wait("the warden is back", lambda: len(i.pids("warden")) == 2)
    _, _, err = stop(p)
    equal(len(re.findall(r"e2b-sandbox ended \(killed by signal 9 \(Killed\)\): starting it again in", err)), 1)
    equal(len(re.findall(r"warden ended \(killed by signal 9 \(Killed\)\): starting it again in", err)), 1)


def the_port_stays_taken_while_no_api_is_there(i):
    p = i.ready()
    with open(os.path.join(i.run, "api.url"), encoding="ascii") as f:
        port = int(f.read().strip().rsplit(":", 1)[1])
    os.kill(i.pids("api")[0], signal.SIGKILL)
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            thief.bind(("127.0.0.1", port))
            raise AssertionError("somebody else could take the port")
        except OSError as e:
            equal(e.errno, errno.EADDRINUSE)
    # Whoever comes meanwhile is served by the next one.
    equal(urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=20).status, 204)
    equal(len(i.pids("api")), 2)
    stop(p)


def the_services_end_when_up_is_killed(i):
    p = i.ready()
    pids = i.pids("warden") + i.pids("api") + i.pids("recorder")
    p.kill()
    p.wait()
    i.wait("both are gone", lambda: not any(alive(pid) for pid in pids))
    assert "stop-all" not in i.events()  # the sandboxes are for the next one to take over


def one_instance_is_up_once(i):
    p = i.ready()
    second = i.up()
    _, err = second.communicate(timeout=30)
    equal(second.returncode, 1)
    has(err, f"already up (process {p.pid})")
    has(err, "--instance")
    equal(stop(p)[0], 0)


def a_service_that_does_not_start_is_a_failure_that_is_cleaned_up(i):
    i.mark("WARDEN_FAILS")
    p = i.up()
    _, err = p.communicate(timeout=30)
    equal(p.returncode, 1)
    has(err, "warden did not start: exit status 3")
    has(err, "firebreak doctor")
    assert "api pid" not in i.events()
    assert not os.path.exists(i.run)


def a_port_in_use_is_named(i):
    p = i.ready()
    with open(os.path.join(i.run, "api.url"), encoding="ascii") as f:
        listen = f.read().strip().removeprefix("http://")
    other = Instance()
    try:
        q = other.up("--listen", listen)
        _, err = q.communicate(timeout=30)
        equal(q.returncode, 1)
        has(err, f"listen on {listen}")
        has(err, "--listen")
        assert not os.path.exists(other.run)
    finally:
        other.clean()
    stop(p)


def a_state_directory_of_somebody_else_is_refused(i):
    os.mkdir(i.state, 0o755)
    os.chown(i.state, 65534, 65534)
    p = i.up()
    _, err = p.communicate(timeout=30)
    equal(p.returncode, 1)
    has(err, "must belong to uid 0")
    equal(i.events(), "")


def a_key_that_others_can_read_is_refused(i):
    os.makedirs(i.state, 0o755)
    path = os.path.join(i.state, "api.key")
    with open(path, "w", encoding="ascii") as f:
        f.write("e2b_" + "0" * 40 + "\n")
    os.chmod(path, 0o644)
    p = i.up()
    _, err = p.communicate(timeout=30)
    equal(p.returncode, 1)
    has(err, "mode 0600")


def instances_do_not_share_uids(i):
    bases = []
    for args in ([], ["--instance", "default"], ["--instance", "a"], ["--instance", "b"], ["--uid-base", "1000000000"]):
        stop(i.ready(*args))
        bases.append(int(re.findall(r"^warden .* base=(\d+)", i.events(), re.M)[-1]))
    equal(bases[:2], [268435456, 268435456])
    equal(bases[4], 1000000000)
    equal(len({*bases}), 4)
    assert all(b % 65536 == 0 for b in bases[:4])
    assert all(abs(a - b) >= 512 * 65536 for a in bases[:4] for b in bases[:4] if a != b)


def logs_go_to_files_when_asked(i):
    logs = os.path.join(i.dir, "logs")
    stop(i.ready("--log-dir", logs))
    equal(sorted(os.listdir(logs)), ["e2b-sandbox.log", "recorder.log", "warden.log"])


def main():
    tests = [f for f in globals().values() if isinstance(f, types.FunctionType)
             and f.__code__.co_varnames[:f.__code__.co_argcount] == ("i",)]
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root")
        return 0
    failed = 0
    print(f"1..{len(tests)}")
    for number, test in enumerate(tests, 1):
        instance = Instance()
        try:
            test(instance)
            print(f"ok {number} - {test.__name__}", flush=True)
        except Exception:  # pylint: disable=broad-except
            failed += 1
            print(f"not ok {number} - {test.__name__}")
            print("".join(f"# {line}\n" for line in traceback.format_exc().splitlines()), end="", flush=True)
        finally:
            instance.clean()
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
