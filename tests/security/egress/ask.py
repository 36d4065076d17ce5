# SPDX-License-Identifier: Apache-2.0
"""Runs inside of a sandbox: ask.py FLOWS.json. Each flow is one exchange; its result is one line that says exactly how it ended. Trust is what
Python takes by itself: nothing here knows of a certificate authority."""
import http.client
import json
import os
import socket
import ssl
import sys
import urllib.error
import urllib.request

LIMIT = 8


def raw(f):
    """Bytes as they are, in TLS if there is a name for it: what comes back, as text."""
    s = socket.create_connection((f["to"], f["port"]), LIMIT)
    if "sni" in f:
        context = ssl.create_default_context()
        context.check_hostname = f.get("check", True)
        if "alpn" in f:
            context.set_alpn_protocols(f["alpn"])
        if not f.get("verify", True):
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        s = context.wrap_socket(s, server_hostname=f["sni"])
    got = b""
    for say in f["say"]:
        s.sendall(say.encode("latin-1"))
        s.settimeout(f.get("limit", 2))
        try:
            while True:
                more = s.recv(65536)
                if not more:
                    return got.decode("latin-1") + "|closed"
                got += more
        except TimeoutError:
            pass
    return got.decode("latin-1") + "|open"


def issuer(f):
    context = ssl.create_default_context()
    with context.wrap_socket(socket.create_connection((f["to"], 443), LIMIT), server_hostname=f["sni"]) as s:
        cert = s.getpeercert()
        return dict(x[0] for x in cert["issuer"])["commonName"] + "; " + str(s.selected_alpn_protocol())


def many(f):
    """Several requests on one connection: statuses."""
    c = (http.client.HTTPSConnection if f.get("secure") else http.client.HTTPConnection)(f["host"], timeout=LIMIT)
    out = []
    for path in f["paths"]:
        c.request("POST" if f.get("body") else "GET", path, body=f.get("body"), headers=f.get("headers", {}))
        r = c.getresponse()
        out.append(f"{r.status} {len(r.read())}")
    return "; ".join(out)


def hold(f):
    """Connections that stay: how many there can be."""
    kept = []
    for _ in range(f["n"]):
        try:
            s = ssl.create_default_context().wrap_socket(socket.create_connection((f["to"], 443), LIMIT), server_hostname=f["sni"])
            s.sendall(f"GET /held HTTP/1.1\r\nHost: {f['sni']}\r\n\r\n".encode())
            if not s.recv(100):
                break
            kept.append(s)
        except OSError:
            break
    return str(len(kept))


def url(f):
    request = urllib.request.Request(f["url"], data=f["body"].encode() if "body" in f else None, headers=f.get("headers", {}), method=f.get("method"))
    with urllib.request.urlopen(request, timeout=LIMIT) as r:
        return f"{r.status} {r.read()[:200].decode()}"


def run(f):
    try:
        return {"raw": raw, "issuer": issuer, "many": many, "hold": hold, "url": url}[f["kind"]](f)
    except urllib.error.HTTPError as e:
        return f"{e.code} {e.read()[:300].decode()}"
    except urllib.error.URLError as e:
        return f"{type(e.reason).__name__}: {e.reason}"
    except Exception as e:
        return f"{type(e).__name__}: {e}"


print(json.dumps([run(f) for f in json.load(open(sys.argv[1], encoding="utf-8"))]))
sys.stdout.flush()
os._exit(0)
