# SPDX-License-Identifier: Apache-2.0
"""The servers that headers are set for. origin.py DIR certificates: makes an authority and certificates of servers in DIR; origin.py DIR serve:
HTTP and HTTPS on the addresses below. Each request is a line of JSON in DIR/origin.log."""
import json
import socket
import ssl
import subprocess
import sys
import threading
import time

directory, mode = sys.argv[1], sys.argv[2]
HOSTS = {"9.9.9.21": "api.example", "9.9.9.22": "other.example", "9.9.9.23": "selfsigned.example", "9.9.9.24": "wrong.example", "9.9.9.26": "old.example"}


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, capture_output=True)


def make_certificates():
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *key, "-days", "2", "-subj", "/CN=authority", "-keyout", f"{directory}/ca.key", "-out", f"{directory}/ca.pem")
    for host in HOSTS.values():
        name = "quite.another.example" if host == "wrong.example" else host
        with open(f"{directory}/{host}.ext", "w", encoding="ascii") as f:
            f.write(f"subjectAltName=DNS:{name},DNS:*.{name}\n")
        if host == "selfsigned.example":
            openssl("req", "-x509", *key, "-days", "2", "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}", "-keyout",
                    f"{directory}/{host}.key", "-out", f"{directory}/{host}.pem")
            continue
        openssl("req", "-new", *key, "-subj", f"/CN={host}", "-keyout", f"{directory}/{host}.key", "-out", f"{directory}/{host}.csr")
        days = "-1" if host == "old.example" else "2"
        openssl("x509", "-req", "-in", f"{directory}/{host}.csr", "-CA", f"{directory}/ca.pem", "-CAkey", f"{directory}/ca.key", "-days", days,
                "-extfile", f"{directory}/{host}.ext", "-out", f"{directory}/{host}.pem")


def read_head(c, data):
    while b"\r\n\r\n" not in data:
        more = c.recv(65536)
        if not more:
            return None, b""
        data += more
    head, rest = data.split(b"\r\n\r\n", 1)
    return head.decode("latin-1").split("\r\n"), rest


def read_body(c, data, fields):
    if "content-length" in fields:
        n = int(fields["content-length"])
        while len(data) < n:
            data += c.recv(65536)
        return data[:n], data[n:]
    body = b""
    if fields.get("transfer-encoding", "") == "chunked":
        while True:
            while b"\r\n" not in data:
                data += c.recv(65536)
            line, data = data.split(b"\r\n", 1)
            n = int(line.split(b";")[0], 16)
            while len(data) < n + 2:
                data += c.recv(65536)
            body, data = body + data[:n], data[n + 2:]
            if n == 0:
                break
    return body, data


def answer(c, address, secure, target):
    if target == "/redirect":
        c.sendall(f"HTTP/1.1 302 Found\r\nLocation: {'https' if secure else 'http'}://other.example/landed\r\nContent-Length: 0\r\n\r\n".encode())
        return
    body = b"x" * 5000000 if target == "/large" else b"served by " + address.encode()
    c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Origin: yes\r\n\r\n" % len(body) + body)


def serve_one(c, record, address, secure):
    data = b""
    while True:
        lines, data = read_head(c, data)
        if lines is None:
            return
        headers = [[line.split(":", 1)[0], line.split(":", 1)[1].strip()] for line in lines[1:]]
        fields = {k.lower(): v for k, v in headers}
        if fields.get("expect", "") == "100-continue":
            c.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if fields.get("upgrade", "") == "websocket":
            print(json.dumps({"to": address, "secure": secure, "line": lines[0], "headers": headers}), file=record)
            c.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
            while True:
                got = c.recv(1000)
                if not got:
                    return
                c.sendall(b"echo " + got)
        body, data = read_body(c, data, fields)
        print(json.dumps({"to": address, "secure": secure, "line": lines[0], "headers": headers, "body": len(body)}), file=record)
        answer(c, address, secure, lines[0].split(" ")[1])


def accept(server, record, address, context):
    def one(c):
        try:
            c.settimeout(20)
            if context:
                c = context.wrap_socket(c, server_side=True)
            serve_one(c, record, address, context is not None)
        except (OSError, ValueError):
            pass
        finally:
            c.close()
    while True:
        c, _ = server.accept()
        threading.Thread(target=one, args=(c,), daemon=True).start()


def main():
    if mode == "certificates":
        make_certificates()
        return
    with open(f"{directory}/origin.log", "a", buffering=1, encoding="ascii") as record:
        for address, host in HOSTS.items():
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(f"{directory}/{host}.pem", f"{directory}/{host}.key")
            context.set_alpn_protocols(["h2", "http/1.1"])
            for port, use in ((80, None), (443, context)):
                server = socket.create_server((address, port), backlog=200)
                threading.Thread(target=accept, args=(server, record, address, use), daemon=True).start()
        print("ready", file=record)
        while True:
            time.sleep(3600)


main()
