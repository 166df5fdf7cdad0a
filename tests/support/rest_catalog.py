"""An Iceberg REST catalog on loopback: the protocol's calls that a lake makes, kept by SQLite.

with RestCatalogServer(tmp_path / "catalog.db") as server:
    load_catalog("any", type="rest", uri=server.url)
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pyiceberg.catalog.rest import CreateTableRequest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.table import CommitTableRequest

Answer = tuple[int, dict[str, Any]]
_FAULTS: dict[type[Exception], int] = {
    NoSuchTableError: 404,
    NamespaceAlreadyExistsError: 409,
    TableAlreadyExistsError: 409,
    CommitFailedException: 409,
}


class RestCatalogServer:
    """Serves one catalog until the `with` block ends."""

    def __init__(self, database: Path) -> None:
        self._catalog = SqlCatalog("kept", uri=f"sqlite:///{database}")
        self._mutex = threading.Lock()
        handle = self._handle

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                status, body = handle(self.command, self.path, self.rfile.read(size))
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> RestCatalogServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._catalog.close()

    def _handle(self, method: str, path: str, body: bytes) -> Answer:
        routes: dict[str, Callable[..., Answer]] = {
            r"GET /v1/config.*": self._config,
            r"POST /v1/namespaces": self._create_namespace,
            r"POST /v1/namespaces/(\w+)/tables": self._create_table,
            r"GET /v1/namespaces/(\w+)/tables/(\w+)(?:\?.*)?": self._load_table,
            r"POST /v1/namespaces/(\w+)/tables/(\w+)": self._commit,
        }
        for pattern, answer in routes.items():
            match = re.fullmatch(pattern, f"{method} {path}")
            if match:
                try:
                    with self._mutex:
                        return answer(body, *match.groups())
                except tuple(_FAULTS) as error:
                    return _fault(_FAULTS[type(error)], error)
        return _fault(404, LookupError(f"{method} {path}"))

    def _config(self, _: bytes) -> Answer:
        return 200, {"defaults": {}, "overrides": {}}

    def _create_namespace(self, body: bytes) -> Answer:
        name = json.loads(body)["namespace"]
        self._catalog.create_namespace(tuple(name))
        return 200, {"namespace": name, "properties": {}}

    def _create_table(self, body: bytes, namespace: str) -> Answer:
        asked = CreateTableRequest.model_validate_json(body)
        table = self._catalog.create_table(
            (namespace, asked.name),
            asked.table_schema,
            asked.location,
            asked.partition_spec,
            properties=asked.properties,
        )
        return 200, _described(table)

    def _load_table(self, _: bytes, namespace: str, name: str) -> Answer:
        return 200, _described(self._catalog.load_table((namespace, name)))

    def _commit(self, body: bytes, namespace: str, name: str) -> Answer:
        asked = CommitTableRequest.model_validate_json(body)
        table = self._catalog.load_table((namespace, name))
        self._catalog.commit_table(table, asked.requirements, asked.updates)
        return 200, _described(self._catalog.load_table((namespace, name)))


def _described(table: Any) -> dict[str, Any]:
    metadata = json.loads(table.metadata.model_dump_json())
    return {"metadata-location": table.metadata_location, "metadata": metadata, "config": {}}


def _fault(status: int, error: Exception) -> Answer:
    kind = type(error).__name__
    return status, {"error": {"message": str(error), "type": kind, "code": status}}
