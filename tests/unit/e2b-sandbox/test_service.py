# SPDX-License-Identifier: Apache-2.0
"""Drives the real e2b-sandbox over HTTP, with a warden and sandboxes that are imitated (fake_warden.py). Prints TAP.

Usage: test_service.py PROGRAM [--as-nobody] [NAME...]: all tests, or those with one of the NAMEs in their names."""
import base64
import errno
import hashlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.parse
from datetime import datetime
import encodings.idna  # noqa: F401 loaded before privileges go

import fake_warden
from fake_warden import Warden, boot_ns

KEY = "e2b_" + "0123456789abcdef" * 2 + "01234567"
UNKNOWN = "i0000000000000000000"
ENVD = 49983
tests = []


def test(fn):
    tests.append(fn)
    return fn


class Answer:
    def __init__(self, status, headers, data):
        self.status, self.headers, self.data = status, headers, data
        try:
            self.json = json.loads(data)
        except (ValueError, LookupError):  # random bytes can name an encoding that nobody may load
            self.json = None

    def __repr__(self):
        return f"{self.status} {self.data[:300]!r}"


class Service:
    """The program under test, in directories of its own."""

    def __init__(self, program, args=(), max_sandboxes=64):
        self.program, self.args = program, ["--pool-max", "0", "--record", "off", *args]
        self.dir = tempfile.mkdtemp(prefix="e2b-sandbox-test-")
        os.chmod(self.dir, 0o755)
        self.state, self.run = os.path.join(self.dir, "state"), os.path.join(self.dir, "run")
        os.makedirs(os.path.join(self.state, "templates"), 0o755)
        os.makedirs(self.run, 0o755)
        self.uid = 65532 if os.geteuid() == 0 else os.geteuid()
        for name, aliases in (("base", ["debian"]), ("tiny", [])):
            self.template(name, aliases)
        self.warden = Warden(self.run, self.uid, max_sandboxes)
        self.log = os.path.join(self.dir, "log")
        self.key_file = os.path.join(self.dir, "key")
        with open(self.key_file, "w") as f:
            f.write(KEY + "\n")
        self.child, self.port = None, 0
        self.start()

    def template(self, name, aliases):
        with open(os.path.join(self.state, "templates", name + ".json"), "w") as f:
            json.dump({"name": name, "aliases": aliases, "digest": "ab" * 32, "bytes": 4096, "createdAt": "2026-01-02T03:04:05Z",
                       "cpuCount": 2, "memoryMB": 512, "diskSizeMB": 1024, "user": "user", "workdir": "/home/user",
                       "env": {"PATH": "/bin", "FROM": "template"}, "buildID": "01234567-89ab-cdef-8123-456789abcdef"}, f)

    def start(self):
        size = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        fd = os.open(self.key_file, os.O_RDONLY)
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(
                [self.program, "--state", self.state, "--run", self.run, "--listen", f"127.0.0.1:{self.port}", "--uid", str(self.uid),
                 "--bootstrap-key-fd", str(fd), *self.args],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[fd], preexec_fn=fake_warden.die_with_parent)
        os.close(fd)
        until("e2b-sandbox to be ready", 10, lambda: re.search(r"event=ready .*port=(\d+)", self.text()[size:]), self)
        self.port = int(re.search(r"event=ready .*port=(\d+)", self.text()[size:])[1])

    def text(self):
        with open(self.log) as f:
            return f.read()

    def stop(self, how=signal.SIGTERM):
        self.child.send_signal(how)
        return self.child.wait(15)

    def close(self):
        if self.child.poll() is None:
            self.stop(signal.SIGKILL)
        self.warden.end_all()
        self.warden.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def http(self, method, path, body=None, headers=None, timeout=20):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            c.putrequest(method, path, skip_host="Host" in (headers or {}), skip_accept_encoding=True)
            for name, value in (headers or {}).items():
                c.putheader(name, value)
            if body is not None and not isinstance(body, (bytes, str)):
                body = json.dumps(body)
            if isinstance(body, str):
                body = body.encode()
            if body is not None:
                c.putheader("Content-Length", str(len(body)))
            c.endheaders(body)
            r = c.getresponse()
            return Answer(r.status, {k.lower(): v for k, v in r.getheaders()}, r.read())
        finally:
            c.close()

    def api(self, method, path, body=None, headers=None):
        return self.http(method, path, body, {"X-API-Key": KEY, **(headers or {})})

    def raw(self, data):
        """Bytes as they are, and all that comes back until the connection ends."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as s:
            s.sendall(data)
            got = b""
            while piece := s.recv(65536):
                got += piece
            return got

    def create(self, **fields):
        r = self.api("POST", "/v2/sandboxes", {"templateID": "base", **fields})
        assert r.status == 201, r
        return r.json["sandboxID"]

    def into(self, sandbox, port=ENVD, **headers):
        return {"E2b-Sandbox-Id": sandbox, "E2b-Sandbox-Port": str(port), **headers}

    def metric(self, name):
        m = re.search("^" + re.escape(name) + r" (\S+)$", self.http("GET", "/metrics").data.decode(), re.M)
        assert m, name
        return float(m[1])


def until(what, seconds, ready, service=None):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := ready():
            return value
        if service and service.child and service.child.poll() is not None:
            break
        time.sleep(0.005)
    raise AssertionError(f"waited for {what}" + (": " + service.text()[-2000:] if service else ""))


def is_error(r, status, pattern, code=None):
    assert r.status == status, r
    assert r.headers["content-type"] == "application/json", r.headers
    assert r.json["code"] == status, r
    assert re.search(pattern, r.json["message"]), (pattern, r)
    assert r.json.get("error_code") == code, r


# --- create, use, kill ---


@test
def create_answers_201_with_every_field_on_both_paths(s):
    for path in ("/sandboxes", "/v2/sandboxes"):
        r = s.api("POST", path, {"templateID": "Base", "unknown": {"x": [1]}})
        assert r.status == 201, r
        assert re.fullmatch(r"i[a-z0-9]{19}", r.json["sandboxID"])
        assert r.json["templateID"] == r.json["alias"] == "base"
        assert (r.json["clientID"], r.json["envdVersion"]) == ("firebreak", "0.6.13")
        assert re.fullmatch(r"[0-9a-f]{64}", r.json["envdAccessToken"])
        assert r.json["domain"] is None and r.json["trafficAccessToken"] is None


@test
def create_takes_a_chunked_body_whose_end_comes_late(s):
    body = b'{"templateID":"base","metadata":{"user":"abc"},"timeout":60}'
    with socket.create_connection(("127.0.0.1", s.port), timeout=10) as c:
        c.sendall(b"POST /v2/sandboxes HTTP/1.1\r\nHost: localhost\r\nx-api-key: " + KEY.encode() +
                  b"\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body) + body + b"\r\n")
        time.sleep(0.1)
        c.sendall(b"0\r\n\r\n")
        assert c.recv(65536).startswith(b"HTTP/1.1 201 ")


@test
def envd_is_told_its_token_environment_and_defaults_before_the_answer(s):
    r = s.api("POST", "/sandboxes", {"templateID": "base", "secure": True, "envVars": {"A": "1", "FROM": "request"}})
    (init,) = s.warden.sandboxes[r.json["sandboxID"]].inits
    assert init == {"accessToken": r.json["envdAccessToken"], "envVars": {"PATH": "/bin", "FROM": "request", "A": "1"},
                    "defaultUser": "user", "defaultWorkdir": "/home/user", "sandboxId": r.json["sandboxID"], "templateId": "base"}


@test
def an_unsecured_sandbox_has_no_token(s):
    r = s.api("POST", "/sandboxes", {"templateID": "base", "secure": False})
    assert r.status == 201 and "envdAccessToken" not in r.json, r
    assert "accessToken" not in s.warden.sandboxes[r.json["sandboxID"]].inits[0]


@test
def the_warden_gets_digest_limits_and_deadline(s):
    s.create(timeout=100)
    m = s.warden.spawns[-1]
    assert m.image == bytes.fromhex("ab" * 32)
    assert (m.memory_bytes, m.disk_bytes, m.cpu_millis) == (512 << 20, 1024 << 20, 2000)
    assert m.disk_inodes == 262144 and m.pids == 1024
    assert 95e9 < m.deadline_ns - boot_ns() < 101e9


@test
def the_default_time_outs_are_15_and_300_seconds(s):
    for path, seconds in (("/sandboxes", 15), ("/v2/sandboxes", 300)):
        s.api("POST", path, {"templateID": "base"})
        assert seconds - 5 < (s.warden.spawns[-1].deadline_ns - boot_ns()) / 1e9 <= seconds


@test
def a_template_is_found_by_alias_namespace_and_default_tag(s):
    for name in ("debian", "team/base", "base:default", "team/debian:latest"):
        r = s.api("POST", "/v2/sandboxes", {"templateID": name})
        assert r.status == 201 and r.json["templateID"] == "base", (name, r)


@test
def get_tells_what_was_asked_for_and_how_it_is_isolated(s):
    before = time.time()
    r = s.api("POST", "/v2/sandboxes", {"templateID": "base", "timeout": 120, "metadata": {"user id": "a&b", "u": "gr\u00fc\u00dfe"},
                                        "allow_internet_access": False, "network": {"denyOut": ["8.8.8.8"]}})
    i = s.api("GET", "/sandboxes/" + r.json["sandboxID"]).json
    assert i["metadata"] == {"user id": "a&b", "u": "gr\u00fc\u00dfe"}
    assert (i["state"], i["cpuCount"], i["memoryMB"], i["diskSizeMB"]) == ("running", 2, 512, 1024)
    assert i["volumeMounts"] == [] and i["allowInternetAccess"] is False
    assert i["network"] == {"allowOut": [], "denyOut": ["8.8.8.8"]}
    assert i["lifecycle"] == {"autoResume": False, "onTimeout": "kill"}
    assert i["envdAccessToken"] == r.json["envdAccessToken"]
    start, end = (datetime.fromisoformat(i[k][:19] + "+00:00").timestamp() for k in ("startedAt", "endAt"))
    assert before - 2 < start < time.time() + 1 and 115 < end - start <= 121
    isolation = i["isolation"]
    assert isolation["kind"] == "jail" and isolation["reason"]
    assert isolation["hostUidLast"] - isolation["hostUidFirst"] == 65535
    assert isolation["memoryLimitBytes"] == 512 << 20
    # The agent's pid that our monitor tells is this test's own, which is no sandbox: nothing of it may be reported.
    assert "seccomp" not in isolation, isolation


@test
def an_id_with_a_client_id_behind_it_is_the_same_sandbox(s):
    sandbox = s.create()
    assert s.api("GET", f"/sandboxes/{sandbox}-firebreak").json["sandboxID"] == sandbox


@test
def kill_ends_it_once(s):
    sandbox = s.create()
    assert s.http("GET", "/health", headers=s.into(sandbox)).status == 204
    r = s.api("DELETE", "/sandboxes/" + sandbox)
    assert r.status == 204 and r.data == b"" and "content-length" not in r.headers, r
    assert sandbox not in s.warden.sandboxes
    is_error(s.api("DELETE", "/sandboxes/" + sandbox), 404, sandbox)
    is_error(s.api("GET", "/sandboxes/" + sandbox), 404, f'Sandbox "{sandbox}" doesn\'t exist or you don\'t have access to it')
    r = s.http("GET", "/health", headers=s.into(sandbox))
    assert r.status == 502 and r.json == {"sandboxId": sandbox, "message": "The sandbox was not found", "code": 502}, r


@test
def an_unknown_id_is_404_on_every_path(s):
    for method, path, body in (("GET", "", None), ("DELETE", "", None), ("POST", "/timeout", {"timeout": 1}), ("POST", "/refreshes", {}),
                               ("POST", "/connect", {"timeout": 1}), ("GET", "/metrics", None)):
        is_error(s.api(method, "/sandboxes/" + UNKNOWN + path, body), 404, UNKNOWN)
    is_error(s.api("POST", f"/v2/sandboxes/{UNKNOWN}/connect", {}), 404, UNKNOWN)


@test
def what_is_no_id_names_nothing(s):
    for name in ("..", "%2e%2e", "..%2f..%2fetc", "I0000000000000000000", "i", "%27", "a" * 300, "i'%20or%201"):
        assert s.api("GET", "/sandboxes/" + name).status == 404, name
    is_error(s.api("GET", "/sandboxes/i%00"), 400, "percent-encoded")


# --- time ---


@test
def timeout_moves_the_end_both_ways(s):
    sandbox = s.create()
    for seconds in (900, 20):
        assert s.api("POST", f"/sandboxes/{sandbox}/timeout", {"timeout": seconds}).status == 204
        assert abs((s.warden.sandboxes[sandbox].deadline_ns - boot_ns()) / 1e9 - seconds) < 3


@test
def refreshes_and_connect_never_shorten(s):
    r = s.api("POST", "/v2/sandboxes", {"templateID": "base", "timeout": 200})
    sandbox, token = r.json["sandboxID"], r.json["envdAccessToken"]
    end = s.api("GET", "/sandboxes/" + sandbox).json["endAt"]
    assert s.api("POST", f"/sandboxes/{sandbox}/refreshes", {}).status == 204
    assert s.api("POST", f"/sandboxes/{sandbox}/refreshes").status == 204
    for path, body in (("/sandboxes/", {"timeout": 1}), ("/v2/sandboxes/", {"timeout": 10})):
        r = s.api("POST", f"{path}{sandbox}/connect", body)
        assert r.status == 200 and r.json["envdAccessToken"] == token, r
    assert s.api("GET", "/sandboxes/" + sandbox).json["endAt"] == end
    assert s.api("POST", f"/v2/sandboxes/{sandbox}/connect", {}).status == 200  # 300 s
    assert (s.warden.sandboxes[sandbox].deadline_ns - boot_ns()) / 1e9 > 290
    assert s.api("POST", f"/sandboxes/{sandbox}/refreshes", {"duration": 3600}).status == 204
    assert (s.warden.sandboxes[sandbox].deadline_ns - boot_ns()) / 1e9 > 3590


@test
def the_longest_life_caps_the_end(s):
    sandbox = s.create()
    assert s.api("POST", f"/sandboxes/{sandbox}/timeout", {"timeout": 86400}).status == 204
    assert (s.warden.sandboxes[sandbox].deadline_ns - boot_ns()) / 1e9 <= 86400
    is_error(s.api("POST", f"/sandboxes/{sandbox}/timeout", {"timeout": 86401}), 400, "timeout")


@test
def a_sandbox_that_times_out_is_gone(s):
    sandbox = s.create(timeout=1)
    until("404", 5, lambda: s.api("GET", "/sandboxes/" + sandbox).status == 404)
    assert s.http("GET", "/health", headers=s.into(sandbox)).status == 502
    assert s.metric('e2b_sandbox_ended_total{cause="timeout"}') >= 1


@test
def an_exit_that_the_warden_reports_is_noted_with_its_cause(s):
    sandbox, before = s.create(), s.metric('e2b_sandbox_ended_total{cause="oom"}')
    s.warden.end(sandbox, fake_warden.CAUSE_OOM)
    until("404", 2, lambda: s.api("GET", "/sandboxes/" + sandbox).status == 404)
    assert s.metric('e2b_sandbox_ended_total{cause="oom"}') == before + 1
    assert re.search(f"event=sandbox_ended sandbox={sandbox} cause=oom", s.text())


# --- refusals ---


@test
def no_control_path_answers_without_the_right_key(s):
    for method, path in (("GET", "/v2/sandboxes"), ("POST", "/v2/sandboxes"), ("GET", "/sandboxes/" + UNKNOWN), ("DELETE", "/sandboxes/" + UNKNOWN),
                         ("GET", "/templates"), ("GET", "/no/such/path"), ("PATCH", "/sandboxes"), ("POST", "/volumes")):
        is_error(s.http(method, path), 401, "X-API-Key")
        for key in ("", "e2b_" + "0" * 40, KEY[:-1], KEY + "0", KEY.upper(), "x" * 5000):
            is_error(s.http(method, path, headers={"X-API-Key": key}), 401, "X-API-Key")
    assert not s.warden.spawns
    assert s.http("GET", "/v2/sandboxes", headers={"X-E2B-API-Key": KEY}).status == 200


@test
def too_many_wrong_keys_are_429_and_the_right_one_still_works(s):
    answers = [s.http("GET", "/v2/sandboxes", headers={"X-API-Key": "wrong"}) for _ in range(400)]
    limited = [r for r in answers if r.status == 429]
    assert limited and {r.status for r in answers} == {401, 429}
    assert limited[0].json["code"] == 429 and limited[0].headers["retry-after"].isdigit()
    assert s.api("GET", "/v2/sandboxes").status == 200


@test
def a_body_that_is_no_json_object_is_400(s):
    for body in ("", "{", "[]", '"x"', "null", '{"templateID":"base"', '{"templateID":"base"}x', "x" * 100, '{"templateID":"\ufffd"}',
                 "[" * 5000, '{"templateID":"base","templateID":"tiny"}'):
        is_error(s.api("POST", "/v2/sandboxes", body), 400, ".")


@test
def a_field_of_a_wrong_type_or_range_is_400_and_named(s):
    for field, value in (("templateID", 7), ("templateID", None), ("templateID", ""), ("templateID", "a/b/c"), ("timeout", "soon"), ("timeout", 0),
                         ("timeout", -1), ("timeout", 1.5), ("timeout", 1e12), ("timeout", 86401), ("metadata", []), ("metadata", {"k": 1}),
                         ("metadata", {str(i): "" for i in range(65)}), ("metadata", {"a": "x" * 5000}), ("envVars", "A=1"),
                         ("envVars", {"A": 1}), ("envVars", {"A=B": "1"}), ("envVars", {"": "1"}), ("allow_internet_access", "yes"),
                         ("metadata", {str(i): "x" * 4000 for i in range(30)})):
        is_error(s.api("POST", "/v2/sandboxes", {"templateID": "base", field: value}), 400, field)
    is_error(s.api("POST", "/sandboxes", {"templateID": "base", "secure": 1}), 400, "secure")
    assert not s.warden.spawns


@test
def what_is_not_supported_is_refused_by_name(s):
    for field, value in (("network", {"rules": {"api.x.com": 7}}), ("network", {"allowOut": ["nonsense"]}), ("network", {"httpsPorts": [8443]}),
                         ("network", {"egressProxy": {"address": "p:1"}}), ("volumeMounts", [{"name": "v", "path": "/v"}]),
                         ("iam", {"tokens": {}, "x": 1}), ("mcp", {"x": {}}), ("autoPause", True), ("autoPauseMemory", False),
                         ("autoResume", {"enabled": True})):
        is_error(s.api("POST", "/v2/sandboxes", {"templateID": "base", field: value}), 400, field)
    r = s.api("POST", "/v2/sandboxes", {"templateID": "base", "network": {"denyOut": ["0.0.0.0/0"], "rules": {}}, "volumeMounts": [], "mcp": None,
                                        "iam": None, "autoPause": False, "autoPauseMemory": True, "autoResume": {"enabled": False}})
    assert r.status == 201, r


@test
def rules_and_the_traffic_token_survive_a_kill_of_the_service_and_end_with_the_sandbox(s):
    r = s.api("POST", "/v2/sandboxes", {"templateID": "base", "network": {"allowPublicTraffic": False}})
    id, token = r.json["sandboxID"], r.json["trafficAccessToken"]
    assert r.status == 201 and re.fullmatch("[0-9a-f]{64}", token)
    is_error(s.api("POST", "/v2/sandboxes", {"templateID": "base", "network": {"rules": {"a.com": [{"transform": {"headers": {"A": "b"}}}]}}}), 403,
             "--internet allow", "network_not_allowed")
    is_error(s.api("PUT", f"/sandboxes/{id}/network", {"rules": {"a.com": [{"transform": {"headers": {"Host": "b"}}}]}}), 400, "header 'Host'")
    for _ in range(2):
        assert s.http("GET", "/", headers=s.into(id, 8000)).status == 403
        assert s.http("GET", "/", headers={**s.into(id, 8000), "E2B-Traffic-Access-Token": token}).status == 200
        s.stop(signal.SIGKILL)
        s.start()
    files = lambda: b"".join(p.read_bytes() for p in pathlib.Path(s.state).rglob("*.db*"))
    assert token.encode() in files()
    assert s.api("DELETE", f"/sandboxes/{id}").status == 204
    assert token.encode() not in files()


@test
def a_network_is_refused_where_the_operator_gives_none_and_rules_are_kept(s):
    for body in ({"network": {"allowOut": ["1.1.1.1"]}},
                 {"network": {"allowOut": ["example.com"], "denyOut": ["0.0.0.0/0"]}}):
        is_error(s.api("POST", "/v2/sandboxes", {"templateID": "base", **body}), 403, "--internet allow", "network_not_allowed")
    assert not s.warden.spawns
    # The Python SDK and the CLI say this of their own accord: it promises nothing then.
    id = s.api("POST", "/v2/sandboxes", {"templateID": "base", "allow_internet_access": True}).json["sandboxID"]
    assert s.api("GET", f"/sandboxes/{id}").json["allowInternetAccess"] is None
    path = f"/sandboxes/{id}/network"
    is_error(s.api("PUT", path, {"allow_internet_access": True}), 403, "--internet allow", "network_not_allowed")
    is_error(s.api("PUT", path, {"denyOut": ["nonsense"]}), 400, "denyOut\\[0\\]")
    is_error(s.api("PUT", f"/sandboxes/{UNKNOWN}/network", {}), 404, "doesn't exist")
    assert s.api("PUT", path, {"denyOut": ["0.0.0.0/0"], "allow_internet_access": False}).status == 204
    for _ in range(2):
        i = s.api("GET", f"/sandboxes/{id}").json
        assert i["allowInternetAccess"] is False and i["network"] == {"allowOut": [], "denyOut": ["0.0.0.0/0"]}
        s.stop(signal.SIGKILL)
        s.start()
    assert s.api("PUT", path, {}).status == 204
    i = s.api("GET", f"/sandboxes/{id}").json
    assert i["allowInternetAccess"] is None and i["network"] == {"allowOut": [], "denyOut": []}


@test
def an_unknown_template_is_404_and_named(s):
    is_error(s.api("POST", "/v2/sandboxes", {"templateID": "no-such-thing"}), 404, "^template 'no-such-thing' not found$")
    is_error(s.api("POST", "/v2/sandboxes", {"templateID": "base:v2"}), 404, "^template 'base:v2' not found$")


@test
def an_oversized_body_is_413(s):
    try:
        is_error(s.api("POST", "/v2/sandboxes", {"templateID": "base", "metadata": {"a": "x" * (2 << 20)}}), 413, "1048576")
    except (BrokenPipeError, ConnectionResetError):
        pass  # closed before all of it was sent
    assert s.http("GET", "/health").status == 204


@test
def unknown_paths_are_404_and_wrong_methods_405_with_allow(s):
    is_error(s.api("GET", "/no/such/path"), 404, "no/such/path")
    r = s.api("PATCH", "/v2/sandboxes")
    is_error(r, 405, "GET|POST")
    assert set(r.headers["allow"].split(", ")) == {"GET", "POST"}
    assert s.api("PUT", f"/sandboxes/{UNKNOWN}").headers["allow"] == "GET, DELETE"


@test
def what_comes_later_is_501(s):
    for method, path in (("POST", f"/sandboxes/{UNKNOWN}/pause"), ("POST", f"/sandboxes/{UNKNOWN}/fork"), ("GET", "/snapshots"), ("GET", "/secrets"),
                         ("POST", "/volumes"), ("POST", "/v3/templates"), ("DELETE", "/templates/x")):
        is_error(s.api(method, path, {}), 501, "not supported", "not_implemented")


@test
def hostile_framing_is_refused_in_json_and_closes(s):
    head = b"POST /v2/sandboxes HTTP/1.1\r\nHost: localhost\r\n"
    for bad in (head + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", head + b"Content-Length: +2\r\n\r\n{}",
                b"GET /health HTTP/1.1\r\n\r\n"):
        got = s.raw(bad)
        assert got.startswith(b"HTTP/1.1 400 "), got
        assert json.loads(got.split(b"\r\n\r\n", 1)[1])["code"] == 400


# --- starts that fail ---


@test
def a_start_that_fails_names_the_step_and_leaves_nothing(s):
    s.warden.spawn_answer = (-errno.EPERM, 17)
    is_error(s.api("POST", "/v2/sandboxes", {"templateID": "base"}), 500,
             "^could not start the sandbox: mount the overlay: Operation not permitted$", "sandbox_create_failed")
    s.warden.spawn_answer = None
    assert s.api("GET", "/v2/sandboxes").json == []
    assert s.metric('firebreak_sandboxes{state="starting"}') == 0
    assert s.metric("e2b_sandbox_create_failed_total") == 1


@test
def a_sandbox_whose_envd_refuses_is_killed_again(s):
    s.warden.init_answer = (500, b'{"code":500,"message":"no"}')
    is_error(s.api("POST", "/v2/sandboxes", {"templateID": "base"}), 500, "could not start the sandbox: set up envd: .*500",
             "sandbox_create_failed")
    assert s.warden.kills == [s.warden.spawns[0].id.rstrip(b"\0").decode()] and not s.warden.sandboxes
    s.warden.init_answer = (204,)


@test
def full_is_429_with_the_number_and_one_less_makes_room(s):
    s.close()
    s.__init__(s.program, max_sandboxes=2)
    made = [s.create(), s.create()]
    is_error(s.api("POST", "/v2/sandboxes", {"templateID": "base"}), 429, "2", "sandbox_capacity_unavailable")
    assert s.api("DELETE", "/sandboxes/" + made[0]).status == 204
    s.create()


@test
def full_by_the_warden_s_word_is_429_too(s):
    s.warden.spawn_answer = (-errno.EAGAIN, 0)
    is_error(s.api("POST", "/v2/sandboxes", {"templateID": "base"}), 429, "in use", "sandbox_capacity_unavailable")
    assert s.api("GET", "/v2/sandboxes").json == []


@test
def too_little_memory_is_503_with_a_time_to_try_again(s):
    s.warden.spawn_answer = (-errno.ENOMEM, 0)
    r = s.api("POST", "/v2/sandboxes", {"templateID": "base"})
    is_error(r, 503, "memory", "sandbox_capacity_unavailable")
    assert r.headers["retry-after"] == "5"
    s.warden.spawn_answer = (-errno.EDQUOT, 0)
    r = s.api("POST", "/v2/sandboxes", {"templateID": "base"})
    is_error(r, 429, "--total-memory", "sandbox_capacity_unavailable")
    assert r.headers["retry-after"] == "5"
    s.warden.spawn_answer = None


# --- the pool ---


def pooled(s, *args, n=2, max_sandboxes=64):
    """Starts the service with a pool and one sandbox made, and waits until n entries are ready."""
    s.close()
    s.__init__(s.program, ["--pool-max", "4", *args], max_sandboxes)
    first = s.create()
    until(f"{n} entries", 10, lambda: pool_number(s, "ready") == n, s)
    return first


def pool_number(s, name):
    name = {"hits": "hits_total", "misses": "misses_total"}.get(name, name)
    return int(re.search(rf"^e2b_pool_{name} (\d+)$", s.api("GET", "/metrics").data.decode(), re.M)[1])


def entries(s, known):
    return [i for i in s.warden.sandboxes if i not in known]


@test
def a_create_takes_a_ready_sandbox_makes_it_the_client_s_and_another_is_made(s):
    first = pooled(s)
    ready = entries(s, [first])
    r = s.api("POST", "/v2/sandboxes", {"templateID": "base", "timeout": 77, "envVars": {"OWN": "x"}})
    assert r.status == 201 and r.json["sandboxID"] in ready, (r, ready)
    box = s.warden.sandboxes[r.json["sandboxID"]]
    assert len(box.inits) == 1 and box.inits[0]["accessToken"] == r.json["envdAccessToken"], box.inits
    assert box.inits[0]["envVars"] == {"PATH": "/bin", "FROM": "template", "OWN": "x"}
    assert box.inits[0]["sandboxId"] == r.json["sandboxID"]
    assert abs(box.deadline_ns - boot_ns() - 77e9) < 10e9
    assert (pool_number(s, "hits"), pool_number(s, "misses")) == (1, 1)
    until("another", 10, lambda: pool_number(s, "ready") == 2 and len(s.warden.sandboxes) == 4, s)
    s.stop(signal.SIGKILL)
    s.start()  # its row was on the disk before the answer
    assert s.api("GET", "/sandboxes/" + r.json["sandboxID"]).status == 200


@test
def what_is_in_the_pool_is_nobody_s(s):
    first = pooled(s)
    ready = entries(s, [first])
    assert len(ready) == 2
    for box in ready:
        assert s.warden.sandboxes[box].inits == []
        until("its interpreter", 5, lambda: s.warden.sandboxes[box].warms, s)
        assert s.warden.sandboxes[box].warms == [{"interpreter": "python3", "defaultUser": "user", "envVars": {"PATH": "/bin", "FROM": "template"}}]
        spawn = next(m for m in s.warden.spawns if m.id.rstrip(b"\0").decode() == box)
        assert abs(spawn.deadline_ns - boot_ns() - 600e9) < 20e9
        assert s.api("GET", "/sandboxes/" + box).status == 404
        assert s.api("DELETE", "/sandboxes/" + box).status == 404
        assert s.api("POST", f"/sandboxes/{box}/timeout", {"timeout": 5}).status == 404
        assert s.http("GET", "/health", headers={"E2b-Sandbox-Id": box, "E2b-Sandbox-Port": str(ENVD)}).status == 502
    assert [i["sandboxID"] for i in s.api("GET", "/v2/sandboxes").json] == [first]


@test
def another_template_or_limit_is_not_served_from_it(s):
    first = pooled(s)
    ready = entries(s, [first])
    with open(os.path.join(s.state, "templates", "tiny.json")) as f:
        t = json.load(f)
    with open(os.path.join(s.state, "templates", "tiny.json"), "w") as f:
        json.dump({**t, "memoryMB": 1024}, f)  # the same image
    assert s.create(templateID="tiny") not in ready
    assert s.create(templateID="base") in ready


@test
def the_pool_never_costs_a_client_its_place(s):
    first = pooled(s, max_sandboxes=4)
    with open(os.path.join(s.state, "templates", "tiny.json")) as f:
        t = json.load(f)
    with open(os.path.join(s.state, "templates", "tiny.json"), "w") as f:
        json.dump({**t, "digest": "cd" * 32}, f)
    made = [first]
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(s.api("POST", "/v2/sandboxes", {"templateID": "tiny"}))) for _ in range(3)]
    for x in threads:
        x.start()
    for x in threads:
        x.join()
    assert [a.status for a in answers] == [201] * 3, answers
    made += [a.json["sandboxID"] for a in answers]
    assert sorted(s.warden.sandboxes) == sorted(made)
    is_error(s.api("POST", "/v2/sandboxes", {"templateID": "base"}), 429, "4", "sandbox_capacity_unavailable")
    assert pool_number(s, "ready") == 0


@test
def an_entry_that_ended_is_not_given_away(s):
    first = pooled(s)
    gone = entries(s, [first])
    for box in gone:
        s.warden.end(box, fake_warden.CAUSE_TIMEOUT)
    assert s.create() not in gone


@test
def an_entry_whose_envd_refuses_is_ended_and_the_client_gets_another(s):
    s.close()
    s.__init__(s.program, ["--pool-max", "4"])
    first = s.create()
    until("2 entries", 10, lambda: pool_number(s, "ready") == 2, s)
    ready = entries(s, [first])
    for box in ready:
        s.warden.sandboxes[box].init_answer = (500, b"no")
    made = s.create()
    assert made not in ready and made in s.warden.sandboxes
    assert any(box in s.warden.kills for box in ready) and "event=pool_entry_unusable" in s.text()


@test
def a_warden_that_restarts_and_lost_them_is_believed(s):
    first = pooled(s)
    lost = entries(s, [first])
    s.warden.stop()
    until("the loss to be noticed", 5, lambda: re.search("event=warden_(lost|unreachable)", s.text()), s)
    with s.warden.lock:
        for box in lost:
            s.warden.sandboxes.pop(box).stop()
    s.warden.start()
    until("the connection", 10, lambda: s.text().count("event=warden_connected") == 2, s)
    until("new entries", 10, lambda: pool_number(s, "ready") == 2 and len(s.warden.sandboxes) == 3, s)
    assert not set(entries(s, [first])) & set(lost)


@test
def sigterm_drains_the_pool_and_after_kill_9_it_is_orphans_that_end(s):
    first = pooled(s)
    assert s.stop() == 0
    assert list(s.warden.sandboxes) == [first]
    s.start()
    s.create()
    until("entries", 10, lambda: pool_number(s, "ready") == 2, s)
    kept = [i["sandboxID"] for i in s.api("GET", "/v2/sandboxes").json]
    orphans = entries(s, kept)
    s.stop(signal.SIGKILL)
    assert all(o in s.warden.sandboxes for o in orphans) and len(orphans) == 2
    s.start()
    until("the orphans to end", 10, lambda: not any(o in s.warden.sandboxes for o in orphans), s)
    assert sorted(kept) == sorted(s.warden.sandboxes)


@test
def a_start_that_fails_is_no_client_s_business(s):
    s.close()
    s.__init__(s.program, ["--pool-max", "4"])
    s.create()
    until("2 entries", 10, lambda: pool_number(s, "ready") == 2, s)
    s.warden.spawn_answer = (-errno.ENOMEM, 7)
    s.create()  # from the pool
    until("the failure", 10, lambda: "event=pool_start_failed" in s.text(), s)
    s.warden.spawn_answer = None
    until("it to be tried again", 10, lambda: pool_number(s, "ready") >= 2, s)


@test
def nothing_waits_in_them_where_the_operator_says_so(s):
    first = pooled(s, "--warm", "none")
    time.sleep(0.5)
    assert [s.warden.sandboxes[box].warms for box in entries(s, [first])] == [[], []]


@test
def without_memory_for_it_there_is_none(s):
    s.close()
    s.__init__(s.program, ["--pool-max", "4", "--pool-memory", "1"])
    made = [s.create(), s.create()]
    assert sorted(made) == sorted(s.warden.sandboxes) and (pool_number(s, "hits"), pool_number(s, "ready")) == (0, 0)


# --- list ---


def metadata_query(pairs):
    quote = lambda x: urllib.parse.quote(x, safe="")
    return quote("&".join(f"{quote(quote(k))}={quote(quote(v))}" for k, v in pairs.items()))


@test
def pages_give_each_sandbox_once_in_order_while_others_come(s):
    made = [s.create(metadata={"mark": "x"}) for _ in range(5)]
    s.create()
    for order, want in (("desc", made[::-1]), ("asc", made)):
        seen, token, extra = [], "", 0
        while True:
            r = s.api("GET", f"/v2/sandboxes?metadata={metadata_query({'mark': 'x'})}&limit=2&order={order}&nextToken={token}")
            assert r.status == 200 and len(r.json) <= 2, r
            seen += [i["sandboxID"] for i in r.json]
            token = r.headers.get("x-next-token", "")
            if not token:
                break
            extra += 1
            if order == "desc" and extra == 1:  # newer than the first page: on no later one
                s.create(metadata={"mark": "x"})
        assert seen[:5] == want if order == "asc" else seen == want, (order, seen)
    assert int(r.headers["x-total-running"]) == 7


@test
def metadata_is_matched_after_three_decodings(s):
    a = s.create(metadata={"user id": "a&b", "more": "1+1=2 %"})
    s.create(metadata={"user id": "other"})
    find = lambda q: [i["sandboxID"] for i in s.api("GET", "/v2/sandboxes?metadata=" + q).json]
    assert find("user%252520id%3Da%252526b") == [a]  # as recorded from the published client
    assert find(metadata_query({"user id": "a&b", "more": "1+1=2 %"})) == [a]
    assert find(metadata_query({"user id": "a&b", "more": "2"})) == []
    old = s.api("GET", "/sandboxes?metadata=" + metadata_query({"user id": "a&b"}))
    assert [i["sandboxID"] for i in old.json] == [a]
    assert len(s.api("GET", "/api/sandboxes").json) == 2


@test
def list_filters_by_state_template_and_start(s):
    a = s.create()
    b = s.create(templateID="tiny")
    find = lambda q: [i["sandboxID"] for i in s.api("GET", "/v2/sandboxes?" + q).json]
    assert find("state=running") == find("state=running,paused") == find("state=paused&state=running") == [b, a]
    assert find("state=paused") == find("template=none") == []
    assert find("template=tiny") == [b]
    start = s.api("GET", "/sandboxes/" + a).json["startedAt"]
    assert find("startedAfter=" + urllib.parse.quote(start)) == [b]


@test
def bad_query_values_are_400_and_named(s):
    for query, name in (("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("state=sleeping", "state"), ("nextToken=%21%21", "nextToken"),
                        ("order=sideways", "order"), ("startedAfter=yesterday", "startedAfter"), ("metadata=%25", "metadata"),
                        (f"nextToken=1.{UNKNOWN}.a&order=desc", "nextToken")):
        is_error(s.api("GET", "/v2/sandboxes?" + query), 400, name)


@test
def templates_are_listed_with_their_use_and_found_by_alias(s):
    s.create()
    base, tiny = s.api("GET", "/templates").json
    assert (base["templateID"], base["buildStatus"], base["spawnCount"]) == ("base", "ready", 1)
    assert base["names"] == ["base"] and "debian" in base["aliases"] and base["createdAt"].startswith("2026-01-02T03:04:05")
    assert tiny["spawnCount"] == 0 and tiny["lastSpawnedAt"] is None and tiny["createdBy"] is None
    assert s.api("GET", "/templates/aliases/debian").json == {"templateID": "base", "public": False}
    is_error(s.api("GET", "/templates/aliases/nobody%2Fnone"), 404, "nobody/none")


# --- into sandboxes ---


@test
def a_port_is_reached_by_headers_and_by_host_name(s):
    sandbox = s.create()
    for headers in (s.into(sandbox, 8000), {"Host": f"8000-{sandbox}.sandbox.test"}, {"Host": f"8000-{sandbox.upper()}.sandbox.test:7070"},
                    {"Host": "sandbox.some.domain", **s.into(sandbox, 8000)}, {"Host": "e2b-sandbox:7070", **s.into(sandbox, 8000)},
                    {"Host": "[::1]:7070", **s.into(sandbox, 8000)}):
        r = s.http("GET", "/some/path?q=1%20", headers=headers)
        assert r.status == 200 and r.json["path"] == "/some/path?q=1%20" and r.json["sandbox"] == sandbox, (headers, r)


@test
def keys_and_routing_headers_stay_outside_and_all_else_goes_in(s):
    sandbox = s.create()
    r = s.http("GET", "/", headers={**s.into(sandbox, 8000), "X-API-Key": KEY, "X-E2B-API-Key": KEY, "Cookie": "mine=1", "X-Access-Token": "t", "X-Own": "kept"})
    seen = r.json["headers"]
    assert not {"x-api-key", "x-e2b-api-key", "e2b-sandbox-id", "e2b-sandbox-port"} & set(seen), seen
    assert (seen["cookie"], seen["x-access-token"], seen["x-own"]) == ("mine=1", "t", "kept")
    assert KEY not in r.data.decode()


@test
def bodies_go_through_whole_and_answers_as_they_come(s):
    sandbox = s.create()
    big = os.urandom(3 << 20)
    assert s.http("POST", "/echo", big, s.into(sandbox, 8000)).data == big
    with socket.create_connection(("127.0.0.1", s.port), timeout=10) as c:
        c.sendall(f"GET /slow HTTP/1.1\r\nHost: localhost\r\nE2b-Sandbox-Id: {sandbox}\r\nE2b-Sandbox-Port: 8000\r\n\r\n".encode())
        got, began = b"", time.monotonic()
        while b"one" not in got:
            got += c.recv(4096)
        first = time.monotonic() - began
        while b"two" not in got:
            got += c.recv(4096)
        assert time.monotonic() - began - first > 0.3, "the first part came only with the second"


@test
def an_upgrade_becomes_a_tunnel(s):
    sandbox = s.create()
    with socket.create_connection(("127.0.0.1", s.port), timeout=10) as c:
        c.sendall(f"GET /socket HTTP/1.1\r\nHost: localhost\r\nE2b-Sandbox-Id: {sandbox}\r\nE2b-Sandbox-Port: 8000\r\nConnection: Upgrade\r\n"
                  f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}\r\n\r\n".encode())
        got = b""
        while b"\r\n\r\n" not in got:
            got += c.recv(4096)
        assert got.startswith(b"HTTP/1.1 101 ")
        c.sendall(b"hello")
        assert c.recv(5) == b"hello"


@test
def the_proxy_s_own_answers_have_their_exact_bodies(s):
    sandbox = s.create()
    for headers in (s.into(UNKNOWN, 8000), {"Host": f"8000-{UNKNOWN}.d"}, {**s.into(sandbox, 8000), "Host": f"8000-{UNKNOWN}.d"}):
        r = s.http("GET", "/", headers=headers)
        assert r.status == 502 and r.json == {"sandboxId": UNKNOWN, "message": "The sandbox was not found", "code": 502}, r
    r = s.http("GET", "/", headers=s.into(sandbox, 8001))
    assert r.status == 502 and r.json == {"sandboxId": sandbox, "message": "The sandbox is running but port is not open", "port": 8001, "code": 502}, r
    is_error(s.http("GET", "/", headers={"E2b-Sandbox-Id": sandbox}), 400, "E2b-Sandbox-Port")
    is_error(s.http("GET", "/", headers={"E2b-Sandbox-Port": "8000"}), 400, "E2b-Sandbox-Id")
    for port in ("0x50", "65536", "-1", "", "1e3", "0"):
        is_error(s.http("GET", "/", headers={"E2b-Sandbox-Id": sandbox, "E2b-Sandbox-Port": port}), 400, "port")
    for host in (f"x-{sandbox}.d", f"70000-{sandbox}.d", "8000-.d", f"8000-{sandbox}-x.d"):
        is_error(s.http("GET", "/", headers={"Host": host}), 400, ".")
    is_error(s.http("GET", "/", headers={"Host": "rebound.example", **s.into(sandbox, 8000)}), 400, "Host")


@test
def no_spelling_of_an_internal_path_gets_in(s):
    sandbox = s.create()
    r = s.http("POST", "/init", {}, s.into(sandbox))
    assert r.status == 404 and r.json["path"] == "/init" and r.json["code"] == 404 and r.json["message"], r
    for path in ("/init", "/init?x=1", "/init/", "//init", "/./init", "/x/../init", "/%69nit", "/ini%74", "/%2569nit", "/init%20", "/INIT", "/init;x",
                 "/init%3f", "/\\init", "/%2finit", "/init%00", "/%2e/init", "/x/%2e%2e/init", "/freeze", "/unfreeze", "/collapse", "/fsfreeze", "/fsthaw",
                 "/upgrade", "/init/x"):
        r = s.raw(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nE2b-Sandbox-Id: {sandbox}\r\nE2b-Sandbox-Port: {ENVD}\r\nContent-Length: 2\r\n"
                  f"Connection: close\r\n\r\n{{}}".encode())
        assert re.match(rb"HTTP/1.1 (404|400) ", r), (path, r)
    assert len(s.warden.sandboxes[sandbox].inits) == 1
    assert s.http("POST", "/init", {}, s.into(sandbox, 8000)).status == 204, "another port may have any path"


@test
def two_requests_in_one_connection_may_go_to_two_sandboxes(s):
    a, b = s.create(), s.create()
    get = lambda x, last="": f"GET /x HTTP/1.1\r\nHost: localhost\r\nE2b-Sandbox-Id: {x}\r\nE2b-Sandbox-Port: 8000\r\n{last}\r\n".encode()
    got = s.raw(get(a) + get(UNKNOWN) + get(b, "Connection: close\r\n"))
    assert re.findall(rb"HTTP/1.1 (\d+)", got) == [b"200", b"502", b"200"]
    assert re.findall(rb'"sandbox(?:Id)?": ?"(\w+)"', got) == [a.encode(), UNKNOWN.encode(), b.encode()]


@test
def a_signed_url_finds_its_sandbox_without_headers(s):
    s.create()
    r = s.api("POST", "/v2/sandboxes", {"templateID": "base"})
    sign = lambda text: "v1_" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
    token = r.json["envdAccessToken"]
    for op, method, more, tail in (("read", "GET", "", ""), ("write", "POST", "&signature_expiration=99", ":99")):
        q = "path=" + urllib.parse.quote("/a b") + "&username=user" + more
        good = urllib.parse.quote(sign(f"/a b:{op}:user:{token}{tail}"))
        got = s.http(method, f"/files?{q}&signature={good}")
        assert got.status == 200 and got.json["sandbox"] == r.json["sandboxID"] and got.json["path"].startswith("/files?path=/a%20b"), got
        is_error(s.http(method, f"/files?{q}&signature={sign('x')}"), 401, "invalid signature")


@test
def the_connection_limit_of_one_sandbox_is_429_and_is_given_back(s):
    s.close()
    s.__init__(s.program, ["--conns-per-sandbox", "2"])
    sandbox, other = s.create(), s.create()
    held = [socket.create_connection(("127.0.0.1", s.port), timeout=10) for _ in range(2)]
    for c in held:
        c.sendall(f"GET /hold HTTP/1.1\r\nHost: localhost\r\nE2b-Sandbox-Id: {sandbox}\r\nE2b-Sandbox-Port: 8000\r\n\r\n".encode())
    until("two relays", 5, lambda: s.metric("http_relays") == 2)
    r = s.http("GET", "/", headers=s.into(sandbox, 8000))
    assert r.status == 429 and r.json == {"sandboxId": sandbox, "message": "The sandbox has too many connections", "code": 429}
    assert s.http("GET", "/", headers=s.into(other, 8000)).status == 200
    s.warden.sandboxes[sandbox].held.set()
    until("room", 5, lambda: s.http("GET", "/", headers=s.into(sandbox, 8000)).status == 200)
    for c in held:
        c.close()


@test
def relays_hold_no_thread(s):
    sandbox = s.create()
    held = [socket.create_connection(("127.0.0.1", s.port), timeout=10) for _ in range(60)]
    for c in held:
        c.sendall(f"GET /hold HTTP/1.1\r\nHost: localhost\r\nE2b-Sandbox-Id: {sandbox}\r\nE2b-Sandbox-Port: 8000\r\n\r\n".encode())
    until("60 relays", 10, lambda: s.metric("http_relays") == 60)
    until("only this question to have a thread", 5, lambda: s.metric("http_handler_threads_busy") == 1)
    s.warden.end(sandbox, fake_warden.CAUSE_KILLED)
    for c in held:
        assert c.recv(65536)
        c.close()
    until("no relay", 5, lambda: s.metric("http_relays") == 0)


@test
def a_monitor_that_hangs_holds_up_its_own_sandbox_only(s):
    stuck, other = s.create(), s.create()
    s.warden.sandboxes[stuck].frozen_answers = True
    answers = []
    t = threading.Thread(target=lambda: answers.append(s.http("GET", "/", headers=s.into(stuck, 8000), timeout=30)))
    t.start()
    for _ in range(5):
        assert s.http("GET", "/", headers=s.into(other, 8000)).status == 200
    t.join()
    assert answers[0].status == 503 and answers[0].headers["retry-after"] == "1" and answers[0].json["sandboxId"] == stuck
    s.warden.sandboxes[stuck].frozen_answers = False
    assert s.http("GET", "/", headers=s.into(stuck, 8000)).status == 200


@test
def a_descriptor_that_is_no_tcp_socket_is_not_used(s):
    sandbox = s.create()
    s.warden.sandboxes[sandbox].passes_no_tcp = True
    r = s.http("GET", "/", headers=s.into(sandbox, 8000), timeout=10)
    assert r.status == 503 and r.json["sandboxId"] == sandbox
    s.warden.sandboxes[sandbox].passes_no_tcp = False
    assert s.http("GET", "/", headers=s.into(sandbox, 8000)).status == 200


@test
def threads_for_health_are_not_for_a_path_of_that_name_in_a_sandbox(s):
    sandbox = s.create()
    busy = [socket.create_connection(("127.0.0.1", s.port), timeout=10) for _ in range(240)]
    for c in busy:  # each has a thread that waits for its body
        c.sendall(f"POST /v2/sandboxes HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\nContent-Length: 5\r\n\r\n".encode())
    until("all ordinary threads to be busy", 10, lambda: s.http("GET", "/metrics").status == 503)
    r = s.http("GET", "/health", headers=s.into(sandbox, 8000))
    assert r.status == 503 and r.headers["retry-after"] == "1", r
    assert s.http("GET", "/health").status == 204
    for c in busy:
        c.close()
    until("the threads to be free", 10, lambda: s.http("GET", "/health", headers=s.into(sandbox, 8000)).status != 503)


# --- metrics and health ---


@test
def metrics_are_valid_for_promtool_and_do_not_grow(s):
    sandbox = s.create()
    s.http("GET", "/", headers=s.into(sandbox, 8000))
    r = s.http("GET", "/metrics")
    assert r.status == 200 and r.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert sandbox not in r.data.decode()
    assert s.metric('e2b_sandboxes_active{service="e2b-sandbox"}') == 1
    assert s.metric("e2b_sandboxes_created_total") == 1
    assert re.search(r'^e2b_build_info\{version="[^"]+"\} 1$', r.data.decode(), re.M)
    assert s.metric('http_requests_total{route="sandbox_port",code="2xx"}') == 1
    assert s.metric("e2b_sandbox_create_duration_seconds_count") == 1
    assert s.metric("process_resident_memory_bytes") > 1 << 20
    if promtool := shutil.which("promtool"):
        check = subprocess.run([promtool, "check", "metrics"], input=r.data, capture_output=True)
        assert check.returncode == 0, check.stdout + check.stderr
    for i in range(30):
        s.api("GET", f"/made/up/{i}")
        s.http("GET", "/", headers=s.into(f"i{i:019}", 8000))
    assert len(s.http("GET", "/metrics").data.splitlines()) == len(r.data.splitlines())


@test
def a_sandbox_has_a_metric_at_once_and_windows_hold(s):
    sandbox = s.create()
    (m,) = s.api("GET", f"/sandboxes/{sandbox}/metrics").json[:1]
    assert set(m) == {"timestamp", "timestampUnix", "cpuCount", "cpuUsedPct", "memUsed", "memTotal", "memCache", "diskUsed", "diskTotal"}
    assert (m["memUsed"], m["memTotal"], m["diskTotal"], m["cpuCount"]) == (50 << 20, 512 << 20, 1 << 30, 2)
    assert isinstance(m["cpuUsedPct"], float) and abs(m["timestampUnix"] - time.time()) < 10
    assert s.api("GET", f"/sandboxes/{sandbox}/metrics?start=0&end=1000").json == []
    is_error(s.api("GET", f"/sandboxes/{sandbox}/metrics?start=x"), 400, "start")


@test
def health_needs_no_key_and_tells_about_the_warden(s):
    r = s.http("GET", "/health")
    assert r.status == 204 and r.data == b""
    r = s.http("GET", "/healthz")
    assert r.status == 200 and r.json["ok"] is True and r.json["dependencies"] == {"warden": "connected"}
    s.warden.stop()
    until("unhealthy", 5, lambda: s.http("GET", "/healthz").status == 503)
    assert s.http("GET", "/health").status == 204
    s.warden.start()
    until("healthy", 5, lambda: s.http("GET", "/healthz").status == 200)


# --- deaths ---


@test
def after_kill_9_all_that_runs_is_listed_again_and_usable(s):
    r = s.api("POST", "/v2/sandboxes", {"templateID": "base", "metadata": {"kept": "yes"}})
    sandbox = r.json["sandboxID"]
    before = s.api("GET", "/v2/sandboxes").json
    s.stop(signal.SIGKILL)
    s.start()
    assert s.api("GET", "/v2/sandboxes").json == before
    again = s.api("POST", f"/v2/sandboxes/{sandbox}/connect", {"timeout": 1})
    assert again.status == 200 and again.json == r.json
    assert s.http("GET", "/health", headers=s.into(sandbox)).status == 204
    assert s.api("POST", f"/sandboxes/{sandbox}/timeout", {"timeout": 500}).status == 204
    assert s.api("DELETE", "/sandboxes/" + sandbox).status == 204 and not s.warden.sandboxes


@test
def what_died_unwatched_is_unknown_after_the_restart_and_orphans_are_killed(s):
    dead, alive = s.create(), s.create()
    s.stop(signal.SIGKILL)
    s.warden.end(dead, fake_warden.CAUSE_KILLED)
    orphan = fake_warden.Message()
    orphan.version, orphan.id, orphan.deadline_ns = 2, b"iorphan0000000000000".ljust(24, b"\0"), boot_ns() + 10**12
    s.warden.sandboxes["iorphan0000000000000"] = fake_warden.Sandbox(s.warden, orphan, 50)
    s.start()
    assert [i["sandboxID"] for i in s.api("GET", "/v2/sandboxes").json] == [alive]
    is_error(s.api("GET", "/sandboxes/" + dead), 404, dead)
    assert s.http("GET", "/health", headers=s.into(dead)).status == 502
    until("the orphan's end", 5, lambda: list(s.warden.sandboxes) == [alive])
    assert "event=sandbox_orphan_killed sandbox=iorphan0000000000000" in s.text()


@test
def more_sandboxes_than_one_part_of_the_wardens_list_are_all_found_again(s):
    s.warden.max_sandboxes = 2 * fake_warden.LIST_ROWS + 10
    s.stop()
    s.start()
    made = {s.create() for _ in range(s.warden.max_sandboxes)}
    s.stop(signal.SIGKILL)
    s.start()
    assert {i["sandboxID"] for i in s.api("GET", "/sandboxes").json} == made
    time.sleep(0.3)  # the reconciler has compared by then, and would have ended what it misses
    assert {i["sandboxID"] for i in s.api("GET", "/sandboxes").json} == made and len(s.warden.sandboxes) == len(made)
    for sandbox in made:
        assert s.api("DELETE", "/sandboxes/" + sandbox).status == 204


@test
def without_the_warden_sandboxes_are_reached_and_killed_and_creates_are_503(s):
    kept, killed = s.create(), s.create()
    s.warden.stop()
    until("the loss", 5, lambda: s.metric("e2b_warden_connected") == 0)
    r = s.api("POST", "/v2/sandboxes", {"templateID": "base"})
    is_error(r, 503, "warden", "sandbox_supervisor_unavailable")
    assert r.headers["retry-after"] == "1"
    assert s.http("GET", "/health", headers=s.into(kept)).status == 204
    assert len(s.api("GET", "/v2/sandboxes").json) == 2
    assert s.api("POST", f"/sandboxes/{kept}/timeout", {"timeout": 77}).status == 204
    assert s.api("DELETE", "/sandboxes/" + killed).status == 204
    s.warden.start()
    until("the new warden", 5, lambda: s.metric("e2b_warden_connected") == 1)
    s.create()
    assert s.api("GET", "/sandboxes/" + kept).status == 200
    assert killed not in s.warden.sandboxes


@test
def a_monitor_connection_that_breaks_is_opened_again(s):
    sandbox = s.create()
    for c in s.warden.sandboxes[sandbox].clients:
        c.shutdown(socket.SHUT_RDWR)
    assert s.http("GET", "/health", headers=s.into(sandbox)).status == 204


@test
def sigterm_lets_answers_end_and_leaves_the_sandboxes(s):
    sandbox = s.create()
    answer = []
    t = threading.Thread(target=lambda: answer.append(s.http("GET", "/slow", headers=s.into(sandbox, 8000))))
    t.start()
    until("the relay", 5, lambda: s.metric("http_relays") == 1)
    assert s.stop() == 0
    t.join()
    assert answer and answer[0].data == b"onetwo", answer
    assert sandbox in s.warden.sandboxes
    s.start()
    assert s.http("GET", "/health", headers=s.into(sandbox)).status == 204


@test
def a_start_without_the_warden_serves_and_catches_up(s):
    sandbox = s.create()
    s.stop()
    s.warden.stop()
    s.start()
    assert s.http("GET", "/health").status == 204
    r = s.http("GET", "/", headers=s.into(sandbox, 8000))
    assert r.status == 503 and r.json["sandboxId"] == sandbox, r
    s.warden.start()
    until("the sandbox", 5, lambda: s.http("GET", "/", headers=s.into(sandbox, 8000)).status == 200)


@test
def a_warden_of_another_version_is_refused_and_both_versions_are_named(s):
    s.stop()
    s.warden.version = 77
    s.start()
    until("the refusal", 5, lambda: "it speaks version 77 of the protocol, this program 2" in s.text())
    assert s.http("GET", "/health").status == 204
    s.warden.version = 2
    until("a create", 10, lambda: s.http("POST", "/sandboxes", {"templateID": "base"}, headers={"X-API-Key": KEY}).status == 201)


@test
def many_at_once_all_come_up_and_go(s):
    s.close()
    s.__init__(s.program, max_sandboxes=40)
    made, failed = [], []

    def one():
        try:
            made.append(s.create())
        except Exception as e:
            failed.append(e)
    threads = [threading.Thread(target=one) for _ in range(40)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed and len(set(made)) == 40, failed
    assert len(s.api("GET", "/v2/sandboxes").json) == 40
    threads = [threading.Thread(target=s.api, args=("DELETE", "/sandboxes/" + i)) for i in made]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert s.api("GET", "/v2/sandboxes").json == [] and not s.warden.sandboxes


# --- the process ---


@test
def it_has_no_privilege_and_its_files_are_its_own(s):
    with open(f"/proc/{s.child.pid}/status") as f:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
    assert status["Uid"].split() == [str(s.uid)] * 4, status["Uid"]
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"] == "1"
    if os.geteuid() == 0:
        assert status["Gid"].split() == [str(s.uid)] * 4 and status["Groups"].strip() == ""
        assert int(status["CapBnd"], 16) == 0
    assert os.stat(f"/proc/{s.child.pid}/environ").st_uid == 0, "others of its uid can look into its memory"
    db = os.path.join(s.state, "db")
    assert os.stat(db).st_mode & 0o777 == 0o700 and os.stat(db).st_uid == s.uid


@test
def the_key_and_the_tokens_are_in_no_log_and_the_key_in_no_database(s):
    r = s.api("POST", "/v2/sandboxes", {"templateID": "base"})
    s.api("GET", "/x%0Alevel=error%20event=forged")
    s.api("DELETE", "/sandboxes/" + r.json["sandboxID"])
    s.stop()
    log = s.text()
    assert KEY not in log and r.json["envdAccessToken"] not in log
    assert not re.search("^level=error", log, re.M)
    for name in os.listdir(os.path.join(s.state, "db")):
        with open(os.path.join(s.state, "db", name), "rb") as f:
            data = f.read()
        assert KEY.encode() not in data, name
        assert name.endswith("-wal") or r.json["envdAccessToken"].encode() not in data, "the token of an ended sandbox is kept"


@test
def a_new_bootstrap_key_replaces_the_old_one(s):
    s.stop()
    other = "e2b_" + "deadbeef" * 5
    with open(s.key_file, "w") as f:
        f.write(other + "\n")
    s.start()
    assert s.api("GET", "/v2/sandboxes").status == 401
    assert s.http("GET", "/v2/sandboxes", headers={"X-API-Key": other}).status == 200


@test
def wrong_usage_ends_with_2_and_failures_with_1_and_say_what_to_do(s):
    run = lambda *args: subprocess.run([s.program, *args], capture_output=True, text=True, timeout=20)
    r = run("--help")
    assert r.returncode == 0 and "--state" in r.stdout and r.stderr == ""
    assert run("--version").stdout.startswith("e2b-sandbox ")
    for args, words in ((["--fly"], "--fly"), (["--state"], "needs a value"), (["--state", "/x"], "--run is missing"), (["--listen", "nowhere"], "ADDRESS:PORT"),
                        (["--uid", "0"], "--uid"), (["--state", "relative"], "absolute"), (["--log-level", "loud"], "error, warn")):
        r = run(*args)
        assert r.returncode == 2 and words in r.stderr and r.stdout == "", (args, r)
    r = run("--state", s.state, "--run", s.run, "--listen", f"127.0.0.1:{s.port}")
    assert r.returncode == 1 and f"listen on 127.0.0.1 port {s.port}: Address already in use" in r.stderr, r


def become_nobody():
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)


def main():
    program, names = os.path.abspath(sys.argv[1]), sys.argv[2:]
    if "--as-nobody" in names:
        names.remove("--as-nobody")
        if os.geteuid() != 0:
            print("1..0 # SKIP needs root to become somebody else")
            return
        become_nobody()
    chosen = [t for t in tests if not names or any(n in t.__name__ for n in names)]
    print(f"1..{len(chosen)}", flush=True)
    for number, t in enumerate(chosen, 1):
        service = None
        try:
            service = Service(program)
            t(service)
            print(f"ok {number} - {t.__name__}", flush=True)
        except Exception:
            print(f"not ok {number} - {t.__name__}")
            for line in (traceback.format_exc() + (service.text()[-1500:] if service else "")).splitlines():
                print("# " + line)
            sys.stdout.flush()
        finally:
            if service:
                service.close()


main()
