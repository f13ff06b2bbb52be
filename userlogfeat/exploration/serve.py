"""A page and the audio of its clips, on this machine's own network alone.

Files are served by their number, so nothing but the clips of the page can be asked for;
and only to requests that name this machine, so that no other page can ask.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from mimetypes import guess_type
from pathlib import Path
from typing import Any

_AUDIO = re.compile(r"/audio/(\d{1,9})")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_BLOCK = 1 << 16  # bytes written at once
# What other systems' tables of types lack.
_TYPES = {".flac": "audio/flac", ".ogg": "audio/ogg", ".wav": "audio/wav"}


def make_server(html: str, files: Sequence[str], port: int = 0) -> ThreadingHTTPServer:
    """Make a server on 127.0.0.1; its `serve_forever` serves.

    Parameters
    ----------
    html : str
    files : sequence of str
        Paths of the audio, by the number in its URL.
    port : int
        0 takes one that is free: ``server.server_port``.

    Returns
    -------
    ThreadingHTTPServer
    """
    page = html.encode("utf-8", "xmlcharrefreplace")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            port = self.server.server_address[1]
            own = {f"127.0.0.1:{port}", f"localhost:{port}"}
            audio = _AUDIO.fullmatch(self.path)
            if self.headers.get("Host") not in own:
                self.send_error(403)
            elif self.path == "/":
                self._send(200, "text/html; charset=utf-8", len(page))
                self.wfile.write(page)
            elif audio and int(audio[1]) < len(files):
                self._send_file(files[int(audio[1])])
            else:
                self.send_error(404)

        def _send(self, code: int, type: str, length: int, **headers: Any) -> None:
            self.send_response(code)
            self.send_header("Content-Type", type)
            self.send_header("Content-Length", str(length))
            self.send_header("X-Content-Type-Options", "nosniff")
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()

        def _send_file(self, name: str) -> None:
            try:
                file = open(name, "rb")
            except OSError:
                self.send_error(404)
                return
            with file:
                size = os.fstat(file.fileno()).st_size
                start, stop = _asked(self.headers.get("Range"), size)
                if start >= stop:
                    self.send_error(416)
                    return
                part = {"Accept_Ranges": "bytes"}
                if (start, stop) != (0, size):
                    part["Content_Range"] = f"bytes {start}-{stop - 1}/{size}"
                suffix = Path(name).suffix.lower()
                type = _TYPES.get(suffix) or guess_type(name)[0] or "audio/mpeg"
                self._send(206 if len(part) > 1 else 200, type, stop - start, **part)
                file.seek(start)
                left = stop - start
                while left and (block := file.read(min(_BLOCK, left))):
                    self.wfile.write(block)
                    left -= len(block)

        def log_message(self, *args: Any) -> None:
            """Print nothing."""

        def handle(self) -> None:
            try:
                super().handle()
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the browser wants no more

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    return server


def _asked(header, size):
    """First byte and the one after the last, of a request for part of a file."""
    asked = _RANGE.fullmatch(header or "")
    if not asked or asked[0] == "bytes=-":
        return 0, size
    first, last = asked.groups()
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1 if last else size)
