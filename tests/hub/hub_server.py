"""A small hub on this machine: the parts of the Hugging Face Hub's interface that huggingface_hub uses here.

Repositories of models in memory, with commits, tags and branches. Files whose names end in ``.safetensors``
go the way of large ones, as on the hub: by Git LFS' batch interface upwards, through a redirect downwards.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest

TOKEN = "hf_of_the_tests"
EXPIRED = "hf_expired"


@dataclass
class Repository:
    """Commits by name, each with its files, and the commits that branches and tags stand for."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Adds files to a branch."""
        whole = {**self.commits.get(self.refs.get(branch, ""), {}), **files}
        name = secrets.token_hex(20)
        self.commits[name] = whole
        self.refs[branch] = name
        return name


class Hub(ThreadingHTTPServer):
    """The server; `repositories` and `asked`, every request in words, are there to be looked at."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.down = False  # answers nothing

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def store(self) -> str:
        """Where large files are: on the hub, too, that is another host."""
        return f"http://localhost:{self.server_port}/large"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


@contextmanager
def serving(home):
    """A hub, which HF_ENDPOINT names, and a home of its own for huggingface_hub.

    That package is imported anew inside, as it reads its environment once.
    """
    environment = {"HF_HOME": str(home), "HF_TOKEN": TOKEN}
    environment |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    with Hub() as hub, pytest.MonkeyPatch.context() as patch:
        for name, value in {**environment, "HF_ENDPOINT": hub.url}.items():
            patch.setenv(name, value)
        for name in _modules():
            patch.delitem(sys.modules, name)
        yield hub
        for name in _modules():
            del sys.modules[name]


def _modules():
    return [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def _answer(self):
        if self.server.down:
            self.close_connection = True
            return None
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(f"{self.command} {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = self._chunks()
        if self.headers.get("Authorization") == f"Bearer {EXPIRED}":
            return self._send(401, error="Invalid credentials in Authorization header")
        for pattern, answer in ROUTES:
            if found := re.fullmatch(pattern, f"{self.command} {path}"):
                if pattern.startswith(("POST", "PUT")) and "/large/" not in path and not self._known():
                    return self._send(401, error="Invalid username or password.")
                return answer(self, body, *found.groups())
        return self._send(404, error=f"no such part: {path}")

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _send(self, status: int, content=None, *, error: str = "", code: str = "", **headers):
        data = content if isinstance(content, bytes) else json.dumps(content or {"error": error}).encode()
        self.send_response(status)
        if error:
            self.send_header("X-Error-Message", error)
        if code:
            self.send_header("X-Error-Code", code)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _commit_of(self, repository: str, revision: str) -> tuple[Repository, str] | None:
        """A repository and a commit in it; None, after an answer that says why, without."""
        found = self.server.repositories.get(repository)
        if found is None or (found.private and not self._known()):
            self._send(404, error="Repository not found", code="RepoNotFound")
        elif found.gated:
            self._send(403, error=f"Access to model {repository} is restricted.", code="GatedRepo")
        elif (commit := found.refs.get(revision, revision)) not in found.commits:
            self._send(404, error=f"Invalid rev id: {revision}", code="RevisionNotFound")
        else:
            return found, commit
        return None

    # ---- downloads

    def resolve(self, _, repository, revision, file):
        if (at := self._commit_of(repository, revision)) is None:
            return
        files, commit = at[0].commits[at[1]], at[1]
        if file not in files:
            self._send(404, error="Entry not found", code="EntryNotFound", X_Repo_Commit=commit)
        elif file.endswith(".safetensors"):
            digest = hashlib.sha256(files[file]).hexdigest()
            self.server.large[digest] = files[file]
            linked = {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(files[file]))}
            location = f"{self.server.store}/{digest}"
            self._send(302, b"", Location=location, X_Repo_Commit=commit, **linked)
        else:
            digest = hashlib.sha1(files[file]).hexdigest()
            self._send(200, files[file], ETag=f'"{digest}"', X_Repo_Commit=commit)

    def large(self, _, digest):
        self._send(200, self.server.large[digest], ETag=f'"{digest}"')

    # ---- uploads

    def create(self, body, *_):
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        there = name in self.server.repositories
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        made = self.server.repositories.setdefault(name, Repository(private))
        if not there:
            made.commit({".gitattributes": b""})
        url = {"url": f"{self.server.url}/{name}"}
        self._send(409 if there else 200, url, error="You already created this model repo" if there else "")

    def validate(self, body):
        text = json.loads(body)["content"]
        bad = not re.match(r"---\n(?:[a-z_]+:.*\n(?:- .*\n)*)+---\n", text)
        self._send(200, {"errors": [{"message": "no metadata"}] if bad else [], "warnings": []})

    def preupload(self, body, *_):
        modes = [
            {
                "path": f["path"],
                "uploadMode": "lfs" if f["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
            }
            for f in json.loads(body)["files"]
        ]
        self._send(200, {"files": modes})

    def batch(self, body, _):
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.server.store}/{one['oid']}"}}}
            for one in json.loads(body)["objects"]
        ]
        self._send(200, {"transfer": "basic", "objects": objects})

    def put_large(self, body, digest):
        right = hashlib.sha256(body).hexdigest() == digest
        self.server.large[digest] = body
        self._send(200 if right else 422, {"ok": right})

    def commit(self, body, repository, branch):
        files = {}
        for line in body.decode().splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
        name = self.server.repositories[repository].commit(files, branch)
        page = f"{self.server.url}/{repository}/commit/{name}"
        self._send(200, {"success": True, "commitUrl": page, "commitOid": name})


_REPOSITORY = r"([^/]+/[^/]+)"
ROUTES = [
    (rf"(?:GET|HEAD) /{_REPOSITORY}/resolve/([^/]+)/(.+)", Handler.resolve),
    (r"GET /large/(\w+)", Handler.large),
    (r"PUT /large/(\w+)", Handler.put_large),
    (r"POST /api/repos/create", Handler.create),
    (r"POST /api/validate-yaml", Handler.validate),
    (rf"POST /api/models/{_REPOSITORY}/preupload/(.+)", Handler.preupload),
    (rf"POST /{_REPOSITORY}\.git/info/lfs/objects/batch", Handler.batch),
    (rf"POST /api/models/{_REPOSITORY}/commit/(.+)", Handler.commit),
]
