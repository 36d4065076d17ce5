# SPDX-License-Identifier: Apache-2.0
"""The world outside of a sandbox, for tests: runs in a network namespace that has the addresses.

internet.py DIR MODE ADDRESS...: MODE "world" serves names, TLS, HTTP and echoes on every address; MODE "plain" echoes only (a LAN, a host,
a metadata service). What arrives is written to DIR/MODE.log, one line each, so that a test can tell "refused" from "arrived and was refused there"."""
import socket
import ssl
import struct
import sys
import threading
import time

directory, mode, addresses = sys.argv[1], sys.argv[2], sys.argv[3:]
record = open(f"{directory}/{mode}.log", "a", buffering=1)

NAMES = {
    "good.example": ["9.9.9.2"], "www.good.example": ["9.9.9.2"], "a.wild.example": ["9.9.9.5"], "b.a.wild.example": ["9.9.9.5"],
    "wild.example": ["9.9.9.5"], "cdn.example": ["9.9.9.4"], "evil.example": ["9.9.9.3"], "evil-on-cdn.example": ["9.9.9.4"],
    "rebind.example": ["10.77.0.1"], "rebind2.example": ["169.254.169.254"], "rebind3.example": ["127.0.0.1"],
    "hosted.example": ["9.9.9.1"], "mixed.example": ["9.9.9.6", "10.77.0.1"], "git.example": ["9.9.9.7"], "open.example": ["9.9.9.8"],
    "second.example": ["9.9.9.2"], "sandbox.example": ["198.18.0.2"], "cut.example": ["9.9.9.12"], "metadata.google.internal": ["169.254.169.254"],
    "api.example": ["9.9.9.21"], "sub.api.example": ["9.9.9.21"], "other.example": ["9.9.9.22"], "selfsigned.example": ["9.9.9.23"],
    "wrong.example": ["9.9.9.24"], "silent.example": ["9.9.9.25"], "old.example": ["9.9.9.26"], "shared.example": ["9.9.9.21"], "huge.example": ["9.9.9.27"] * 90 + ["9.9.9.28"],
}
ALIASES = {"alias.example": "target.evil.example", "target.evil.example": None}
NAMES["target.evil.example"] = ["9.9.9.9"]


def note(*words):
    print(*words, file=record)


def encode(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def answer(query, stream=False):
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1"))
        at += 1 + query[at]
    kind = struct.unpack(">H", query[at + 1:at + 3])[0]
    name, question = ".".join(labels).lower(), query[12:at + 5]
    note("dns", name, kind)
    records, owner = b"", b"\xc0\x0c"
    if name == "huge.example" and not stream:  # its answer does not fit a datagram
        return query[:2] + struct.pack(">HHHHH", 0x8380, 1, 0, 0, 0) + question
    final = name
    if ALIASES.get(name):
        final = ALIASES[name]
        target = encode(final)
        records += owner + struct.pack(">HHIH", 5, 1, 60, len(target)) + target
        owner = target
    addresses = NAMES.get(final, []) if kind == 1 else []
    for a in addresses:
        records += owner + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(a)
    count = len(addresses) + (final != name)
    rcode = 0 if final in NAMES else 3
    return query[:2] + struct.pack(">HHHHH", 0x8180 | rcode, 1, count, 0, 0) + question + records


def each(server, handle):
    def one(c):
        try:
            c.settimeout(5)
            handle(c)
        except (OSError, ssl.SSLError):
            pass
        finally:
            c.close()
    while True:
        c, peer = server.accept()
        note("tcp", "%s:%d" % c.getsockname(), "from", peer[0])
        threading.Thread(target=one, args=(c,), daemon=True).start()


def banner(c):
    c.sendall(b"hello from %s:%d\n" % (c.getsockname()[0].encode(), c.getsockname()[1]))
    while True:  # a connection that stays is echoed on
        data = c.recv(1000)
        if not data:
            return
        c.sendall(b"echo " + data)


def http(c):
    data = b""
    while True:
        while b"\r\n\r\n" not in data:
            more = c.recv(4000)
            if not more:
                return
            data += more
        head, data = data.split(b"\r\n\r\n", 1)
        host = [line[5:].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"host:")]
        length = [int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        while length and len(data) < length[0]:
            data += c.recv(4000)
        data = data[length[0]:] if length else data
        note("http", host)
        body = b"http " + (host or [b"-"])[0]
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def tls(c):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{directory}/cert.pem")
    seen = []
    context.sni_callback = lambda s, name, ctx: seen.append(name)
    s = context.wrap_socket(c, server_side=True)
    note("tls", seen)
    s.sendall(b"tls %s\n" % (seen[0] or "-").encode())
    while True:
        data = s.recv(1000)
        if not data:
            return
        s.sendall(b"echo " + data)


def dns_stream(c):
    n = struct.unpack(">H", c.recv(2))[0]
    a = answer(c.recv(n), stream=True)
    c.sendall(struct.pack(">H", len(a)) + a)


def datagrams(s, handle):
    while True:
        data, peer = s.recvfrom(4000)
        try:
            s.sendto(handle(s, data), peer)
        except (OSError, IndexError):
            pass


def echo(s, data):
    note("udp", "%s:%d" % s.getsockname())
    return b"echo " + data


def serve(address, port, handle):
    threading.Thread(target=each, args=(socket.create_server((address, port), backlog=200), handle), daemon=True).start()


def serve_datagrams(address, port, handle):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, port))
    threading.Thread(target=datagrams, args=(s, handle), daemon=True).start()


for address in addresses:
    for port in (22, 25, 853, 5432, 8080, 8443):
        serve(address, port, banner)
    if mode == "world":
        serve(address, 80, http)
        serve(address, 443, tls)
        serve(address, 53, dns_stream)
        serve_datagrams(address, 53, lambda s, data: answer(data))
    else:
        serve(address, 80, banner)
        serve(address, 443, banner)
        serve_datagrams(address, 53, echo)
    for port in (123, 443, 5000):
        serve_datagrams(address, port, echo)
note("ready")
while True:
    time.sleep(3600)
