# SPDX-License-Identifier: Apache-2.0
"""A warden, monitors and envds that are not there: the real SEQPACKET protocols (lib/ipc), and a small HTTP server for each sandbox.

Everything runs in threads of the test's process, so that it outlives the program under test, as real sandboxes do."""
import array
import base64
import ctypes
import ctypes
import errno
import hashlib
import http.server
import json
import os
import socket
import struct
import threading
import time

WARDEN = struct.Struct("=IIQiIII24s32sQQQIIQIIQ4IQQQ")
MONITOR = struct.Struct("=IIQiIQ9QIIQQII")
assert WARDEN.size == 184 and MONITOR.size == 136
VERSION, LIST_ROWS = 2, 64
HELLO, SPAWN, KILL, OPEN, LIST, ROW, EXITED = range(1, 8)
CONNECT, FREEZE, THAW, STATS, SET_DEADLINE, MONITOR_KILL = range(1, 7)
CAUSE_KILLED, CAUSE_TIMEOUT, CAUSE_AGENT_EXIT, CAUSE_OOM, CAUSE_MONITOR_LOST = range(1, 6)
CLOCK_BOOTTIME = 7


def boot_ns():
    return time.clock_gettime_ns(CLOCK_BOOTTIME)


class Message:
    fields = ("type", "version", "request_id", "status", "step", "cause", "host_uid", "id", "image", "memory_bytes",
              "disk_bytes", "disk_inodes", "cpu_millis", "pids", "deadline_ns", "n_sandboxes", "max_sandboxes", "monitor_pid",
              "profile", "flags", "cpu_shares", "reserved", "io_bytes_per_s", "oom_kills", "tripwires")

    def __init__(self, data=bytes(WARDEN.size)):
        for name, value in zip(self.fields, WARDEN.unpack(data)):
            setattr(self, name, value)

    def pack(self):
        return WARDEN.pack(*(getattr(self, name) for name in self.fields))


def send(sock, data, fd=None):
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))] if fd is not None else []
    sock.sendmsg([data], rights)


class Envd(http.server.BaseHTTPRequestHandler):
    """What a sandbox answers: enough of envd, and an echo."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            whole = b""
            while n := int(self.rfile.readline(), 16):
                whole += self.rfile.read(n)
                self.rfile.readline()
            self.rfile.readline()
            return whole
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_POST(self):
        sandbox, body = self.server.sandbox, self.body()
        if self.path == "/init":
            sandbox.inits.append(json.loads(body))
            self.answer(*sandbox.init_answer)
        elif self.path == "/warm":
            sandbox.warms.append(json.loads(body))
            self.answer(204)
        elif self.path == "/echo":
            self.answer(200, body)
        else:
            self.do_GET()

    def do_GET(self):
        if self.path == "/health":
            self.answer(204)
        elif self.path == "/slow":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for text in (b"one", b"two"):
                self.wfile.write(b"3\r\n" + text + b"\r\n")
                time.sleep(0.35)
            self.wfile.write(b"0\r\n\r\n")
        elif self.path == "/hold":
            self.server.sandbox.held.wait(30)
            self.answer(200, b"let go")
        elif self.headers.get("Upgrade") == "websocket":
            key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
            self.send_response(101)
            for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(self.rfile.read(5))
            self.close_connection = True
        else:
            seen = {"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}, "sandbox": self.server.sandbox.id}
            self.answer(200, json.dumps(seen).encode(), [("Content-Type", "application/json")])

    do_PUT = do_OPTIONS = do_GET


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass


class Sandbox:
    def __init__(self, warden, message, slot):
        self.warden, self.id = warden, message.id.rstrip(b"\0").decode()
        self.message, self.deadline_ns = message, message.deadline_ns
        self.host_uid = 268435456 + slot * 65536
        self.inits, self.warms, self.init_answer = [], [], warden.init_answer
        self.held = threading.Event()
        self.ended = False
        self.frozen_answers = False  # a monitor that hangs
        self.passes_no_tcp = False  # one that has been taken over
        self.clients = []
        self.http = Server(("127.0.0.1", 0), Envd)
        self.http.sandbox = self
        self.ports = {49983: self.http.server_port, 8000: self.http.server_port}
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()
        threading.Thread(target=self.watch_deadline, daemon=True).start()

    def watch_deadline(self):
        while not self.ended:
            if boot_ns() >= self.deadline_ns:
                self.warden.end(self.id, CAUSE_TIMEOUT)
            time.sleep(0.01)

    def open_monitor(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.clients.append(ours)
        threading.Thread(target=self.serve, args=(ours,), daemon=True).start()
        return theirs

    def serve(self, sock):
        try:
            while data := sock.recv(MONITOR.size + 1):
                self.answer(sock, list(MONITOR.unpack(data)))
        except (OSError, struct.error):
            pass
        sock.close()

    def answer(self, sock, m):
        while self.frozen_answers:
            time.sleep(0.01)
        kind, port, fd = m[0], m[4], None
        if kind == CONNECT:
            fd = socket.socket()
            try:
                if self.passes_no_tcp:
                    fd, self.other_end = socket.socketpair()
                    raise ConnectionAbortedError
                fd.connect(("127.0.0.1", self.ports[port]))
                fd.setblocking(False)
            except ConnectionAbortedError:
                pass
            except (KeyError, OSError):
                m[3], fd = -errno.ECONNREFUSED, None
        elif kind == STATS:
            m[6:15] = [50 << 20, 60 << 20, 512 << 20, int(time.process_time() * 1e6), 3, 0, 1 << 20, 1 << 30, self.deadline_ns]
            m[15], m[16] = 0, os.getpid()
        elif kind == SET_DEADLINE:
            self.deadline_ns = m[5]
        send(sock, MONITOR.pack(*m), fd.fileno() if fd else None)
        if fd:
            fd.close()
        if kind == MONITOR_KILL:
            self.warden.end(self.id, CAUSE_KILLED)

    def stop(self):
        self.ended = True
        self.held.set()
        for sock in self.clients:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        threading.Thread(target=self.http.shutdown, daemon=True).start()
        self.http.server_close()


class Warden:
    def __init__(self, run_dir, api_uid, max_sandboxes=64):
        self.path, self.api_uid, self.max_sandboxes = os.path.join(run_dir, "warden.sock"), api_uid, max_sandboxes
        self.lock = threading.RLock()
        self.sandboxes, self.clients, self.slots = {}, [], 0
        self.spawns, self.kills = [], []
        self.version = VERSION
        self.spawn_answer = None  # (status, step): what SPAWN fails with
        self.init_answer = (204,)
        self.listener = None
        self.start()

    def start(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(self.path)
        os.chmod(self.path, 0o600)
        if os.geteuid() == 0:
            os.chown(self.path, self.api_uid, self.api_uid)
        self.listener.listen(8)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def stop(self):
        """As kill -9 would: connections break, sandboxes live on."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        os.unlink(self.path)
        with self.lock:
            clients, self.clients = self.clients, []
        for c in clients:
            try:
                c.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def accept(self, listener):
        try:
            while True:
                client, _ = listener.accept()
                with self.lock:
                    self.clients.append(client)
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()
        except OSError:
            pass

    def serve(self, client):
        try:
            while data := client.recv(WARDEN.size + 1):
                if self.version != VERSION:  # its messages have another size, too
                    client.send(data[:4] + struct.pack("I", self.version) + data[8:] + bytes(8))
                    return
                self.answer(client, Message(data))
        except (OSError, struct.error):
            pass
        with self.lock:
            if client in self.clients:
                self.clients.remove(client)
        client.close()

    def answer(self, client, m):
        name = m.id.rstrip(b"\0").decode()
        with self.lock:
            if m.type == HELLO:
                m.n_sandboxes, m.max_sandboxes = len(self.sandboxes), self.max_sandboxes
                send(client, m.pack())
            elif m.type == SPAWN:
                self.spawn(client, m, name)
            elif m.type == KILL:
                self.kills.append(name)
                m.status = 0 if name in self.sandboxes else -errno.ENOENT
                self.end(name, CAUSE_KILLED)
                send(client, m.pack())
            elif m.type == OPEN:
                self.open(client, m, name)
            elif m.type == LIST:
                self.list(client, m)

    def spawn(self, client, m, name):
        self.spawns.append(Message(m.pack()))
        if self.spawn_answer or len(self.sandboxes) >= self.max_sandboxes:
            m.status, m.step = self.spawn_answer or (-errno.EAGAIN, 0)
            send(client, m.pack())
            return
        self.slots += 1
        sandbox = self.sandboxes[name] = Sandbox(self, m, self.slots)
        m.host_uid, m.monitor_pid = sandbox.host_uid, os.getpid()
        fd = sandbox.open_monitor()
        send(client, m.pack(), fd.fileno())
        fd.close()

    def open(self, client, m, name):
        if name not in self.sandboxes:
            m.status = -errno.ENOENT
            send(client, m.pack())
            return
        fd = self.sandboxes[name].open_monitor()
        send(client, m.pack(), fd.fileno())
        fd.close()

    def list(self, client, m):
        first = m.n_sandboxes  # here a slot is the place in the list
        rows = list(self.sandboxes.values())[first : first + LIST_ROWS]
        for sandbox in rows:
            row = Message(sandbox.message.pack())
            row.type, row.request_id, row.status, row.host_uid = ROW, m.request_id, 0, sandbox.host_uid
            send(client, row.pack())
        m.n_sandboxes = len(rows)
        m.max_sandboxes = first + LIST_ROWS if len(self.sandboxes) > first + LIST_ROWS else 0
        send(client, m.pack())

    def end(self, name, cause):
        with self.lock:
            sandbox = self.sandboxes.pop(name, None)
            if not sandbox:
                return
            sandbox.stop()
            m = Message()
            m.type, m.version, m.cause, m.id = EXITED, VERSION, cause, name.encode().ljust(24, b"\0")
            for client in list(self.clients):
                try:
                    send(client, m.pack())
                except OSError:
                    pass

    def end_all(self):
        for name in list(self.sandboxes):
            self.end(name, CAUSE_KILLED)


PRCTL = ctypes.CDLL(None).prctl


def die_with_parent():
    """For preexec_fn: whatever happens to the test, the program under test does not stay behind."""
    PRCTL(1, 9)
