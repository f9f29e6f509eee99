"""A stand-in for the Hugging Face Hub: as much of its API as an upload uses (git-lfs "basic" for large files)."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

LARGE = (".safetensors", ".gguf")
COMMIT = "0" * 40


@dataclass
class Hub:
    """What was uploaded, by repository and path. Requests without `token` are refused."""

    token: str
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.middleware("http")
        async def authorised(request: Request, call_next: Any) -> Any:
            if request.headers.get("authorization") != f"Bearer {self.token}" and not request.url.path.startswith("/objects/"):
                return JSONResponse({"error": "Invalid user token."}, 401)
            return await call_next(request)

        @app.post("/api/repos/create")
        async def create(request: Request) -> Any:
            body = await request.json()
            name = f"{body['organization'] or 'me'}/{body['name']}"
            address = {"url": str(request.url.replace(path=f"/{name}")), "name": name}
            if name in self.files:
                return JSONResponse(address, 409)
            self.files[name], self.private[name] = {}, body.get("visibility") == "private" or bool(body.get("private"))
            return address

        @app.post("/api/validate-yaml")
        async def valid(request: Request) -> Any:
            content = (await request.json())["content"]
            return {"errors": [] if content.startswith("---\n") else [{"message": "no metadata"}], "warnings": []}

        @app.post("/api/models/{owner}/{name}/preupload/{revision}")
        async def before(request: Request) -> Any:
            paths = [one["path"] for one in (await request.json())["files"]]
            modes = {path: "lfs" if path.endswith(LARGE) else "regular" for path in paths}
            return {"files": [{"path": path, "uploadMode": mode, "shouldIgnore": False} for path, mode in modes.items()]}

        @app.post("/{owner}/{name}.git/info/lfs/objects/batch")
        async def batch(request: Request) -> Any:
            wanted = (await request.json())["objects"]
            base = str(request.base_url)
            actions = [{"upload": {"href": f"{base}objects/{one['oid']}"}} for one in wanted]
            return {
                "transfer": "basic",
                "objects": [{**one, "actions": action} for one, action in zip(wanted, actions, strict=True)],
            }

        @app.put("/objects/{oid}")
        async def put(oid: str, request: Request) -> Any:
            content = await request.body()
            assert hashlib.sha256(content).hexdigest() == oid
            self.objects[oid] = content
            return {}

        @app.post("/api/models/{owner}/{name}/commit/{revision}")
        async def commit(owner: str, name: str, request: Request) -> Any:
            repository = self.files[f"{owner}/{name}"]
            for line in (await request.body()).splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    repository[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
                elif entry["key"] == "lfsFile":
                    repository[entry["value"]["path"]] = self.objects[entry["value"]["oid"]]
            return {"success": True, "commitOid": COMMIT, "commitUrl": f"{request.base_url}{owner}/{name}/commit/{COMMIT}"}

        return app
