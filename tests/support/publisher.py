"""A publisher of checkpoints on loopback: it speaks to the Hugging Face, ModelScope and GitHub clients, with faults."""

import contextlib
import hashlib
import json
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def blob(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Publisher:
    """One repository, `acme/voice`, with `files` (path -> bytes).

    Files of 1 kB and more are LFS files; a CDN path serves them after a redirect. Faults: `cut` (path -> bytes after
    which each answer breaks off), `served` (path -> bytes that differ from those listed), `gated`, `token`,
    `deaf_to_range`, `failing` (a number of answers that are 503), `stuck` (path -> bytes after which the first answer
    waits for `released`).
    """

    def __init__(self):
        self.files = {}
        self.served = {}
        self.cut = {}
        self.gated = False
        self.token = None
        self.deaf_to_range = False
        self.failing = 0
        self.stuck = {}
        self.released = threading.Event()
        self.asked = []  # (path of the URL, Range header or None, authorised)
        self.url = ""

    def ranges(self, name):
        """Return the Range headers of the requests for a file, in order."""
        return [wanted for path, wanted, _ in self.asked if path.startswith("/cdn/") and path.endswith(f"/{name}")]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        publisher = self.server.publisher
        url = urlsplit(self.path)
        path, query = unquote(url.path), parse_qs(url.query)
        given = {self.headers.get("Authorization"), self.headers.get("Cookie")}
        allowed = bool({f"Bearer {publisher.token}", f"m_session_id={publisher.token}"} & given)
        publisher.asked.append((path, self.headers.get("Range"), allowed))
        if path.startswith("/cdn/"):
            return self.data(path.removeprefix("/cdn/acme/voice/"))
        if found := re.fullmatch(r"/api/models/([\w./-]+?)(?:/revision/(.+))?", path):
            return self.huggingface(found[1], found[2] or "main")
        if found := re.fullmatch(r"/acme/voice/resolve/([^/]+)/(.+)", path):
            return self.resolve(found[1], found[2], allowed)
        if found := re.fullmatch(r"/api/v1/models/(.+)/repo/files", path):
            return self.modelscope(found[1], query["Revision"][0])
        if path == "/api/v1/models/acme/voice/repo":
            assert query["Revision"] == ["master"]
            if self.server.publisher.gated and not allowed:
                return self.answer(403, b"{}")
            return self.redirect(query["FilePath"][0])
        if path == f"/repos/acme/voice/git/trees/{COMMIT}":
            return self.github_tree()
        if (found := re.fullmatch(r"/repos/acme/voice/contents/(.+)", path)) and query["ref"] == [COMMIT]:
            assert self.headers["Accept"] == "application/vnd.github.raw"
            return self.data(found[1])
        return self.answer(404, b"{}")

    def github_tree(self):
        files = self.server.publisher.files.items()
        tree = [{"path": name, "type": "blob", "size": len(data), "sha": blob(data)} for name, data in files]
        body = {"sha": COMMIT, "tree": [{"path": "weights", "type": "tree", "sha": COMMIT}, *tree], "truncated": False}
        return self.answer(200, json.dumps(body).encode())

    def huggingface(self, repository, revision):
        if repository != "acme/voice":
            return self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        if revision not in ("main", COMMIT):
            return self.answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        siblings = []
        for name, data in self.server.publisher.files.items():
            one = {"rfilename": name, "size": len(data), "blobId": blob(data)}
            if len(data) >= 1000:
                one["lfs"] = {"sha256": sha256(data), "size": len(data), "pointerSize": 134}
            siblings.append(one)
        assert "blobs=True" in self.path or "blobs=true" in self.path
        body = {"_id": "1", "id": repository, "modelId": repository, "sha": COMMIT, "siblings": siblings}
        return self.answer(200, json.dumps({**body, "private": False, "tags": [], "downloads": 0, "likes": 0}).encode())

    def resolve(self, revision, name, allowed):
        assert revision == COMMIT  # the exact commit that was listed
        data = self.server.publisher.files.get(name)
        if self.server.publisher.gated and not allowed:
            return self.answer(403, b"", {"X-Error-Code": "GatedRepo"})
        if data is None:
            return self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{blob(data)}"', "X-Linked-Size": str(len(data))}
        return self.redirect(name, headers)

    def modelscope(self, repository, revision):
        if repository != "acme/voice" or revision != "master":
            return self.answer(404, json.dumps({"Code": 10990101, "Message": "not found", "Data": None}).encode())
        files = [
            {"Path": name.split("/")[0], "Name": "folder", "Type": "tree", "Size": 0}
            for name in self.server.publisher.files
            if "/" in name
        ]
        files += [
            {"Path": name, "Name": name.split("/")[-1], "Type": "blob", "Size": len(data), "Sha256": sha256(data)}
            for name, data in self.server.publisher.files.items()
        ]
        return self.answer(200, json.dumps({"Code": 200, "Data": {"Files": files}, "Success": True}).encode())

    def redirect(self, name, headers={}):  # noqa: B006
        self.answer(302, b"", {**headers, "Location": f"{self.server.publisher.cdn}/cdn/acme/voice/{name}"})

    def data(self, name):
        publisher = self.server.publisher
        if publisher.failing:
            publisher.failing -= 1
            return self.answer(503, b"later")
        data, status, headers = publisher.served.get(name, publisher.files[name]), 200, {}
        total = len(data)
        wanted = self.headers.get("Range")
        if wanted and not publisher.deaf_to_range:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            data, status = data[start:], 206
            headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
        self.answer(status, data, headers, cut=publisher.cut.get(name), stuck=publisher.stuck.pop(name, None))

    def answer(self, status, body, headers={}, cut=None, stuck=None):  # noqa: B006
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if stuck is not None:
            self.wfile.write(body[:stuck])
            self.wfile.flush()
            self.server.publisher.released.wait()
            self.close_connection = True
            return
        self.wfile.write(body[:cut])
        if cut is not None and cut < len(body):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True


@contextlib.contextmanager
def publishing():
    """Run a publisher at `url`, and at `cdn`, which counts as another host, for its redirects."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.publisher = publisher = Publisher()
    publisher.url = f"http://127.0.0.1:{server.server_port}"
    publisher.cdn = f"http://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield publisher
    finally:
        publisher.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
