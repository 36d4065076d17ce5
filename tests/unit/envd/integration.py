#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""envd as its clients see it: starts the program on a loopback port, as whoever runs the test, and uses every endpoint.

usage: integration.py ENVD [-v] [TestClass.test_name]"""
import base64
import gzip
import hashlib
import http.client
import json
import os
import pwd
import random
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from urllib.parse import urlencode

ENVD = os.path.abspath(sys.argv.pop(1))
TOKEN = "token-of-the-test"
ME = pwd.getpwuid(os.geteuid())
ROOT = os.geteuid() == 0
DIR = tempfile.mkdtemp(prefix="envd-test-")
os.chmod(DIR, 0o755)
DENIED = "unauthorized access, please provide a valid access token or method signing if supported"


class Envd:
    """One envd of its own."""

    def __init__(self, name, as_pid_1=False):
        self.run_dir = f"{DIR}/run-{name}"
        if as_pid_1:
            self.start_as_pid_1()
            return
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.process = subprocess.Popen(
            [ENVD, "--listen", f"127.0.0.1:{self.port}", "--run-dir", self.run_dir], stdin=subprocess.DEVNULL,
            preexec_fn=lambda: [signal.signal(s, signal.SIG_IGN) for s in (signal.SIGUSR1, signal.SIGHUP, signal.SIGRTMIN)],
        )
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise
                time.sleep(0.02)

    def start_as_pid_1(self):
        """In a pid namespace of its own, with the listening socket as descriptor 3, as the sandbox's init starts it."""
        with socket.create_server(("127.0.0.1", 0), backlog=128) as s:
            self.port = s.getsockname()[1]
            self.process = subprocess.Popen(
                ["bash", "-c", 'exec 3<&"$1"; exec unshare --pid --fork --mount-proc --kill-child "$2" --run-dir "$3"',
                 "bash", str(s.fileno()), ENVD, self.run_dir], pass_fds=[s.fileno()], stdin=subprocess.DEVNULL)

    def stop(self):
        self.process.kill()
        self.process.wait()

    def call(self, method, target, /, body=None, headers=None, token=TOKEN, **query):
        """status, headers, body"""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        h = dict(headers or {})
        if token is not None:
            h["X-Access-Token"] = token
        if query:
            target += "?" + urlencode(query)
        c.request(method, target, body=body, headers=h)
        r = c.getresponse()
        data = r.read()
        c.close()
        return r.status, r.headers, data

    def rpc(self, method, message, **kw):
        h = {"Content-Type": "application/json", **kw.pop("headers", {})}
        status, _, body = self.call("POST", "/" + method, json.dumps(message), h, **kw)
        return status, json.loads(body)


class Stream:
    """A server stream: an iterator of messages. The end frame ends it and stays in .end."""

    def __init__(self, envd, method, message, headers=None, token=TOKEN):
        self.c = http.client.HTTPConnection("127.0.0.1", envd.port, timeout=30)
        data = json.dumps(message).encode()
        h = {"Content-Type": "application/connect+json", "X-Access-Token": token, **(headers or {})}
        self.c.request("POST", "/" + method, body=b"\0" + struct.pack(">I", len(data)) + data, headers=h)
        self.r = self.c.getresponse()
        self.end = None

    def __iter__(self):
        return self

    def __next__(self):
        if self.end is not None:
            raise StopIteration
        head = self.r.read(5)
        assert len(head) == 5, "the stream broke off without an end frame"
        flags, n = head[0], struct.unpack(">I", head[1:])[0]
        message = json.loads(self.r.read(n))
        if flags & 2:
            self.end = message
            rest = self.r.read()
            assert rest == b"", rest
            raise StopIteration
        return message

    def close(self):
        # Not only a reference less: the peer must see it.
        try:
            self.c.sock.shutdown(socket.SHUT_RDWR)
        except (OSError, AttributeError):
            pass
        self.r.close()
        self.c.close()


class Run:
    """A process started through Start or found through Connect, with what it has said so far."""

    def __init__(self, envd, cmd=None, args=None, method="process.Process/Start", message=None, headers=None, **kw):
        if message is None:
            process = {"cmd": cmd, "args": args or []}
            process.update({k: kw.pop(k) for k in ("envs", "cwd") if k in kw})
            message = {"process": process, **kw}
        self.stream = Stream(envd, method, message, headers)
        self.stdout, self.stderr, self.pty = b"", b"", b""
        self.keepalives, self.chunks, self.result = 0, [], None
        first = next(self.stream, None)
        self.pid = first["event"]["start"]["pid"] if first else None

    def step(self):
        m = next(self.stream, None)
        if m is None:
            return False
        e = m["event"]
        for key, text in e.get("data", {}).items():
            data = base64.b64decode(text)
            self.chunks.append(len(data))
            setattr(self, key, getattr(self, key) + data)
        self.keepalives += "keepalive" in e
        self.result = e.get("end", self.result)
        return True

    def wait(self):
        while self.step():
            pass
        return self

    def until(self, ready):
        while not ready(self):
            assert self.step(), f"it ended: {self.result} {self.stream.end} {self.pty} {self.stdout}"
        return self


def sh(envd, line, **kw):
    return Run(envd, "/bin/sh", ["-c", line], **kw)


def connect(envd, selector, **kw):
    return Run(envd, method="process.Process/Connect", message={"process": selector}, **kw)


def until(what, fn, seconds=20):
    end = time.monotonic() + seconds
    while not fn():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.02)


def alive(pid):
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False


def exists_process(marker):
    """Is there a process, not a zombie, with this word in its command line?"""
    for p in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{p}/cmdline", "rb") as f:
                if marker.encode() in f.read().split(b"\0"):
                    return True
        except OSError:
            pass
    return False


class Case(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.d = Envd(cls.__name__)
        status, _, body = cls.d.call(
            "POST", "/init", json.dumps({"accessToken": TOKEN, "envVars": {"OF_SANDBOX": "yes", "BOTH": "sandbox"},
                                         "defaultUser": ME.pw_name, "sandboxId": "iabc", "templateId": "base"}), token=None)
        assert status == 204 and body == b"", (status, body)

    @classmethod
    def tearDownClass(cls):
        cls.d.stop()

    def setUp(self):
        self.dir = tempfile.mkdtemp(dir=DIR)
        os.chmod(self.dir, 0o755)

    def refused(self, answer, status, message):
        self.assertEqual((answer[0], json.loads(answer[2])), (status, {"code": status, "message": message}))

    def upload(self, path, data, **kw):
        headers = {"Content-Type": "application/octet-stream", **kw.pop("headers", {})}
        return self.d.call("POST", "/files", data, headers, path=path, **kw)

    def download(self, path, **kw):
        return self.d.call("GET", "/files", path=path, **kw)

    def multipart(self, parts, **query):
        """parts: (name, filename or None, bytes)"""
        body = b""
        for name, filename, data in parts:
            body += b'--bnd\r\nContent-Disposition: form-data; name="%s"' % name.encode()
            if filename is not None:
                body += b'; filename="%s"' % filename.encode()
            body += b"\r\nContent-Type: application/octet-stream\r\n\r\n" + data + b"\r\n"
        headers = {"Content-Type": "multipart/form-data; boundary=bnd"}
        return self.d.call("POST", "/files", body + b"--bnd--\r\n", headers, **query)


class Access(Case):
    def test_health_needs_no_token(self):
        status, headers, body = self.d.call("GET", "/health", token=None)
        self.assertEqual((status, body, headers["Cache-Control"]), (204, b"", "no-store"))

    def test_everything_else_needs_it(self):
        for method, path in (("GET", "/envs"), ("GET", "/metrics"), ("POST", "/files/compose"),
                             ("POST", "/process.Process/List"), ("POST", "/process.Process/Start")):
            for token in (None, "", "x" * 64, TOKEN + "x", TOKEN[:-1]):
                self.refused(self.d.call(method, path, token=token), 401, DENIED)

    def test_init_needs_the_token_once_it_is_set(self):
        for token in (None, "wrong"):
            status, _, _ = self.d.call("POST", "/init", json.dumps({"accessToken": "mine now"}), token=token)
            self.assertEqual(status, 401)
        status, _, _ = self.d.call("POST", "/init", json.dumps({"envVars": {"LATER": "1"}}))
        self.assertEqual(status, 204)
        self.assertEqual(json.loads(self.d.call("GET", "/envs")[2])["LATER"], "1")

    def test_init_refuses_what_it_cannot_use(self):
        for body in ("[]", "{", '{"envVars":{"A":1}}', '{"envVars":{"":"x"}}', '{"envVars":{"A=B":"x"}}', '{"accessToken":7}',
                     json.dumps({"envVars": {f"V{i}": "" for i in range(1025)}})):
            self.assertEqual(self.d.call("POST", "/init", body)[0], 400, body[:40])

    def test_envs_are_those_of_the_sandbox(self):
        env = json.loads(self.d.call("GET", "/envs")[2])
        env.pop("LATER", None)
        self.assertEqual(env, {"OF_SANDBOX": "yes", "BOTH": "sandbox", "E2B_SANDBOX": "true", "E2B_SANDBOX_ID": "iabc",
                               "E2B_TEMPLATE_ID": "base"})

    def test_own_names_are_not_overridden(self):
        self.assertEqual(self.d.call("POST", "/init", json.dumps({"envVars": {"E2B_SANDBOX_ID": "forged"}}))[0], 204)
        self.assertEqual(json.loads(self.d.call("GET", "/envs")[2])["E2B_SANDBOX_ID"], "iabc")

    def test_identity_is_in_files(self):
        for name, want in ((".E2B_SANDBOX", "true"), (".E2B_SANDBOX_ID", "iabc"), (".E2B_TEMPLATE_ID", "base")):
            with open(f"{self.d.run_dir}/{name}") as f:
                self.assertEqual(f.read(), want)

    def test_without_a_token_everything_is_open(self):
        d = Envd("open")
        try:
            self.assertEqual(d.call("POST", "/init", json.dumps({"defaultUser": ME.pw_name}), token=None)[0], 204)
            self.assertEqual(d.rpc("process.Process/List", {}, token=None), (200, {"processes": []}))
            with open(f"{self.dir}/f", "w") as f:
                f.write("open")
            self.assertEqual(d.call("GET", "/files", path=f"{self.dir}/f", token=None)[2], b"open")
        finally:
            d.stop()

    def test_metrics_have_every_field(self):
        m = json.loads(self.d.call("GET", "/metrics")[2])
        self.assertEqual(set(m), {"ts", "cpu_count", "cpu_used_pct", "mem_total", "mem_used", "mem_cache", "mem_total_mib",
                                  "mem_used_mib", "disk_used", "disk_total"})
        self.assertGreater(m["mem_total"], m["mem_used"])
        self.assertGreater(m["disk_total"], 0)

    def test_unknown_paths_and_wrong_methods(self):
        self.refused(self.d.call("GET", "/nothing"), 404, "path not found")
        self.refused(self.d.call("POST", "/process.Process/Nothing"), 404, "path not found")
        status, headers, _ = self.d.call("DELETE", "/files")
        self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD, POST"))
        status, headers, _ = self.d.call("GET", "/process.Process/List")
        self.assertEqual((status, headers["Allow"]), (405, "POST"))

    def test_rpc_refuses_other_content_types(self):
        for path, kind in (("/process.Process/List", "application/connect+json"), ("/process.Process/List", "application/proto"),
                           ("/process.Process/Start", "application/json"), ("/process.Process/Start", "application/connect+proto")):
            self.assertEqual(self.d.call("POST", path, "{}", {"Content-Type": kind})[0], 415, (path, kind))
        self.assertEqual(self.d.call("POST", "/process.Process/List", "{}", {"Content-Type": "application/json; charset=utf-8"})[0], 200)

    def test_browsers_may_ask(self):
        status, headers, _ = self.d.call("OPTIONS", "/files", headers={"Origin": "https://a.example"}, token=None)
        self.assertEqual((status, headers["Access-Control-Allow-Origin"], headers["Access-Control-Max-Age"]), (204, "*", "7200"))
        status, headers, _ = self.d.call("GET", "/health", headers={"Origin": "https://a.example"})
        self.assertEqual(headers["Access-Control-Allow-Origin"], "*")


class Unary(Case):
    def test_malformed_requests_are_invalid_arguments(self):
        for body in ("{", "[]", "7", '{"process":[]}', '{"process":{"pid":"x"}}', '{"process":{}}', "{}"):
            status, _, answer = self.d.call("POST", "/process.Process/CloseStdin", body, {"Content-Type": "application/json"})
            self.assertEqual((status, json.loads(answer)["code"]), (400, "invalid_argument"), body)

    def test_a_big_request_is_refused_and_the_next_is_served(self):
        status, answer = self.d.rpc("process.Process/List", {"x": "y" * (5 << 20)})
        self.assertEqual((status, answer["code"]), (429, "resource_exhausted"))
        self.assertEqual(self.d.rpc("process.Process/List", {})[0], 200)

    def test_selectors_that_find_nothing(self):
        for method, more in (("SendSignal", {"signal": "SIGNAL_SIGKILL"}), ("SendInput", {"input": {"stdin": ""}}),
                             ("CloseStdin", {}), ("Update", {"pty": {"size": {"cols": 1, "rows": 1}}})):
            self.assertEqual(self.d.rpc(f"process.Process/{method}", {"process": {"pid": 4194000}, **more}),
                             (404, {"code": "not_found", "message": "process with pid 4194000 not found"}))
            self.assertEqual(self.d.rpc(f"process.Process/{method}", {"process": {"tag": "no"}, **more}),
                             (404, {"code": "not_found", "message": "process with tag no not found"}))

    def test_stream_input_is_unimplemented(self):
        s = Stream(self.d, "process.Process/StreamInput", {})
        self.assertEqual(list(s), [])
        self.assertEqual(s.end["error"]["code"], "unimplemented")


class Processes(Case):
    def test_output_and_exit_status(self):
        r = sh(self.d, "echo out; echo err >&2").wait()
        self.assertEqual((r.stdout, r.stderr), (b"out\n", b"err\n"))
        self.assertEqual(r.result, {"exited": True, "status": "exit status 0"})
        self.assertEqual(r.stream.end, {})
        r = sh(self.d, "exit 42").wait()
        self.assertEqual(r.result, {"exitCode": 42, "exited": True, "status": "exit status 42", "error": "exit status 42"})

    def test_death_by_signal(self):
        for sig, text in (("TERM", "terminated"), ("KILL", "killed"), ("SEGV", "segmentation fault"), ("USR1", "user defined signal 1")):
            r = sh(self.d, f"ulimit -c 0; kill -{sig} $$; sleep 5").wait()
            self.assertEqual(r.result, {"exitCode": -1, "exited": False, "status": f"signal: {text}", "error": f"signal: {text}"})

    def test_binary_output_arrives_whole_in_chunks_of_32_KiB_at_most(self):
        data = random.Random(1).randbytes(3 << 20)
        with open(f"{self.dir}/in", "wb") as f:
            f.write(data)
        r = sh(self.d, f"cat {self.dir}/in").wait()
        self.assertEqual(hashlib.sha256(r.stdout).digest(), hashlib.sha256(data).digest())
        self.assertLessEqual(max(r.chunks), 32768)

    def test_bytes_written_one_by_one_arrive_in_order(self):
        r = Run(self.d, sys.executable, ["-c", "import os\nfor b in 'grüße 🔥'.encode() * 50: os.write(1, bytes([b]))"]).wait()
        self.assertEqual(r.stdout.decode(), "grüße 🔥" * 50)

    def test_a_slow_reader_slows_the_program_and_loses_nothing(self):
        r = sh(self.d, f"seq 1 1000000; echo done > {self.dir}/done")
        time.sleep(0.5)
        self.assertFalse(os.path.exists(f"{self.dir}/done"), "7 MB went nowhere")
        r.wait()
        self.assertEqual(hashlib.sha256(r.stdout).hexdigest(),
                         hashlib.sha256("".join(f"{i}\n" for i in range(1, 1000001)).encode()).hexdigest())

    def test_a_process_survives_its_client_and_its_output_is_dropped(self):
        r = sh(self.d, f"sleep 0.3; seq 1 200000; echo $$ > {self.dir}/survived")
        r.stream.close()
        until("the file", lambda: os.path.exists(f"{self.dir}/survived"))

    def test_connect_gives_what_comes_from_now_on(self):
        r = sh(self.d, "echo early; read x; echo late; exit 3")
        r.until(lambda r: r.stdout == b"early\n")
        again = connect(self.d, {"pid": r.pid})
        self.assertEqual(again.pid, r.pid)
        self.assertEqual(self.d.rpc("process.Process/SendInput", {"process": {"pid": r.pid}, "input": {"stdin": "Cg=="}}), (200, {}))
        self.assertEqual((again.wait().stdout, again.result["exitCode"]), (b"late\n", 3))
        self.assertEqual((r.wait().stdout, r.result["exitCode"]), (b"early\nlate\n", 3))

    def test_connect_by_tag_and_after_the_end(self):
        r = sh(self.d, "exit 7", tag="tagged").wait()
        for selector in ({"tag": "tagged"}, {"pid": r.pid}):
            late = connect(self.d, selector).wait()
            self.assertEqual((late.pid, late.result["exitCode"], late.stream.end), (r.pid, 7, {}))
        self.assertEqual(self.d.rpc("process.Process/SendSignal", {"process": {"pid": r.pid}, "signal": "SIGNAL_SIGKILL"})[0], 404)

    def test_connect_to_nobody(self):
        r = connect(self.d, {"pid": 4194000})
        self.assertEqual(r.stream.end, {"error": {"code": "not_found", "message": "process with pid 4194000 not found"}})

    def test_list_shows_running_processes_with_their_config(self):
        r = Run(self.d, "/bin/sh", ["-c", "read x"], tag="t1", envs={"A": "1"}, cwd="/tmp")
        listed = self.d.rpc("process.Process/List", {})[1]["processes"]
        self.assertIn({"config": {"cmd": "/bin/sh", "args": ["-c", "read x"], "envs": {"A": "1"}, "cwd": "/tmp"}, "pid": r.pid, "tag": "t1"},
                      listed)
        self.d.rpc("process.Process/CloseStdin", {"process": {"tag": "t1"}})
        r.wait()
        self.assertNotIn(r.pid, [p["pid"] for p in self.d.rpc("process.Process/List", {})[1]["processes"]])

    def test_kill_and_terminate(self):
        for name, text in (("SIGNAL_SIGKILL", "killed"), ("SIGNAL_SIGTERM", "terminated"), (9, "killed"), (15, "terminated")):
            r = Run(self.d, "sleep", ["60"])
            self.assertEqual(self.d.rpc("process.Process/SendSignal", {"process": {"pid": r.pid}, "signal": name}), (200, {}))
            self.assertEqual(r.wait().result["status"], f"signal: {text}")
        r = Run(self.d, "sleep", ["60"])
        for name in ("SIGNAL_UNSPECIFIED", 2, None):
            self.assertEqual(self.d.rpc("process.Process/SendSignal", {"process": {"pid": r.pid}, "signal": name})[0], 501)
        self.d.rpc("process.Process/SendSignal", {"process": {"pid": r.pid}, "signal": 9})
        r.wait()

    def test_a_grandchild_that_holds_the_pipes_does_not_hold_up_a_kill(self):
        r = sh(self.d, "sleep 61.5 & echo up; sleep 62.5")
        r.until(lambda r: r.stdout == b"up\n")
        self.d.rpc("process.Process/SendSignal", {"process": {"pid": r.pid}, "signal": 9})
        self.assertEqual(r.wait().result["status"], "signal: killed")
        until("the grandchild", lambda: exists_process("61.5"))  # only the process itself is to be killed
        os.killpg(r.pid, signal.SIGKILL)

    def test_output_before_a_caught_sigterm_is_not_lost(self):
        r = sh(self.d, "trap 'echo caught; exit 5' TERM; echo up; while :; do sleep 0.05; done")
        r.until(lambda r: r.stdout == b"up\n")
        self.d.rpc("process.Process/SendSignal", {"process": {"pid": r.pid}, "signal": "SIGNAL_SIGTERM"})
        r.wait()
        self.assertEqual((r.stdout, r.result["exitCode"]), (b"up\ncaught\n", 5))

    def test_the_end_waits_for_the_pipes_of_an_exited_process(self):
        r = sh(self.d, "(sleep 0.4; echo later) & exit 4").wait()
        self.assertEqual((r.stdout, r.result["exitCode"]), (b"later\n", 4))

    def test_stdin_is_a_pipe_unless_it_is_refused(self):
        for kw in ({}, {"stdin": True}):
            r = sh(self.d, "cat; sleep 0.3", **kw)
            for text in (b"one\n", b"two\xff\x00"):
                self.d.rpc("process.Process/SendInput",
                           {"process": {"pid": r.pid}, "input": {"stdin": base64.b64encode(text).decode()}})
            r.until(lambda r: r.stdout == b"one\ntwo\xff\x00")
            for _ in range(2):
                self.assertEqual(self.d.rpc("process.Process/CloseStdin", {"process": {"pid": r.pid}}), (200, {}))
            self.assertEqual(r.wait().result["status"], "exit status 0")
        r = sh(self.d, "cat; echo end; sleep 0.3", stdin=False)
        self.assertEqual(self.d.rpc("process.Process/SendInput", {"process": {"pid": r.pid}, "input": {"stdin": "AA=="}}),
                         (500, {"code": "internal", "message": "stdin not enabled or closed"}))
        self.assertEqual(r.wait().stdout, b"end\n")

    def test_a_megabyte_of_stdin_waits_for_the_program_to_read(self):
        data = random.Random(2).randbytes(1 << 20)
        r = sh(self.d, "sleep 0.3; sha256sum")
        self.assertEqual(self.d.rpc("process.Process/SendInput", {"process": {"pid": r.pid},
                                                                  "input": {"stdin": base64.b64encode(data).decode()}})[0], 200)
        self.d.rpc("process.Process/CloseStdin", {"process": {"pid": r.pid}})
        self.assertEqual(r.wait().stdout.split()[0].decode(), hashlib.sha256(data).hexdigest())

    def test_input_of_the_wrong_kind(self):
        r = sh(self.d, "read x")
        for message, code in (({"pty": "AA=="}, 500), ({"stdin": "*"}, 400), ({}, 501), (None, 501)):
            self.assertEqual(self.d.rpc("process.Process/SendInput", {"process": {"pid": r.pid}, "input": message})[0], code, message)
        self.assertEqual(self.d.rpc("process.Process/Update", {"process": {"pid": r.pid}, "pty": {"size": {"cols": 1, "rows": 1}}}),
                         (500, {"code": "internal", "message": "tty not assigned to process"}))
        self.d.rpc("process.Process/CloseStdin", {"process": {"pid": r.pid}})
        r.wait()

    def test_environment_is_exactly_ours_the_sandboxs_and_the_calls(self):
        r = Run(self.d, "env", envs={"BOTH": "call", "X": "a b$c\nmore=e"}).wait()
        env = r.stdout.decode()
        for line in (f"HOME={ME.pw_dir}", f"USER={ME.pw_name}", f"LOGNAME={ME.pw_name}", "OF_SANDBOX=yes", "BOTH=call",
                     "E2B_SANDBOX=true", "E2B_SANDBOX_ID=iabc", "E2B_TEMPLATE_ID=base"):
            self.assertIn(line, env.split("\n"))
        self.assertIn("X=a b$c\nmore=e\n", env)
        names = {line.split("=")[0] for line in env.replace("\nmore=e", "").strip().split("\n")}
        self.assertLessEqual(names, {"PATH", "HOME", "USER", "LOGNAME", "OF_SANDBOX", "BOTH", "LATER", "E2B_SANDBOX",
                                     "E2B_SANDBOX_ID", "E2B_TEMPLATE_ID", "X"})

    def test_cwd(self):
        self.assertEqual(sh(self.d, "pwd").wait().stdout.decode(), ME.pw_dir + "\n")
        self.assertEqual(sh(self.d, "pwd", cwd=self.dir).wait().stdout.decode(), self.dir + "\n")
        r = sh(self.d, "pwd", cwd="/no/such")
        self.assertEqual(r.stream.end, {"error": {"code": "invalid_argument", "message": "cwd '/no/such' does not exist"}})
        self.assertEqual(r.stream.r.status, 200)

    def test_a_program_that_cannot_run(self):
        with open(f"{self.dir}/not-executable", "w") as f:
            f.write("#!/bin/sh\n")
        for cmd, why in (("/no/such", "No such file or directory"), ("no-such-command", "No such file or directory"),
                         (f"{self.dir}/not-executable", "Permission denied"), (self.dir, "Permission denied")):
            r = Run(self.d, cmd)
            self.assertEqual(r.stream.end["error"], {"code": "invalid_argument", "message": f"error starting process '{cmd}': {why}"})
        r = Run(self.d, "")
        self.assertEqual(r.stream.end["error"]["code"], "invalid_argument")

    def test_an_unknown_user(self):
        auth = {"Authorization": "Basic " + base64.b64encode(b"nobody-like-this:").decode()}
        self.assertEqual(sh(self.d, "id", headers=auth).stream.end,
                         {"error": {"code": "unauthenticated", "message": "invalid username: 'nobody-like-this'"}})

    @unittest.skipUnless(ROOT, "needs root")
    def test_a_named_user_runs_it_with_its_own_groups_and_nothing_more(self):
        auth = {"Authorization": "Basic " + base64.b64encode(b"nobody:").decode()}
        r = sh(self.d, "id -u; id -G; echo $USER; cat /etc/shadow; grep -c . /proc/self/oom_score_adj; cat /proc/self/oom_score_adj",
               headers=auth, cwd="/").wait()
        nobody = pwd.getpwnam("nobody")
        lines = r.stdout.decode().split("\n")
        self.assertEqual(lines[:3], [str(nobody.pw_uid), str(nobody.pw_gid), "nobody"])
        self.assertIn(b"Permission denied", r.stderr)
        self.assertEqual(lines[4], "500")

    def test_nothing_of_envd_is_inherited(self):
        r = sh(self.d, "ls /proc/self/fd; grep -E 'Sig(Blk|Ign)' /proc/self/status").wait()
        fds = [x for x in r.stdout.decode().split("\n") if x.isdigit()]
        self.assertLessEqual(set(fds), {"0", "1", "2", "3"})  # 3 is the directory that ls reads
        self.assertIn("SigBlk:\t0000000000000000", r.stdout.decode())
        self.assertIn("SigIgn:\t0000000000000000", r.stdout.decode())

    def test_a_deadline_kills_the_process_and_says_so(self):
        r = sh(self.d, "sleep 63.5; true", headers={"Connect-Timeout-Ms": "400"}).wait()
        self.assertEqual(r.stream.end, {"error": {"code": "deadline_exceeded", "message": "context deadline exceeded"}})
        self.assertIsNone(r.result)
        until("both to be gone", lambda: not exists_process("63.5"))

    def test_a_deadline_holds_after_the_client_has_gone(self):
        r = sh(self.d, "sleep 64.5; true", headers={"Connect-Timeout-Ms": "600"})
        r.stream.close()
        until("it to be gone", lambda: not exists_process("64.5"))
        self.assertEqual(connect(self.d, {"pid": r.pid}).wait().result["status"], "signal: killed")

    def test_a_deadline_of_connect_ends_only_the_stream(self):
        r = sh(self.d, "read x; echo still")
        c = connect(self.d, {"pid": r.pid}, headers={"Connect-Timeout-Ms": "200"}).wait()
        self.assertEqual(c.stream.end["error"]["code"], "deadline_exceeded")
        self.d.rpc("process.Process/CloseStdin", {"process": {"pid": r.pid}})
        self.assertEqual(r.wait().stdout, b"still\n")

    def test_keepalives_come_in_silence(self):
        r = sh(self.d, "sleep 2.5", headers={"Keepalive-Ping-Interval": "1"}).wait()
        self.assertEqual(r.keepalives, 2)

    def test_256_processes_and_not_one_more(self):
        d = Envd("many")
        try:
            d.call("POST", "/init", json.dumps({"defaultUser": ME.pw_name}), token=None)
            pids = []
            for _ in range(256):
                r = Run(d, "sleep", ["65.5"])
                pids.append(r.pid)
                r.stream.close()
            r = Run(d, "sleep", ["65.5"])
            self.assertEqual(r.stream.end["error"]["code"], "resource_exhausted")
            self.assertEqual(len(d.rpc("process.Process/List", {})[1]["processes"]), 256)
            for pid in pids:
                self.assertEqual(d.rpc("process.Process/SendSignal", {"process": {"pid": pid}, "signal": 9})[0], 200)
            until("the ends", lambda: d.rpc("process.Process/List", {})[1]["processes"] == [])
            self.assertEqual(sh(d, "echo again").wait().stdout, b"again\n")
        finally:
            d.stop()

    def test_a_closed_stream_costs_no_process_and_no_descriptor(self):
        fds = f"/proc/{self.d.process.pid}/fd"
        sh(self.d, "true").wait()
        until("rest", lambda: len(os.listdir(fds)) < 20)
        before = len(os.listdir(fds))
        for _ in range(50):
            r = sh(self.d, "exec sleep 0.2")
            r.stream.close()
        until("descriptors to come back", lambda: len(os.listdir(fds)) <= before + 1)

    def test_arguments_that_are_too_much(self):
        r = Run(self.d, "true", ["x" * 65536] * 17)
        self.assertEqual(r.stream.end["error"]["code"], "invalid_argument")
        r = Run(self.d, "true", envs={f"V{i}": "" for i in range(1025)})
        self.assertEqual(r.stream.end["error"]["code"], "invalid_argument")
        r = Run(self.d, "true", ["x" * (200 << 10)])  # more than the kernel takes in one argument
        self.assertEqual(r.stream.end["error"]["message"], "error starting process 'true': Argument list too long")


class Terminals(Case):
    def pty(self, args, cols=80, rows=24, **kw):
        return Run(self.d, "/bin/bash", args, pty={"size": {"cols": cols, "rows": rows}},
                   envs={"TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "PS1": "", "BASH_SILENCE_DEPRECATION_WARNING": "1"}, **kw)

    def type(self, r, text):
        self.assertEqual(self.d.rpc("process.Process/SendInput", {"process": {"pid": r.pid},
                                                                  "input": {"pty": base64.b64encode(text.encode()).decode()}}), (200, {}))

    def test_it_is_a_controlling_terminal_of_the_size_asked_for(self):
        r = self.pty(["-c", "test -t 0 && test -t 1 && test -t 2 && stty size && : </dev/tty && echo tty ok"], cols=91, rows=33).wait()
        self.assertEqual(r.pty.replace(b"\r\n", b"\n"), b"33 91\ntty ok\n")
        self.assertEqual(r.result["status"], "exit status 0")
        self.assertEqual((r.stdout, r.stderr), (b"", b""))

    def test_resize_reaches_the_program(self):
        r = self.pty(["--norc", "--noprofile", "-i"])
        self.assertEqual(self.d.rpc("process.Process/Update", {"process": {"pid": r.pid}, "pty": {"size": {"cols": 100, "rows": 40}}}), (200, {}))
        self.type(r, "stty size; exit 6\n")
        r.wait()
        self.assertIn(b"40 100", r.pty)
        self.assertEqual(r.result["exitCode"], 6)

    def test_ctrl_c_interrupts(self):
        r = self.pty(["-c", "trap 'echo interrupted; exit 9' INT; echo up; sleep 30"])
        r.until(lambda r: b"up" in r.pty)
        self.type(r, "\x03")
        r.wait()
        self.assertIn(b"interrupted", r.pty)
        self.assertEqual(r.result["exitCode"], 9)

    def test_kill_ends_it(self):
        r = self.pty(["--norc", "-i"])
        self.d.rpc("process.Process/SendSignal", {"process": {"pid": r.pid}, "signal": "SIGNAL_SIGKILL"})
        self.assertEqual(r.wait().result, {"exitCode": -1, "exited": False, "status": "signal: killed", "error": "signal: killed"})

    def test_a_background_job_does_not_hold_up_the_end(self):
        r = self.pty(["-c", "trap '' HUP; sleep 66.5 & echo bye"]).wait()
        self.assertIn(b"bye", r.pty)
        self.assertEqual(r.result["status"], "exit status 0")
        subprocess.run(["pkill", "-f", "^sleep 66.5$"], check=False)

    def test_input_of_the_wrong_kind(self):
        r = self.pty(["--norc", "-i"])
        self.assertEqual(self.d.rpc("process.Process/SendInput", {"process": {"pid": r.pid}, "input": {"stdin": "AA=="}})[1]["code"], "internal")
        status, answer = self.d.rpc("process.Process/CloseStdin", {"process": {"pid": r.pid}})
        self.assertEqual((status, answer["code"]), (500, "unknown"))
        self.assertEqual(self.d.rpc("process.Process/Update", {"process": {"pid": r.pid}, "pty": {"size": {"cols": 70000, "rows": 1}}})[0], 400)
        self.d.rpc("process.Process/SendSignal", {"process": {"pid": r.pid}, "signal": 9})
        r.wait()

    def test_much_output_arrives_whole_in_chunks_of_16_KiB_at_most(self):
        r = self.pty(["-c", "seq 1 100000"]).wait()
        self.assertEqual(r.pty.replace(b"\r\n", b"\n"), "".join(f"{i}\n" for i in range(1, 100001)).encode())
        self.assertLessEqual(max(r.chunks), 16384)


class Files(Case):
    def test_64_MiB_survive_the_way_in_and_out(self):
        data = random.Random(3).randbytes(1 << 20) * 64
        for how in (lambda p: self.upload(p, data), lambda p: self.multipart([("file", p, data)])):
            path = f"{self.dir}/big"
            status, _, body = how(path)
            self.assertEqual((status, json.loads(body)), (200, [{"path": path, "name": "big", "type": "file"}]))
            status, headers, back = self.download(path)
            self.assertEqual((status, headers["Content-Length"], back == data), (200, str(len(data)), True))
            os.unlink(path)

    def test_chunked_uploads(self):
        path = f"{self.dir}/chunked"
        status, _, _ = self.upload(path, iter([b"a" * 100000, b"b", b"c" * 70000]))
        self.assertEqual(status, 200)
        with open(path, "rb") as f:
            self.assertEqual(f.read(), b"a" * 100000 + b"b" + b"c" * 70000)

    def test_an_empty_file_has_content_length_0(self):
        self.assertEqual(self.upload(f"{self.dir}/empty", b"")[0], 200)
        status, headers, body = self.download(f"{self.dir}/empty")
        self.assertEqual((status, headers["Content-Length"], body), (200, "0", b""))

    def test_uploads_replace_and_make_directories_and_keep_the_mode(self):
        path = f"{self.dir}/a/b/c.txt"
        self.upload(path, b"a long text")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o644)
        self.assertEqual(stat.S_IMODE(os.stat(f"{self.dir}/a/b").st_mode), 0o755)
        os.chmod(path, 0o750)
        self.upload(path, b"short")
        with open(path, "rb") as f:
            self.assertEqual(f.read(), b"short")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o750)

    @unittest.skipUnless(ROOT, "needs root")
    def test_files_and_new_directories_belong_to_the_user(self):
        self.assertEqual(self.upload(f"{self.dir}/n/f", b"x", username="nobody")[0], 200)
        uid = pwd.getpwnam("nobody").pw_uid
        self.assertEqual((os.stat(f"{self.dir}/n").st_uid, os.stat(f"{self.dir}/n/f").st_uid, os.stat(self.dir).st_uid), (uid, uid, 0))

    def test_relative_paths_start_at_home(self):
        relative = os.path.relpath(f"{self.dir}/rel", ME.pw_dir)
        for path in (relative, "./" + relative, "~/" + relative):
            status, _, body = self.upload(path, b"x")
            self.assertEqual((status, json.loads(body)[0]["path"]), (200, f"{self.dir}/rel"))
        self.assertEqual(self.download("~other/x")[0], 400)

    def test_reading_what_is_not_a_file(self):
        self.refused(self.download(f"{self.dir}/none"), 404, f"path '{self.dir}/none' does not exist")
        self.refused(self.download(self.dir), 400, f"path '{self.dir}' is a directory")
        self.refused(self.download("/dev/null"), 400, "path '/dev/null' is not a regular file")
        os.mkfifo(f"{self.dir}/fifo")
        self.refused(self.download(f"{self.dir}/fifo"), 400, f"path '{self.dir}/fifo' is not a regular file")
        self.refused(self.download(f"{self.d.run_dir}/sudo.sock"), 400, f"path '{self.d.run_dir}/sudo.sock' is not a regular file")
        self.refused(self.download("x", username="no-one"), 401, "error looking up user 'no-one': unknown user")

    def test_writing_to_what_is_not_a_file(self):
        self.refused(self.upload(self.dir, b"x"), 400, f"path is a directory: {self.dir}")
        os.mkfifo(f"{self.dir}/fifo")
        self.refused(self.upload(f"{self.dir}/fifo", b"x"), 400, f"path is not a regular file: {self.dir}/fifo")
        with open(f"{self.dir}/file", "w"):
            pass
        self.assertEqual(self.upload(f"{self.dir}/file/below", b"x")[0], 400)
        self.assertEqual(self.upload(f"{self.dir}/{'n' * 255}", b"x")[0], 200)
        self.assertEqual(self.upload(f"{self.dir}/{'n' * 256}", b"x")[0], 400)

    def test_uploads_that_are_refused(self):
        self.refused(self.d.call("POST", "/files", b"x", {"Content-Type": "application/octet-stream"}), 400,
                     "path query parameter is required for raw body upload")
        self.refused(self.upload("x", b"x", headers={"Content-Type": "text/plain"}), 400, "unsupported content type: text/plain")
        self.refused(self.upload("x", b"x", headers={"Content-Encoding": "br"}), 400, "unsupported content encoding: only gzip is served")
        self.refused(self.upload("x", b"x", username="no-one"), 401, "error looking up user 'no-one': unknown user")
        self.assertEqual(self.upload("x", b"x", headers={"Content-Type": "multipart/form-data"})[0], 400)
        self.assertEqual(self.upload("x", b"no boundary in here", headers={"Content-Type": "multipart/form-data; boundary=b"})[0], 400)

    def test_multipart_with_many_files_and_other_fields(self):
        status, _, body = self.multipart([("file", f"{self.dir}/1", b"one"), ("other", "x", b"ignored"), ("file", f"{self.dir}/d/2", b"\r\n--bn")])
        self.assertEqual((status, [e["path"] for e in json.loads(body)]), (200, [f"{self.dir}/1", f"{self.dir}/d/2"]))
        with open(f"{self.dir}/d/2", "rb") as f:
            self.assertEqual(f.read(), b"\r\n--bn")

    def test_multipart_with_a_path_needs_no_filename(self):
        status, _, body = self.multipart([("file", None, b"text")], path=f"{self.dir}/named")
        self.assertEqual((status, json.loads(body)[0]["name"]), (200, "named"))
        self.assertEqual(self.multipart([("file", None, b"text")])[0], 400)

    def test_the_same_path_twice_is_refused_and_the_first_kept(self):
        path = f"{self.dir}/twice"
        self.refused(self.multipart([("file", path, b"first"), ("file", path, b"second")]), 400,
                     f"you cannot upload multiple files to the same path '{path}' in one upload request, "
                     "only the first specified file was uploaded")
        with open(path, "rb") as f:
            self.assertEqual(f.read(), b"first")

    def test_gzip_is_unpacked(self):
        data = random.Random(4).randbytes(300000) + b"0" * 5000000
        path = f"{self.dir}/gz"
        packed = gzip.compress(data)
        self.assertEqual(self.upload(path, packed, headers={"Content-Encoding": "gzip"})[0], 200)
        with open(path, "rb") as f:
            self.assertEqual(f.read(), data)
        self.assertEqual(self.upload(path, gzip.compress(b"two ") + gzip.compress(b"members"), headers={"Content-Encoding": "gzip"})[0], 200)
        self.assertEqual(self.download(path)[2], b"two members")
        for bad in (packed[:-20], packed[:200000], b"not gzip", packed + b"rest"):
            self.refused(self.upload(path, bad, headers={"Content-Encoding": "gzip"}), 400, "the body is not valid gzip")

    def test_names_of_all_kinds(self):
        for name in ("日本語", "sp ace \"q\" 'q'", "-rf", "a%20b+c", "new\nline", "#h?q&x=y", "semi;colon"):
            path = f"{self.dir}/{name}"
            self.assertEqual(self.upload(path, name.encode())[0], 200)
            status, headers, body = self.download(path)
            self.assertEqual((status, body.decode()), (200, name))
            self.assertIn("inline; filename", headers["Content-Disposition"])

    def test_proc_files_are_read_to_their_end(self):
        status, _, body = self.download("/proc/self/status")
        self.assertEqual((status, body[:6]), (200, b"Name:\t"))

    def test_ranges_and_conditions(self):
        path = f"{self.dir}/r.txt"
        self.upload(path, b"0123456789")
        for spec, status, body in (("bytes=2-4", 206, b"234"), ("bytes=7-", 206, b"789"), ("bytes=-3", 206, b"789"), ("bytes=0-99", 206, b"0123456789"),
                                   ("bytes=10-", 416, b""), ("bytes=4-2", 200, b"0123456789"), ("bytes=0-1,3-4", 200, b"0123456789")):
            got = self.download(path, headers={"Range": spec})
            self.assertEqual((got[0], got[2]), (status, body), spec)
        self.assertEqual(self.download(path, headers={"Range": "bytes=2-4"})[1]["Content-Range"], "bytes 2-4/10")
        date = self.download(path)[1]["Last-Modified"]
        self.assertEqual(self.download(path, headers={"If-Modified-Since": date})[0], 304)
        self.assertEqual(self.download(path, headers={"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"})[0], 200)
        self.assertEqual(self.download(path, headers={"Accept-Encoding": "gzip"})[0], 200)
        self.assertEqual(self.download(path, headers={"Accept-Encoding": "gzip, identity;q=0"})[0], 406)
        status, headers, body = self.d.call("HEAD", "/files", path=path)
        self.assertEqual((status, headers["Content-Length"], body), (200, "10", b""))

    def test_types(self):
        for name, data, want in (("a.html", b"x", "text/html; charset=utf-8"), ("a.PNG", b"x", "image/png"), ("a.json", b"{}", "application/json"),
                                 ("a", b"text", "text/plain; charset=utf-8"), ("b", b"\0\1\2", "application/octet-stream"), ("c", b"\x89PNG\r\n\x1a\n", "image/png")):
            self.upload(f"{self.dir}/{name}", data)
            self.assertEqual(self.download(f"{self.dir}/{name}")[1]["Content-Type"], want)

    def test_metadata_is_kept_shown_and_replaced(self):
        path = f"{self.dir}/meta"
        try:
            os.setxattr(self.dir, "user.e2b.probe", b"")
        except OSError:
            self.skipTest("no extended attributes here")
        status, _, body = self.upload(path, b"x", headers={"X-Metadata-Author": "me", "x-metadata-Two": "2"})
        self.assertEqual(json.loads(body)[0]["metadata"], {"author": "me", "two": "2"})
        self.assertEqual(os.getxattr(path, "user.e2b.author"), b"me")
        self.assertEqual(self.d.rpc("filesystem.Filesystem/Stat", {"path": path})[1]["entry"]["metadata"], {"author": "me", "two": "2"})
        self.upload(path, b"x", headers={"X-Metadata-Three": "3"})
        self.assertEqual(self.d.rpc("filesystem.Filesystem/Stat", {"path": path})[1]["entry"]["metadata"], {"three": "3"})
        self.upload(path, b"x")
        self.assertNotIn("metadata", self.d.rpc("filesystem.Filesystem/Stat", {"path": path})[1]["entry"])
        for headers in ({"X-Metadata-" + "k" * 247: "v"}, {"X-Metadata-k": "v" * 4090}, {"X-Metadata-": "v"}, {"X-Metadata-k": "\xe4"}):
            status, _, body = self.upload(path, b"x", headers=headers)
            self.assertEqual((status, json.loads(body)["message"][:17]), (400, "invalid metadata:"))

    def sign(self, path, op, user="", expires=None):
        text = f"{path}:{op}:{user}:{TOKEN}" + (f":{expires}" if expires is not None else "")
        return "v1_" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")

    def test_signatures_open_one_path_for_one_operation(self):
        path = f"{self.dir}/signed"
        self.upload(path, b"secret")

        def get(**q):
            return self.d.call("GET", "/files", token=None, path=path, **q)

        self.assertEqual(get(signature=self.sign(path, "read"))[2], b"secret")
        self.assertEqual(get(signature=self.sign(path, "read", ME.pw_name), username=ME.pw_name)[0], 200)
        later = int(time.time()) + 60
        self.assertEqual(get(signature=self.sign(path, "read", "", later), signature_expiration=later)[0], 200)
        status, _, _ = self.d.call("POST", "/files", b"new", {"Content-Type": "application/octet-stream"}, token=None, path=path,
                                   signature=self.sign(path, "write"))
        self.assertEqual(status, 200)
        past = int(time.time()) - 60
        for q, message in (({}, "missing signature query parameter"), ({"signature": self.sign(path, "write")}, "invalid signature"),
                           ({"signature": self.sign(path + "x", "read")}, "invalid signature"),
                           ({"signature": self.sign(path, "read"), "username": ME.pw_name}, "invalid signature"),
                           ({"signature": self.sign(path, "read", "", past), "signature_expiration": past}, "signature is already expired"),
                           ({"signature": self.sign(path, "read", "", past), "signature_expiration": later}, "invalid signature")):
            self.refused(get(**q), 401, message)
        self.refused(self.d.call("GET", "/files", token="wrong", path=path, signature=self.sign(path, "read")), 401,
                     "access token present in header but does not match")

    def compose(self, **message):
        return self.d.call("POST", "/files/compose", json.dumps(message), {"Content-Type": "application/json"})

    def test_compose_joins_and_removes_the_parts(self):
        parts = [f"{self.dir}/p{i}" for i in range(5)]
        for i, p in enumerate(parts):
            self.upload(p, str(i).encode() * 100000)
        status, _, body = self.compose(source_paths=parts, destination=f"{self.dir}/new/whole")
        self.assertEqual((status, json.loads(body)), (200, {"path": f"{self.dir}/new/whole", "name": "whole", "type": "file"}))
        self.assertEqual(self.download(f"{self.dir}/new/whole")[2], b"".join(str(i).encode() * 100000 for i in range(5)))
        self.assertEqual([p for p in parts if os.path.exists(p)], [])

    def test_a_compose_that_fails_leaves_everything_as_it_was(self):
        self.upload(f"{self.dir}/p", b"part")
        self.upload(f"{self.dir}/whole", b"old")
        self.refused(self.compose(source_paths=[f"{self.dir}/p", f"{self.dir}/none"], destination=f"{self.dir}/whole"), 404,
                     f"path '{self.dir}/none' does not exist")
        for bad in ({"source_paths": [], "destination": "x"}, {"source_paths": ["x"]}, {"source_paths": [1], "destination": "x"},
                    {"source_paths": [self.dir], "destination": f"{self.dir}/whole"}, {"source_paths": [f"{self.dir}/p"], "destination": self.dir}):
            self.assertEqual(self.compose(**bad)[0], 400, bad)
        self.assertEqual(sorted(os.listdir(self.dir)), ["p", "whole"])
        self.assertEqual(self.download(f"{self.dir}/whole")[2], b"old")

    def test_a_full_disk_is_said(self):
        if not ROOT or not os.path.isdir("/dev/shm"):
            self.skipTest("needs a small file system")
        mount = f"{self.dir}/small"
        os.mkdir(mount)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", mount], check=False, capture_output=True).returncode != 0:
            self.skipTest("cannot mount")
        try:
            for data in (b"x" * 200000, gzip.compress(b"0" * 10000000)):
                headers = {"Content-Encoding": "gzip"} if data[0] == 0x1f else {}
                self.refused(self.upload(f"{mount}/f", data, headers=headers), 507, "not enough disk space available")
                self.assertEqual(os.listdir(mount), [])
        finally:
            # Lazily: the agent may close the file of the last upload a moment after it has answered.
            subprocess.run(["umount", "-l", mount], check=True)


class Filesystem(Case):
    def fs(self, method, **message):
        return self.d.rpc(f"filesystem.Filesystem/{method}", message)

    def test_stat_tells_everything(self):
        path = f"{self.dir}/f"
        with open(path, "w") as f:
            f.write("12345")
        os.chmod(path, 0o640)
        os.utime(path, ns=(0, 1700000000123456789))
        status, answer = self.fs("Stat", path=path)
        self.assertEqual(status, 200)
        group = answer["entry"].pop("group")
        self.assertTrue(group)
        self.assertEqual(answer["entry"], {"name": "f", "type": "FILE_TYPE_FILE", "path": path, "size": "5", "mode": 0o640, "permissions": "-rw-r-----",
                                           "owner": ME.pw_name, "modifiedTime": "2023-11-14T22:13:20.123456789Z"})
        self.assertEqual(self.fs("Stat", path=path + "x"), (404, {"code": "not_found", "message": f"file not found: {path}x"}))
        self.assertEqual(self.fs("Stat", path=path + "/x")[0], 404)

    def test_links_show_type_and_mode_of_their_target(self):
        with open(f"{self.dir}/f", "w"):
            pass
        os.chmod(f"{self.dir}/f", 0o600)
        os.symlink("f", f"{self.dir}/l")
        os.symlink("none", f"{self.dir}/broken")
        e = self.fs("Stat", path=f"{self.dir}/l")[1]["entry"]
        self.assertEqual((e["type"], e["mode"], e["permissions"], e["symlinkTarget"]), ("FILE_TYPE_FILE", 0o600, "Lrwxrwxrwx", f"{self.dir}/f"))
        e = self.fs("Stat", path=f"{self.dir}/broken")[1]["entry"]
        self.assertEqual((e["type"], e["symlinkTarget"]), ("FILE_TYPE_UNSPECIFIED", f"{self.dir}/broken"))

    def test_list_is_in_order_to_the_depth_asked_for(self):
        for p in ("a/x/deep", "b", "a/y"):
            os.makedirs(f"{self.dir}/{p}")
        os.symlink("a", f"{self.dir}/link")

        def names(**kw):
            return [e["path"][len(self.dir) + 1:] for e in self.fs("ListDir", path=self.dir, **kw)[1]["entries"]]

        self.assertEqual(names(), ["a", "b", "link"])
        self.assertEqual(names(depth=1), ["a", "b", "link"])
        self.assertEqual(names(depth=2), ["a", "a/x", "a/y", "b", "link"])
        self.assertEqual(names(depth=9), ["a", "a/x", "a/x/deep", "a/y", "b", "link"])
        self.assertEqual([e["path"] for e in self.fs("ListDir", path=f"{self.dir}/link")[1]["entries"]],
                         [f"{self.dir}/link/x", f"{self.dir}/link/y"])
        self.assertEqual(self.fs("ListDir", path=f"{self.dir}/b"), (200, {"entries": []}))

    def test_list_refuses_what_is_no_directory(self):
        with open(f"{self.dir}/f", "w"):
            pass
        os.symlink("loop", f"{self.dir}/loop")
        self.assertEqual(self.fs("ListDir", path=f"{self.dir}/none"), (404, {"code": "not_found", "message": f"path not found: {self.dir}/none"}))
        self.assertEqual(self.fs("ListDir", path=f"{self.dir}/f")[1]["code"], "invalid_argument")
        self.assertEqual(self.fs("ListDir", path=f"{self.dir}/loop")[1]["code"], "failed_precondition")
        self.assertEqual(self.fs("ListDir", path=self.dir, depth=-1)[1]["code"], "invalid_argument")

    def test_make_dir_makes_parents_and_tells_what_is_there_already(self):
        status, answer = self.fs("MakeDir", path=f"{self.dir}/a/b/c")
        self.assertEqual((status, answer["entry"]["type"], answer["entry"]["permissions"]), (200, "FILE_TYPE_DIRECTORY", "drwxr-xr-x"))
        self.assertEqual(self.fs("MakeDir", path=f"{self.dir}/a/b"),
                         (409, {"code": "already_exists", "message": f"directory already exists: {self.dir}/a/b"}))
        with open(f"{self.dir}/f", "w"):
            pass
        self.assertEqual(self.fs("MakeDir", path=f"{self.dir}/f")[1]["code"], "invalid_argument")
        self.assertEqual(self.fs("MakeDir", path=f"{self.dir}/f/g")[1]["code"], "invalid_argument")

    def test_move_makes_the_parents_of_its_destination(self):
        with open(f"{self.dir}/f", "w") as f:
            f.write("x")
        status, answer = self.fs("Move", source=f"{self.dir}/f", destination=f"{self.dir}/n/g")
        self.assertEqual((status, answer["entry"]["path"], answer["entry"]["name"]), (200, f"{self.dir}/n/g", "g"))
        self.assertFalse(os.path.exists(f"{self.dir}/f"))
        self.assertEqual(self.fs("Move", source=f"{self.dir}/f", destination=f"{self.dir}/z")[0], 404)

    def test_remove_takes_all_and_follows_no_link(self):
        os.makedirs(f"{self.dir}/t/a/b/c")
        with open(f"{self.dir}/kept", "w"):
            pass
        os.symlink(f"{self.dir}/kept", f"{self.dir}/t/link")
        os.symlink(self.dir, f"{self.dir}/t/a/up")
        for i in range(2000):
            with open(f"{self.dir}/t/a/{i}", "w"):
                pass
        for _ in range(2):
            self.assertEqual(self.fs("Remove", path=f"{self.dir}/t"), (200, {}))
            self.assertEqual(os.listdir(self.dir), ["kept"])
        self.assertEqual(self.fs("Remove", path=f"{self.dir}/kept"), (200, {}))
        self.assertEqual(self.fs("Remove", path="/")[1]["code"], "invalid_argument")

    def test_a_tree_deeper_than_a_path_can_be_long_is_removed(self):
        here = os.open(self.dir, os.O_RDONLY)
        for _ in range(30):
            os.mkdir("d" * 200, dir_fd=here)
            below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(here)
        self.assertEqual(self.fs("ListDir", path=self.dir, depth=100)[0], 200)
        self.assertEqual(self.fs("Remove", path=f"{self.dir}/{'d' * 200}"), (200, {}))
        self.assertEqual(os.listdir(self.dir), [])

    def test_users_count_here_too(self):
        auth = {"Authorization": "Basic " + base64.b64encode(b"no-one:").decode()}
        self.assertEqual(self.d.rpc("filesystem.Filesystem/Stat", {"path": "/"}, headers=auth),
                         (401, {"code": "unauthenticated", "message": "invalid username: 'no-one'"}))


class Watches(Case):
    def watch(self, **kw):
        s = Stream(self.d, "filesystem.Filesystem/WatchDir", {"path": self.dir, **kw.pop("fields", {})}, **kw)
        self.assertEqual(next(s), {"start": {}})
        return s

    def events(self, s, n):
        return [(m["filesystem"]["name"], m["filesystem"]["type"].replace("EVENT_TYPE_", "")) for _, m in zip(range(n), s)]

    def test_what_happens_to_a_file_is_told_in_order(self):
        s = self.watch()
        with open(f"{self.dir}/f", "w") as f:
            f.write("x")
        os.chmod(f"{self.dir}/f", 0o600)
        os.rename(f"{self.dir}/f", f"{self.dir}/g")
        os.unlink(f"{self.dir}/g")
        self.assertEqual(self.events(s, 6), [("f", "CREATE"), ("f", "WRITE"), ("f", "CHMOD"), ("f", "RENAME"), ("g", "CREATE"), ("g", "REMOVE")])
        s.close()

    def test_without_recursive_only_the_directory_itself_counts(self):
        os.mkdir(f"{self.dir}/sub")
        s = self.watch()
        with open(f"{self.dir}/sub/unseen", "w"):
            pass
        with open(f"{self.dir}/seen", "w"):
            pass
        self.assertEqual(self.events(s, 1), [("seen", "CREATE")])
        s.close()

    def test_recursive_watches_follow_new_directories(self):
        os.mkdir(f"{self.dir}/old")
        s = self.watch(fields={"recursive": True})
        with open(f"{self.dir}/old/f", "w"):
            pass
        self.assertEqual(self.events(s, 1), [("old/f", "CREATE")])
        os.makedirs(f"{self.dir}/new/deep")
        with open(f"{self.dir}/new/deep/f", "w"):
            pass
        self.assertEqual(self.events(s, 3), [("new", "CREATE"), ("new/deep", "CREATE"), ("new/deep/f", "CREATE")])
        os.rename(f"{self.dir}/new", f"{self.dir}/moved")
        self.assertEqual(self.events(s, 2), [("new", "RENAME"), ("moved", "CREATE")])
        with open(f"{self.dir}/moved/deep/g", "w"):
            pass
        self.assertEqual(self.events(s, 1), [("moved/deep/g", "CREATE")])
        shutil.rmtree(f"{self.dir}/moved")
        self.assertEqual(self.events(s, 4)[-1], ("moved", "REMOVE"))
        s.close()

    def test_entries_come_if_asked_for(self):
        s = self.watch(fields={"includeEntry": True})
        with open(f"{self.dir}/f", "w"):
            pass
        e = next(s)["filesystem"]["entry"]
        self.assertEqual((e["name"], e["path"], e["type"]), ("f", f"{self.dir}/f", "FILE_TYPE_FILE"))
        s.close()

    def test_keepalive_and_deadline(self):
        s = self.watch(headers={"Keepalive-Ping-Interval": "1", "Connect-Timeout-Ms": "1500"})
        self.assertEqual(list(s), [{"keepalive": {}}])
        self.assertEqual(s.end["error"]["code"], "deadline_exceeded")

    def test_a_closed_stream_gives_its_inotify_back(self):
        def inotifies():
            fds = f"/proc/{self.d.process.pid}/fd"
            n = 0
            for fd in os.listdir(fds):
                try:
                    n += os.readlink(f"{fds}/{fd}") == "anon_inode:inotify"
                except OSError:
                    pass
            return n

        until("earlier ones to go", lambda: inotifies() == 0)
        s = self.watch()
        self.assertEqual(inotifies(), 1)
        s.close()
        until("it to go", lambda: inotifies() == 0)

    def test_what_cannot_be_watched(self):
        with open(f"{self.dir}/f", "w"):
            pass
        for path, code in ((f"{self.dir}/f", "invalid_argument"), (f"{self.dir}/none", "not_found")):
            s = Stream(self.d, "filesystem.Filesystem/WatchDir", {"path": path})
            self.assertEqual(list(s), [])
            self.assertEqual(s.end["error"]["code"], code)
            self.assertEqual(self.d.rpc("filesystem.Filesystem/CreateWatcher", {"path": path})[1]["code"], code)

    def test_polling(self):
        status, answer = self.d.rpc("filesystem.Filesystem/CreateWatcher", {"path": self.dir, "recursive": True})
        self.assertEqual(status, 200)
        watcher = {"watcherId": answer["watcherId"]}
        self.assertEqual(self.d.rpc("filesystem.Filesystem/GetWatcherEvents", watcher), (200, {"events": []}))
        os.makedirs(f"{self.dir}/a/b")
        got = []
        until("both", lambda: got.extend(self.d.rpc("filesystem.Filesystem/GetWatcherEvents", watcher)[1]["events"]) or len(got) >= 2)
        self.assertEqual(got, [{"name": "a", "type": "EVENT_TYPE_CREATE"}, {"name": "a/b", "type": "EVENT_TYPE_CREATE"}])
        self.assertEqual(self.d.rpc("filesystem.Filesystem/GetWatcherEvents", watcher), (200, {"events": []}))
        self.assertEqual(self.d.rpc("filesystem.Filesystem/RemoveWatcher", watcher), (200, {}))
        for method in ("GetWatcherEvents", "RemoveWatcher"):
            self.assertEqual(self.d.rpc(f"filesystem.Filesystem/{method}", watcher),
                             (404, {"code": "not_found", "message": f"watcher with id {watcher['watcherId']} not found"}))

    def test_128_watchers_and_not_one_more(self):
        ids = []
        for _ in range(128):
            ids.append(self.d.rpc("filesystem.Filesystem/CreateWatcher", {"path": self.dir})[1]["watcherId"])
        self.assertEqual(self.d.rpc("filesystem.Filesystem/CreateWatcher", {"path": self.dir})[1]["code"], "resource_exhausted")
        for i in ids:
            self.assertEqual(self.d.rpc("filesystem.Filesystem/RemoveWatcher", {"watcherId": i})[0], 200)


@unittest.skipUnless(ROOT, "needs root")
class Sudo(Case):
    def setUp(self):
        super().setUp()
        self.bin = f"{self.dir}/bin"
        os.mkdir(self.bin)
        shutil.copy(ENVD, f"{self.bin}/sudo")
        self.env = {"PATH": f"{self.bin}:/usr/bin:/bin", "FIREBREAK_SUDO_SOCKET": f"{self.d.run_dir}/sudo.sock", "TERM": "xterm", "SECRET": "1"}

    def sudo(self, *args, user=None, **kw):
        drop = {"user": user, "extra_groups": []} if user else {}
        return subprocess.run([f"{self.bin}/sudo", *args], env=self.env, capture_output=True, timeout=30, check=False, **drop, **kw)

    def test_streams_and_exit_status_are_those_of_the_command(self):
        r = self.sudo("sh", "-c", "cat; echo err >&2; exit 7", input=b"piped")
        self.assertEqual((r.returncode, r.stdout, r.stderr), (7, b"piped", b"err\n"))
        self.assertEqual(self.sudo("sh", "-c", "kill -TERM $$").returncode, 143)

    def test_it_becomes_the_user_that_is_named(self):
        nobody = pwd.getpwnam("nobody")
        self.assertEqual(self.sudo("-u", "nobody", "id", "-u").stdout.decode(), f"{nobody.pw_uid}\n")
        self.assertEqual(self.sudo("-nHunobody", "id", "-un").stdout, b"nobody\n")
        self.assertEqual(self.sudo("--user=nobody", "--", "id", "-un").stdout, b"nobody\n")
        self.assertEqual(self.sudo("id", "-u").stdout, b"0\n")
        self.assertEqual(self.sudo("-u", f"#{nobody.pw_uid}", "id", "-un").stdout, b"nobody\n")
        self.assertEqual(self.sudo("-u", "no-one", "id").stderr, b"sudo: unknown user: no-one\n")

    def test_the_environment_is_clean_unless_kept(self):
        env = self.sudo("A=b c", "env").stdout.decode()
        self.assertIn("A=b c\n", env)
        self.assertIn("TERM=xterm\n", env)
        self.assertIn("HOME=/root\n", env)
        self.assertIn(f"SUDO_USER={ME.pw_name}\nSUDO_UID=0", "\n".join(sorted(env.split("\n"), reverse=True)))
        self.assertNotIn("SECRET", env)
        self.assertIn("SECRET=1\n", self.sudo("-E", "env").stdout.decode())

    def test_the_working_directory_is_the_callers(self):
        self.assertEqual(self.sudo("pwd", cwd=self.dir).stdout.decode(), f"{self.dir}\n")

    def test_login_and_shell(self):
        r = self.sudo("-i", "pwd; echo \"$HOME $0\"")
        self.assertEqual(r.stdout, b"", r.stdout)  # one argument is one word, as with sudo
        self.assertEqual(self.sudo("-i", "pwd").stdout, b"/root\n")
        self.assertEqual(self.sudo("-s", "echo", "a  b").stdout, b"a  b\n")

    def test_who_is_not_in_the_group_is_refused(self):
        r = self.sudo("id", user="nobody")
        self.assertEqual((r.returncode, r.stdout, r.stderr), (1, b"", b"sudo: nobody is not in the group sudo\n"))

    def test_mistakes_are_named(self):
        for args, text in ((["-Z"], "unknown option '-Z'"), (["-u"], "option '-u' needs a value"), (["-n"], "no command given"),
                           (["no-such-command"], "no-such-command: command not found")):
            r = self.sudo(*args)
            self.assertEqual((r.returncode, r.stderr.decode()), (1, f"sudo: {text}\n"))
        for args in (["-v"], ["-k"], ["-l"], ["-V"]):
            self.assertEqual(self.sudo(*args).returncode, 0)

    def test_signals_are_carried_over(self):
        p = subprocess.Popen([f"{self.bin}/sudo", "sh", "-c", "trap 'echo int; exit 3' INT; echo up; while :; do sleep 0.05; done"],
                             env=self.env, stdout=subprocess.PIPE)
        self.assertEqual(p.stdout.readline(), b"up\n")
        p.send_signal(signal.SIGINT)
        self.assertEqual((p.stdout.read(), p.wait(timeout=20)), (b"int\n", 3))
        p.stdout.close()

    def test_the_command_dies_with_sudo(self):
        p = subprocess.Popen([f"{self.bin}/sudo", "sh", "-c", "echo up; sleep 67.5"], env=self.env, stdout=subprocess.PIPE)
        self.assertEqual(p.stdout.readline(), b"up\n")
        until("the command", lambda: exists_process("67.5"))
        p.kill()
        p.wait()
        p.stdout.close()
        until("the command to go", lambda: not exists_process("67.5"))

    def test_on_a_terminal_the_command_gets_one_of_its_own(self):
        r = Run(self.d, "/bin/bash", ["--norc", "-c", "sudo bash -c 'stty size; : </dev/tty && echo controlling; exit 5'; echo status $?"],
                pty={"size": {"cols": 97, "rows": 31}}, envs=self.env).wait()
        self.assertEqual(r.pty.replace(b"\r", b""), b"31 97\ncontrolling\nstatus 5\n")

    def test_ctrl_c_on_a_terminal_reaches_the_command_and_not_the_shell(self):
        r = Run(self.d, "/bin/bash", ["--norc", "-c", "trap : INT; sudo sh -c 'echo up; sleep 30'; echo status $?"],
                pty={"size": {"cols": 80, "rows": 24}}, envs=self.env)
        r.until(lambda r: b"up" in r.pty)
        self.d.rpc("process.Process/SendInput", {"process": {"pid": r.pid}, "input": {"pty": base64.b64encode(b"\x03").decode()}})
        r.wait()
        self.assertIn(b"status 130", r.pty)

    def test_sudo_processes_are_not_the_clients(self):
        p = subprocess.Popen([f"{self.bin}/sudo", "sh", "-c", "echo $$; sleep 68.5"], env=self.env, stdout=subprocess.PIPE)
        pid = int(p.stdout.readline())
        self.assertNotIn(pid, [x["pid"] for x in self.d.rpc("process.Process/List", {})[1]["processes"]])
        self.assertEqual(self.d.rpc("process.Process/SendSignal", {"process": {"pid": pid}, "signal": 9})[0], 404)
        p.kill()
        p.wait()
        p.stdout.close()

    def test_garbage_on_the_socket_is_survived(self):
        for data in (b"", b"x", b"\0" * 284, os.urandom(5000)):
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(f"{self.d.run_dir}/sudo.sock")
                try:
                    s.sendall(data)
                except OSError:
                    pass
        fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(8)]
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(f"{self.d.run_dir}/sudo.sock")
            socket.send_fds(s, [b"\1\0\0\0" * 71], fds)
        for fd in fds:
            os.close(fd)
        self.assertEqual(self.sudo("echo", "fine").stdout, b"fine\n")


@unittest.skipUnless(ROOT, "needs root")
class AsPid1(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.d = Envd("pid1", as_pid_1=True)
        try:
            cls.d.call("POST", "/init", json.dumps({"defaultUser": "root"}), token=None)
        except OSError:
            cls.d.stop()
            raise unittest.SkipTest("no pid namespaces here") from None

    @classmethod
    def tearDownClass(cls):
        cls.d.stop()

    def test_pids_are_those_of_the_sandbox(self):
        r = sh(self.d, 'kill -0 $$ && echo $$; cat /proc/1/comm').wait()
        self.assertEqual(r.stdout.decode(), f"{r.pid}\nenvd\n")

    def test_orphans_are_reaped(self):
        sh(self.d, "for i in $(seq 1 300); do (setsid sh -c 'sleep 0.1' >/dev/null 2>&1 &) ; done").wait()
        line = "cat /proc/[0-9]*/status 2>/dev/null | grep -c '^State:.Z'"
        until("no zombies", lambda: sh(self.d, line).wait().stdout == b"0\n")

    def test_no_signal_of_the_workload_ends_it(self):
        for sig in ("TERM", "KILL", "INT", "HUP", "QUIT", "USR1", "ALRM", "CHLD", "PIPE", "STOP"):
            sh(self.d, f"kill -{sig} 1").wait()
        self.assertEqual(sh(self.d, "echo alive").wait().stdout, b"alive\n")

    def test_a_child_that_kills_its_whole_group_ends_only_that(self):
        r = sh(self.d, "kill -KILL 0").wait()
        self.assertEqual(r.result["status"], "signal: killed")
        self.assertEqual(sh(self.d, "echo alive").wait().stdout, b"alive\n")


class Robustness(Case):
    def test_what_clients_break_off_does_no_harm(self):
        for request in (b"POST /files?path=/tmp/x HTTP/1.1\r\nHost: x\r\n", b"GET /health HTTP/1.1\nHost: x\n\n",
                        b"POST /process.Process/Start HTTP/1.1\r\nHost: x\r\nX-Access-Token: " + TOKEN.encode() +
                        b"\r\nContent-Type: application/connect+json\r\nContent-Length: 100\r\n\r\n\0\0\0"):
            with socket.create_connection(("127.0.0.1", self.d.port)) as s:
                s.sendall(request)
        self.assertEqual(self.d.call("GET", "/health")[0], 204)

    def test_envelopes_that_are_not_one_message(self):
        for body in (b"", b"\0\0\0\0", b"\0\0\0\0\x05{}", b"\1\0\0\0\2{}", b"\2\0\0\0\2{}", b"\0\xff\xff\xff\xff{}", b"\0\0\0\0\2{}\0\0\0\0\2{}"):
            status, _, answer = self.d.call("POST", "/process.Process/Start", body, {"Content-Type": "application/connect+json"})
            self.assertEqual((status, answer[0]), (200, 2))
            self.assertEqual(json.loads(answer[5:])["error"]["code"], "invalid_argument", body)

    def test_a_hundred_streams_at_once_and_health_still_answers(self):
        runs = [sh(self.d, "read x; echo $x") for _ in range(100)]
        begin = time.monotonic()
        self.assertEqual(self.d.call("GET", "/health")[0], 204)
        self.assertLess(time.monotonic() - begin, 10)
        for i, r in enumerate(runs):
            self.d.rpc("process.Process/SendInput", {"process": {"pid": r.pid}, "input": {"stdin": base64.b64encode(f"{i}\n".encode()).decode()}})
        self.assertEqual([r.wait().stdout for r in runs], [f"{i}\n".encode() for i in range(100)])

    def test_it_lived_through_all_this(self):
        self.assertIsNone(self.d.process.poll())


if __name__ == "__main__":
    try:
        result = unittest.main(exit=False, warnings="ignore").result
    finally:
        shutil.rmtree(DIR, ignore_errors=True)
    sys.exit(not result.wasSuccessful())
