#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The command line against a small fake of the API, in TAP. Usage: test_cli.py PATH-OF-FIREBREAK"""
import base64
import http.server
import json
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
import types

FIREBREAK = os.path.abspath(sys.argv[1])
KEY = "e2b_" + "0" * 40
COMMANDS = ["up", "run", "ps", "info", "kill", "template", "key", "token", "doctor", "check-invariants", "audit", "secrets", "completion", "version"]


def envelope(message, flags=0):
    body = json.dumps(message).encode()
    return struct.pack(">BI", flags, len(body)) + body


def event(**kind):
    return envelope({"event": kind})


def data(stream, text):
    return event(data={stream: base64.b64encode(text).decode()})


END_OF_STREAM = envelope({}, 2)
START = event(start={"pid": 7})


def exited(code):
    return event(end={"exitCode": code, "exited": True, "status": f"exit status {code}"}) + END_OF_STREAM


class Fake:
    """What the API answers, and what it was asked."""

    def __init__(self):
        self.requests = []  # (method, path, headers, body)
        self.stream = [START, data("stdout", b"out\n"), data("stderr", b"err\n"), exited(0)]
        self.chunk = None  # bytes written at once; None: a message
        self.create_status = 201
        self.create = {"sandboxID": "i0123456789abcdefghi", "envdAccessToken": "token", "templateID": "base"}
        self.upload_status = 200
        self.pages = [[]]
        self.unknown = set()
        self.hang = threading.Event()  # set: the stream stays open after its last message
        self.streaming = threading.Event()
        self.closed = threading.Event()
        self.detail = {"sandboxID": "i0123456789abcdefghi", "envdAccessToken": "secret-token", "state": "running",
                       "isolation": {"kind": "jail", "why": "no /dev/kvm", "layers": [{"name": "seccomp", "on": True}]}}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self, status, body=None, headers=()):
                raw = b"" if body is None else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                for name, value in headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(raw)

            def chunked(self, raw):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(raw), raw))
                self.wfile.flush()

            def handle_any(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                outer.requests.append((self.command, self.path, dict(self.headers), body))
                path = self.path.partition("?")[0]
                if path == "/v2/sandboxes" and self.command == "POST":
                    return self.answer(outer.create_status, outer.create)
                if path == "/v2/sandboxes":
                    match = re.search(r"nextToken=p(\d+)", self.path)
                    page = int(match[1]) if match else 0
                    more = [("X-Next-Token", f"p{page + 1}")] if page + 1 < len(outer.pages) else []
                    return self.answer(200, outer.pages[page], more)
                if path == "/files":
                    return self.answer(outer.upload_status, [{"path": "/x"}] if outer.upload_status == 200
                                       else {"code": outer.upload_status, "message": "not enough disk space available"})
                if path == "/process.Process/Start":
                    return self.start()
                if path.startswith("/sandboxes/"):
                    if path.split("/")[2] in outer.unknown:
                        return self.answer(404, {"code": 404, "message": "Sandbox \"x\" doesn't exist\x1b[31m"})
                    return self.answer(204) if self.command == "DELETE" else self.answer(200, outer.detail)
                return self.answer(404, {"code": 404, "message": "no such path"})

            do_GET = do_POST = do_DELETE = handle_any

            def start(self):
                self.send_response(200)
                self.send_header("Content-Type", "application/connect+json")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                whole = b"".join(outer.stream)
                for part in ([whole[i:i + outer.chunk] for i in range(0, len(whole), outer.chunk)]
                             if outer.chunk else outer.stream):
                    self.chunked(part)
                outer.streaming.set()
                if outer.hang.is_set():
                    self.connection.recv(1)  # returns when the client goes
                    outer.closed.set()
                    self.close_connection = True
                    return
                self.chunked(b"")

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # clients go away: that is what some tests are about
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def asked(self, method, prefix):
        return [r for r in self.requests if r[0] == method and r[1].startswith(prefix)]

    def was_killed(self):
        return len(self.asked("DELETE", "/sandboxes/i0123456789abcdefghi")) == 1


def environment(fake=None, **more):
    env = {"PATH": os.environ["PATH"], "TERM": "xterm", "FIREBREAK_RUN": "/nonexistent/run",
           "FIREBREAK_STATE": "/nonexistent/state"}
    if fake:
        env |= {"E2B_API_URL": fake.url, "E2B_API_KEY": KEY}
    return env | more


def cli(*args, fake=None, stdin=b"", env=None, **more):
    return subprocess.run([FIREBREAK, *args], input=stdin, capture_output=True, timeout=30, check=False,
                          env=env or environment(fake), **more)


def equal(got, want):
    assert got == want, f"got {got!r}, want {want!r}"


def has(text, part):
    assert part in text, f"{part!r} is not in {text!r}"


def has_not(text, part):
    assert part not in text, f"{part!r} is in {text!r}"


# --- arguments ---

def every_command_explains_itself(_):
    for name in COMMANDS:
        for args in ([name, "--help"], [name, "-h"], ["help", name]):
            r = cli(*args)
            equal(r.returncode, 0)
            has(r.stdout.decode(), f"Usage: firebreak {name}")
            equal(r.stderr, b"")


def the_list_of_commands_is_complete(_):
    r = cli("--help")
    equal(r.returncode, 0)
    for name in COMMANDS:
        has(r.stdout.decode(), f"\n  {name} ")


def wrong_usage_exits_with_2_and_says_where_help_is(_):
    wrong = [[], ["nonsense"], ["run"], ["run", "--nonsense", "x.py"], ["run", "-c"], ["run", "--timeout", "0", "x.py"],
             ["run", "--timeout", "1e3", "x.py"], ["run", "--lang", "cobol", "-c", "1"], ["ps", "extra"], ["kill"],
             ["kill", "--all", "i1"], ["kill", "../x"], ["info"], ["info", "a", "b"], ["info", "A/../b"], ["template"],
             ["template", "nonsense"], ["key"], ["key", "x"], ["key", "revoke"], ["key", "revoke", "../x"], ["key", "issue", "--expires", "soon"], ["token"], ["token", "x"], ["token", "issue"], ["token", "issue", "--user", "a b"], ["token", "issue", "--user", "a", "--ttl", "2h"], ["token", "issue", "--user", "a", "--cap", "fly"], ["token", "revoke"], ["token", "revoke", "a", "--user", "b"], ["token", "trust", "--from", "x", "--alg", "HS256"], ["template", "ls", "x"], ["doctor", "x"], ["check-invariants", "x"], ["audit"], ["secrets"], ["secrets", "encrypt"], ["secrets", "encrypt", "not a name"], ["secrets", "lint"], ["audit", "x"], ["audit", "export"], ["audit", "query", "--since", "x"], ["check-invariants", "--settle-ms", "-1"], ["completion", "fish"], ["version", "x"],
             ["up", "x"], ["up", "--max-sandboxes", "0"], ["up", "--instance", "UPPER"], ["up", "--listen", "nowhere"],
             ["up", "--listen", "localhost:1"], ["up", "--listen", "127.0.0.1:65536"], ["up", "--listen", "1.2.3:4"], ["up", "--state", "relative"],
             ["ps", "--run", "/" + "x" * 100]]
    for args in wrong:
        r = cli(*args)
        equal((args, r.returncode, r.stdout), (args, 2, b""))
        has(r.stderr.decode(), "firebreak")


def a_control_character_in_an_argument_does_not_reach_the_terminal(_):
    for args in (["no\x1b[31m"], ["ps", "a\x1b[31m"]):
        has_not(cli(*args).stderr, b"\x1b")


def up_asks_for_root(_):
    if os.geteuid() != 0:
        r = cli("up")
    else:
        # The build tree may be closed to others: run a copy from where everyone may read.
        with tempfile.TemporaryDirectory() as d:
            os.chmod(d, 0o755)
            copy = os.path.join(d, "firebreak")
            with open(FIREBREAK, "rb") as a, open(copy, "wb") as b:
                b.write(a.read())
            os.chmod(copy, 0o755)
            r = subprocess.run([copy, "up"], capture_output=True, timeout=30, check=False, user=65534, group=65534,
                               extra_groups=[], env=environment())
    equal(r.returncode, 1)
    has(r.stderr.decode(), "needs root")
    has(r.stderr.decode(), "sudo firebreak up")


def completion_for_bash_is_valid_bash(_):
    r = cli("completion", "bash")
    equal(r.returncode, 0)
    equal(subprocess.run(["bash", "-n"], input=r.stdout, check=False).returncode, 0)
    has(cli("completion", "zsh").stdout.decode(), "#compdef firebreak")


def doctor_prints_facts_and_one_verdict(_):
    r = cli("doctor", "--json")
    report = json.loads(r.stdout)
    equal(r.returncode, 0 if report["ok"] else 1)
    assert {"kernel", "namespaces", "overlayfs", "erofs", "seccomp", "landlock", "kvm", "cgroup_memory",
            "swap"} <= {c["id"] for c in report["checks"]}
    assert all(c["status"] in ("PASS", "WARN", "FAIL") and c["evidence"] for c in report["checks"])
    equal(report["ok"], not any(c["status"] == "FAIL" for c in report["checks"]))
    has_not(cli("doctor").stdout, b"\x1b")  # not a terminal: no colour


# --- run ---

def output_is_passed_on_and_the_status_is_the_programs(fake):
    fake.stream = [START, data("stdout", b"a\n"), event(keepalive={}), data("stderr", b"b\n"), data("stdout", b"c\n"),
                   exited(3)]
    r = cli("run", "-c", "code", fake=fake)
    equal((r.returncode, r.stdout, r.stderr), (3, b"a\nc\n", b"b\n"))
    assert fake.was_killed()


def messages_may_be_cut_anywhere(fake):
    fake.chunk = 1
    r = cli("run", "-c", "code", fake=fake)
    equal((r.returncode, r.stdout, r.stderr), (0, b"out\n", b"err\n"))


def bytes_that_are_no_text_pass_unchanged(fake):
    raw = bytes(range(256)) * 300
    fake.stream = [START, data("stdout", raw), exited(0)]
    equal(cli("run", "-c", "code", fake=fake).stdout, raw)


def a_signal_gives_the_status_a_shell_gives(fake):
    fake.stream = [START, event(end={"exitCode": -1, "status": "signal: killed", "error": "signal: killed"}) + END_OF_STREAM]
    r = cli("run", "-c", "code", fake=fake)
    equal(r.returncode, 137)
    has(r.stderr.decode(), "signal: killed")


def json_gives_one_object(fake):
    fake.stream = [START, data("stdout", b"a\xff\n"), data("stderr", b"b\n"), exited(5)]
    r = cli("run", "--json", "-c", "code", fake=fake)
    equal(r.returncode, 5)
    result = json.loads(r.stdout)
    equal(list(result), ["sandbox_id", "stdout", "stderr", "exit_code", "duration_ms", "isolation"])
    equal((result["stdout"], result["stderr"], result["exit_code"]), ("a\ufffd\n", "b\n", 5))
    equal(result["isolation"]["kind"], "jail")
    assert fake.was_killed()


def code_is_passed_as_an_argument(fake):
    for lang, program, flag in (("python", "python3", "-c"), ("javascript", "node", "-e")):
        fake.requests.clear()
        cli("run", "--lang", lang, "-c", "a b", "--", "x", "-y", fake=fake)
        sent = json.loads(fake.asked("POST", "/process.Process/Start")[0][3][5:])
        equal(sent["process"]["cmd"], program)
        equal(sent["process"]["args"], [flag, "a b", "x", "-y"])
        equal(sent["stdin"], False)


def bash_code_gets_its_arguments_from_1_on(fake):
    cli("run", "--lang", "bash", "-c", "echo $1", "--", "x", fake=fake)
    sent = json.loads(fake.asked("POST", "/process.Process/Start")[0][3][5:])
    equal(sent["process"]["args"], ["-c", "echo $1", "bash", "x"])


def requests_carry_what_the_wire_asks_for(fake):
    cli("run", "--timeout", "7", "--template", "mine", "-c", "code", fake=fake)
    create = fake.asked("POST", "/v2/sandboxes")[0]
    equal(create[2]["X-API-Key"], KEY)
    equal(json.loads(create[3]), {"templateID": "mine", "timeout": 37})
    start = fake.asked("POST", "/process.Process/Start")[0][2]
    equal((start["E2b-Sandbox-Id"], start["E2b-Sandbox-Port"]), ("i0123456789abcdefghi", "49983"))
    equal((start["X-Access-Token"], start["Connect-Timeout-Ms"]), ("token", "7000"))
    equal(start["Content-Type"], "application/connect+json")
    assert "X-API-Key" not in start


def a_file_is_uploaded_and_run_under_its_name(fake):
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "a b.py")
        with open(path, "wb") as f:
            f.write(b"print(1)\n")
        r = cli("run", path, "--", "arg", fake=fake)
    equal(r.returncode, 0)
    upload = fake.asked("POST", "/files")[0]
    equal(upload[1], "/files?path=%2Fhome%2Fuser%2Fa%20b.py")
    equal((upload[2]["Content-Type"], upload[3]), ("application/octet-stream", b"print(1)\n"))
    sent = json.loads(fake.asked("POST", "/process.Process/Start")[0][3][5:])
    equal((sent["process"]["cmd"], sent["process"]["args"]), ("python3", ["/home/user/a b.py", "arg"]))


def standard_input_is_a_program_whose_first_line_tells_its_language(fake):
    cli("run", "-", stdin=b"#!/usr/bin/env node\n1\n", fake=fake)
    sent = json.loads(fake.asked("POST", "/process.Process/Start")[0][3][5:])
    equal((sent["process"]["cmd"], sent["process"]["args"]), ("node", ["/home/user/main.js"]))


def a_file_of_unknown_language_is_wrong_usage_and_makes_no_sandbox(fake):
    with tempfile.NamedTemporaryFile(suffix=".xyz") as f:
        r = cli("run", f.name, fake=fake)
    equal((r.returncode, fake.requests), (2, []))
    has(r.stderr.decode(), "--lang")


def a_missing_file_makes_no_sandbox(fake):
    r = cli("run", "/nonexistent.py", fake=fake)
    equal((r.returncode, fake.requests), (1, []))
    has(r.stderr.decode(), "No such file")


def the_sandbox_is_killed_when_the_upload_fails(fake):
    fake.upload_status = 507
    r = cli("run", "-", stdin=b"1", fake=fake)
    equal(r.returncode, 1)
    has(r.stderr.decode(), "not enough disk space available")
    assert fake.was_killed()


def the_sandbox_is_killed_when_the_stream_breaks_off(fake):
    for broken in ([START], [START, END_OF_STREAM], [b"\1\0\0\0\2{}"], [b"\0\xff\xff\xff\xff"], [envelope([]) * 2],
                   [START, event(end={"exitCode": "x"})]):
        fake.requests.clear()
        fake.stream = broken
        r = cli("run", "-c", "code", fake=fake)
        equal((broken, r.returncode), (broken, 1))
        assert fake.was_killed()


def an_error_at_the_end_of_the_stream_is_told(fake):
    fake.stream = [envelope({"error": {"code": "invalid_argument", "message": "no such \x1b[31mprogram"}}, 2)]
    r = cli("run", "-c", "code", fake=fake)
    equal(r.returncode, 1)
    has(r.stderr.decode(), "invalid_argument: no such ?[31mprogram")


def the_deadline_gives_status_124(fake):
    fake.stream = [START, envelope({"error": {"code": "deadline_exceeded", "message": "context deadline exceeded"}}, 2)]
    r = cli("run", "-c", "code", fake=fake)
    equal(r.returncode, 124)
    has(r.stderr.decode(), "--timeout")
    assert fake.was_killed()


def ctrl_c_kills_the_sandbox(fake):
    for number in (signal.SIGINT, signal.SIGTERM):
        fake.requests.clear()
        fake.streaming.clear()
        fake.closed.clear()
        fake.hang.set()
        fake.stream = [START, data("stdout", b"x")]
        with subprocess.Popen([FIREBREAK, "run", "-c", "code"], env=environment(fake), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as p:
            equal(p.stdout.read(1), b"x")
            p.send_signal(number)
            _, err = p.communicate(timeout=30)
        equal(p.returncode, 128 + number)
        has(err.decode(), "the sandbox was killed")
        assert fake.closed.wait(10)
        assert fake.was_killed()


def a_reader_that_goes_away_ends_the_run_and_the_sandbox(fake):
    fake.stream = [START] + [data("stdout", b"x" * 30000)] * 50 + [exited(0)]
    with subprocess.Popen([FIREBREAK, "run", "-c", "code"], env=environment(fake), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as p:
        p.stdout.read(1)
        p.stdout.close()
        equal(p.wait(30), 141)
        equal(p.stderr.read(), b"")
    assert fake.was_killed()


def a_refused_create_is_told_with_the_servers_words(fake):
    fake.create_status, fake.create = 404, {"code": 404, "message": "template 'x' not found"}
    r = cli("run", "--template", "x", "-c", "1", fake=fake)
    equal(r.returncode, 1)
    has(r.stderr.decode(), "template 'x' not found")
    equal(len(fake.requests), 1)


def an_id_that_is_none_is_refused(fake):
    for bad in ("../../x", "", "A", 7, None, "x" * 100):
        fake.create = {"sandboxID": bad}
        equal(cli("run", "-c", "1", fake=fake).returncode, 1)


def without_a_server_the_message_says_how_to_start_one(fake):
    url = fake.url
    fake.close()
    fake.server = None
    r = cli("run", "-c", "1", env=environment(E2B_API_URL=url, E2B_API_KEY=KEY))
    equal(r.returncode, 1)
    has(r.stderr.decode(), "sudo firebreak up")


def without_a_key_the_message_says_where_it_was_looked_for(fake):
    r = cli("ps", env=environment(E2B_API_URL=fake.url))
    equal((r.returncode, fake.requests), (1, []))
    has(r.stderr.decode(), "/nonexistent/state/api.key")
    has(r.stderr.decode(), "E2B_API_KEY")


def url_and_key_are_found_where_up_left_them(fake):
    with tempfile.TemporaryDirectory() as d:
        for name, text in (("api.url", fake.url + "\n"), ("api.key", KEY + "\n")):
            with open(os.path.join(d, name), "w", encoding="ascii") as f:
                f.write(text)
        r = cli("ps", "--run", d, "--state", d)
    equal(r.returncode, 0)
    equal(fake.requests[0][2]["X-API-Key"], KEY)


# --- the others ---

def row(number, **more):
    return {"sandboxID": f"i{number:019d}", "templateID": "base", "state": "running", "cpuCount": 2, "memoryMB": 2048,
            "startedAt": "2026-01-01T00:00:00Z", "endAt": "2026-01-01T01:00:00Z"} | more


def ps_lists_every_page(fake):
    fake.pages = [[row(1), row(2)], [row(3, isolation={"kind": "jail"}, templateID="evil\x1b[31m")]]
    r = cli("ps", fake=fake)
    equal(r.returncode, 0)
    for n in (1, 2, 3):
        has(r.stdout.decode(), f"i{n:019d}")
    has(r.stdout.decode(), "jail")
    has_not(r.stdout, b"\x1b")
    equal(len(json.loads(cli("ps", "--json", fake=fake).stdout)), 3)


def ps_says_when_there_is_nothing(fake):
    equal(cli("ps", fake=fake).stdout, b"no sandbox is running\n")
    equal(json.loads(cli("ps", "--json", fake=fake).stdout), [])


def kill_ends_each_that_is_named(fake):
    r = cli("kill", "i1", "i2", fake=fake)
    equal((r.returncode, r.stdout), (0, b"killed i1\nkilled i2\n"))
    equal([p[1] for p in fake.asked("DELETE", "/")], ["/sandboxes/i1", "/sandboxes/i2"])


def kill_of_an_unknown_one_fails_and_the_others_are_killed(fake):
    fake.unknown = {"i1"}
    r = cli("kill", "i1", "i2", fake=fake)
    equal((r.returncode, r.stdout), (1, b"killed i2\n"))
    has(r.stderr.decode(), "doesn't exist")
    has_not(r.stderr, b"\x1b")


def kill_all_ends_every_page(fake):
    fake.pages = [[row(1), row(2)], [row(3)]]
    r = cli("kill", "--all", fake=fake)
    equal(r.returncode, 0)
    equal(len(fake.asked("DELETE", "/sandboxes/")), 3)


def info_shows_the_isolation_and_hides_the_token(fake):
    for args in (["info"], ["info", "--json"]):
        r = cli(*args, "i0123456789abcdefghi", fake=fake)
        equal(r.returncode, 0)
        has(r.stdout.decode(), "no /dev/kvm")
        has(r.stdout.decode(), "seccomp")
        has_not(r.stdout, b"secret-token")


def template_ls_works_without_an_instance(_):
    with tempfile.TemporaryDirectory() as d:
        os.mkdir(os.path.join(d, "templates"))
        has(cli("template", "ls", "--state", d).stdout.decode(), "template build")
        with open(os.path.join(d, "templates", "base.json"), "w", encoding="ascii") as f:
            json.dump({"name": "base", "digest": "ab" * 32, "bytes": 5 << 20, "createdAt": "2026-01-01T00:00:00Z"}, f)
        r = cli("template", "ls", "--state", d)
        equal(r.returncode, 1)
        has(r.stderr.decode(), "template 'base': its image is missing or cut short")
        with open(os.path.join(d, "templates", "ab" * 32 + ".erofs"), "wb") as f:
            f.truncate(5 << 20)
        r = cli("template", "ls", "--state", d)
    equal(r.returncode, 0)
    has(r.stdout.decode(), "abababababab")


def template_build_is_handed_to_its_script_with_its_arguments(_):
    r = cli("template", "build", "--help")
    equal(r.returncode, 0)
    has(r.stdout.decode(), "Usage: firebreak template build")
    with tempfile.TemporaryDirectory() as d:
        state = os.path.join(d, "state")
        for args, status in ((["--nonsense"], 2), (["--name"], 2), (["--name", "Not/A/Name"], 1), (["--mirror", "no url"], 1)):
            r = cli("template", "build", "--state", state, *args)
            equal((args, r.returncode), (args, status))
            has(r.stderr.decode(), "firebreak: template")
        assert not os.path.exists(state)


def a_full_disk_is_a_failure(_):
    with open("/dev/full", "wb") as full:
        r = subprocess.run([FIREBREAK, "version"], stdout=full, stderr=subprocess.PIPE, env=environment(), check=False)
    equal(r.returncode, 1)
    has(r.stderr.decode(), "No space left")


def main():
    # A test is a function whose one argument is the fake ("_" if it asks nothing of it).
    tests = [f for f in globals().values() if isinstance(f, types.FunctionType)
             and f.__code__.co_varnames[:f.__code__.co_argcount] in (("fake",), ("_",)) and not f.__defaults__]
    failed = 0
    print(f"1..{len(tests)}")
    for number, test in enumerate(tests, 1):
        fake = Fake()
        try:
            test(fake)
            print(f"ok {number} - {test.__name__}", flush=True)
        except Exception:  # pylint: disable=broad-except
            failed += 1
            print(f"not ok {number} - {test.__name__}")
            print("".join(f"# {line}\n" for line in traceback.format_exc().splitlines()), end="", flush=True)
        finally:
            if fake.server:
                fake.close()
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
