# SPDX-License-Identifier: Apache-2.0
"""Runs inside of a sandbox: probe.py < flows.json > results.json. Each flow is one attempt; its result is one word or line that says exactly
how it ended: what the other side said, or the name of the error."""
import errno
import json
import os
import socket
import ssl
import struct
import sys
import time

LIMIT = 4
names = {"ECONNREFUSED": "refused", "ECONNRESET": "reset", "EHOSTUNREACH": "prohibited", "EACCES": "prohibited", "ENETUNREACH": "unreachable",
         "EPERM": "EPERM"}


def stream(f):
    s = socket.socket(socket.AF_INET6 if ":" in f["to"] else socket.AF_INET, socket.SOCK_STREAM)
    s.settimeout(f.get("limit", LIMIT))
    if "source" in f:
        s.bind((f["source"], 0))
    s.connect((f["to"], f["port"]))
    return s


def tcp(f):
    s = stream(f)
    if "say" in f:
        s.sendall(bytes.fromhex(f["say"]))
    return s.recv(200).decode("latin-1").strip() or "closed"


def tls(f):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    s = context.wrap_socket(stream(f), server_hostname=f.get("sni"))
    return s.recv(200).decode().strip() or "closed"


def read_answer(s):
    data = b""
    while b"\r\n\r\n" not in data:
        more = s.recv(1000)
        if not more:
            return "closed"
        data += more
    head, body = data.split(b"\r\n\r\n", 1)
    length = int([line[15:] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")][0])
    while len(body) < length:
        body += s.recv(1000)
    return head.split(b" ")[1].decode() + " " + body.decode()


def http(f):
    """Sends the requests one after the other on one connection; the results joined."""
    s, out = stream(f), []
    for request in f["requests"]:
        s.sendall(request.encode("latin-1"))
        try:
            out.append(read_answer(s))
        except OSError as e:
            out.append(name_of(e))
            break
    return "; ".join(out)


def udp(f):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(f.get("limit", LIMIT))
    if "source" in f:
        s.bind((f["source"], 0))
    s.connect((f["to"], f["port"]))
    s.send(b"x")
    return s.recv(200).decode("latin-1").strip()


def query(name, kind):
    labels = b"".join(bytes([len(label)]) + label for label in name.encode("latin-1").split(b"."))
    return struct.pack(">HHHHHH", 77, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)


def read_dns(data):
    rcode, count = data[3] & 15, struct.unpack(">H", data[6:8])[0]
    word = {0: "ok", 1: "formerr", 2: "servfail", 3: "nxdomain", 4: "notimp", 5: "refused"}[rcode]
    addresses = [socket.inet_ntoa(data[i - 4:i]) for i in range(len(data), len(data) - 16 * count, -16)] if rcode == 0 else []
    return " ".join([word] + sorted(addresses))


def dns(f):
    to, message = f.get("to", "169.254.169.253"), query(f["name"], f.get("kind", 1))
    if f.get("stream"):
        s = socket.create_connection((to, 53), f.get("limit", LIMIT))
        s.sendall(struct.pack(">H", len(message)) + message)
        return read_dns(s.recv(2000)[2:])
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(f.get("limit", LIMIT))
    s.connect((to, 53))
    s.send(message)
    return read_dns(s.recv(2000))


def flood(f):
    """Unique names as fast as they go: how many were answered otherwise than 'refused'."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(1)
    s.connect(("169.254.169.253", 53))
    answered = 0
    for i in range(f["n"]):
        s.send(query(f"{i}{f['suffix']}", 1))
        try:
            answered += read_dns(s.recv(2000)) != "refused"
        except OSError:
            pass
    return str(answered)


def blast(f):
    """Datagrams as fast as they go, without looking for answers."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect((f["to"], f["port"]))
    sent = 0
    for _ in range(f["n"]):
        try:
            sent += s.send(b"x" * 1400) > 0
        except OSError:
            pass
    return "sent" if sent > f["n"] / 2 else f"only {sent}"


def churn(f):
    """Connections that are closed at once: how many there could be."""
    made = 0
    for _ in range(f["n"]):
        try:
            s = stream(f)
            s.recv(100)
            s.close()
            made += 1
        except OSError:
            pass
    return str(made)


def many(f):
    """Connections that are kept open: how many there can be."""
    kept = []
    for _ in range(f["n"]):
        try:
            kept.append(stream(f))
        except OSError as e:
            return f"{len(kept)} then {name_of(e)}"
    return f"{len(kept)} all"


def resolve(f):
    try:
        return " ".join(sorted({a[4][0] for a in socket.getaddrinfo(f["name"], 80, type=socket.SOCK_STREAM)}))
    except socket.gaierror as e:
        return {socket.EAI_AGAIN: "refused", socket.EAI_NONAME: "no such name"}.get(e.errno, str(e))


def ping(f):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    s.settimeout(f.get("limit", LIMIT))
    s.connect((f["to"], 0))
    s.send(struct.pack(">BBHHH", 8, 0, 0, 1, 1) + b"x" * 16)
    s.recv(200)
    return "answered"


def protocol(f):
    s = socket.socket(socket.AF_INET, f["type"], f["number"])
    s.settimeout(LIMIT)
    s.connect((f["to"], f["port"]))
    return "open"


def metadata(f):
    headers = "".join(f"{k}: {v}\r\n" for k, v in f.get("headers", {}).items())
    s = stream({"to": f.get("to", "169.254.169.254"), "port": 80})
    s.sendall(f"{f.get('method', 'GET')} {f['path']} HTTP/1.1\r\nHost: 169.254.169.254\r\n{headers}\r\n".encode())
    data = b""
    while True:
        more = s.recv(4000)
        if not more:
            break
        data += more
    head, body = data.split(b"\r\n\r\n", 1)
    allow = [line for line in head.split(b"\r\n") if line.lower().startswith(b"allow:")]
    return " ".join([head.split(b" ")[1].decode()] + [a.decode() for a in allow] + ([body.decode()] if f.get("body") else []))


def name_of(e):
    if isinstance(e, (socket.timeout, TimeoutError)):
        return "timeout"
    if isinstance(e, ssl.SSLEOFError):
        return "closed"
    word = errno.errorcode.get(e.errno or 0, type(e).__name__)
    return names.get(word, word)


def run(f):
    time.sleep(f.get("pause", 0))
    try:
        return globals()[f["kind_of"]](f)
    except OSError as e:
        return name_of(e)
    except Exception as e:  # a mistake of the probe's is no result
        return f"{type(e).__name__}: {e}"


print(json.dumps([run(f) for f in json.load(open(sys.argv[1]))]))
sys.stdout.flush()
os._exit(0)
