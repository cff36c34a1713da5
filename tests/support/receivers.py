"""A webhook on loopback, for tests of what is sent to people and to watchers."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WAIT = 20.0
"""Seconds a test waits for another thread before it fails; none waits that long when all is well."""


class Receiver:
    """A webhook on loopback that answers as told and remembers what it was sent."""

    def __init__(self) -> None:
        self.payloads: list[dict[str, str]] = []
        self.statuses: list[int] = []
        self.arrived = threading.Semaphore(0)
        self.may_answer = threading.Event()
        self.may_answer.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.payloads.append(json.loads(body))
                receiver.arrived.release()
                receiver.may_answer.wait(WAIT)
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                """Keep the test output clean."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        self.url = f"json://127.0.0.1:{self.server.server_address[1]}/s3cret-path"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.may_answer.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(WAIT)
