#!/usr/bin/env python3
"""Measures the requests per second of a prediction server: serve.py URL PHOTO [SECONDS].

Each client sends the photo repeatedly over one connection. Start the server with `lucida serve MODEL`. The clients run on
the same machine, so the results include their own time.
"""

import socket
import statistics
import sys
import threading
import time


def client(host, port, request, until, times, failures):
    with socket.create_connection((host, port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while (start := time.perf_counter()) < until:
            connection.sendall(request)
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += connection.recv(65536)
            head, body = answer.split(b"\r\n\r\n", 1)
            length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            while len(body) < length:
                body += connection.recv(65536)
            (times if b" 200 " in head[:15] else failures).append(time.perf_counter() - start)


def main():
    url, photo = sys.argv[1:3]
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 5.0
    host, port = url.removeprefix("http://").rstrip("/").split(":")
    with open(photo, "rb") as file:
        body = file.read()
    head = f"POST /predict HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(body)}\r\n\r\n"
    request = head.encode() + body
    print("clients  requests/s  median ms  99 % ms  refused")
    for clients in (1, 4, 16, 64):
        times, failures = [], []
        until = time.perf_counter() + seconds
        arguments = (host, int(port), request, until, times, failures)
        threads = [threading.Thread(target=client, args=arguments) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        median = 1000 * statistics.median(times)
        late = 1000 * sorted(times)[int(0.99 * (len(times) - 1))]
        print(f"{clients:7}  {len(times) / seconds:10.1f}  {median:9.1f}  {late:7.1f}  {len(failures):7}")


if __name__ == "__main__":
    main()
