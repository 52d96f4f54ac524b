"""What a Kubernetes cluster answers, on loopback: its jobs are processes of this machine.

A real server speaks the part of the API that Snakemake's plugin calls, refuses what the API's
schema or its rule for GPUs forbids, and runs each container's command in an empty folder of its
own, with the variables of ``deploy/Dockerfile`` and of the secret that the plugin makes, and no
others.
"""

import base64
import json
import os
import re
import signal
import subprocess
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml
from container import image_variables, write_wheel

VERSION = "1.32"  # of the API's schema
GPU = "nvidia.com/gpu"
CORE, BATCH = "/api/v1/namespaces/default", "/apis/batch/v1/namespaces/default"
NAME = re.compile(r"(snakejob-)?[0-9a-f]{8}-[0-9a-f-]{27}")  # of a secret or a job


class RefusedError(Exception):
    """What the API answers with another status than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Pod:
    """A job, the folder of its pod, and its process, which is ``gone`` when its node is lost."""

    job: dict[str, Any]
    folder: Path
    process: subprocess.Popen
    gone: bool = False

    @property
    def name(self) -> str:
        return self.job["metadata"]["name"]

    @property
    def container(self) -> dict[str, Any]:
        [container] = self.job["spec"]["template"]["spec"]["containers"]
        return container

    @property
    def said(self) -> str:
        return (self.folder / "log").read_text()

    def kill(self) -> None:
        """All of its processes, as when it has no memory left."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def lose(self) -> None:
        """As if its node's power were gone: the cluster knows of no pod any more."""
        self.gone = True
        self.kill()

    def job_status(self) -> dict[str, Any]:
        code = self.process.poll()
        status = {"active": 1} if code is None else {"failed" if code else "succeeded": 1}
        return self.job | {"status": status}

    def pod_status(self) -> dict[str, Any]:
        code = self.process.poll()
        state = {"running": {}} if code is None else {"terminated": {"exitCode": code % 256}}
        container = {
            "name": self.container["name"], "image": self.container["image"], "imageID": "none",
            "ready": code is None, "restartCount": 0, "state": state,
        }  # fmt: skip
        return {
            "metadata": {"name": f"{self.name}-pod", "labels": {"job-name": self.name}},
            "spec": self.job["spec"]["template"]["spec"],
            "status": {"containerStatuses": [container]},
        }


class Cluster:
    """The API's server and its pods, each in a folder of its own below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.wheels = folder, folder / "wheels"
        self.secrets: dict[str, dict[str, str]] = {}
        self.pods: dict[str, Pod] = {}
        self.seen: list[Pod] = []  # also those that were deleted

    def start(self) -> None:
        self.folder.mkdir()
        write_wheel(self.wheels)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(self))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{self._server.server_port}"
        context = {"name": "test", "context": {"cluster": "test", "user": "test"}}
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "test", "contexts": [context],
            "clusters": [{"name": "test", "cluster": {"server": uri}}],
            "users": [{"name": "test", "user": {}}],
        }  # fmt: skip
        self.config = self.folder / "config.yaml"
        self.config.write_text(yaml.safe_dump(config))

    def stop(self) -> None:
        for pod in self.pods.values():
            pod.kill()
        self._server.shutdown()
        self._server.server_close()

    def create_secret(self, secret: dict[str, Any]) -> dict[str, Any]:
        refuse_invalid({"apiVersion": "v1", "kind": "Secret"} | secret)
        values = {k: base64.b64decode(v).decode() for k, v in secret["data"].items()}
        self.secrets[secret["metadata"]["name"]] = values
        return secret

    def create_job(self, job: dict[str, Any]) -> dict[str, Any]:
        refuse_invalid({"apiVersion": "batch/v1", "kind": "Job"} | job)
        [container] = job["spec"]["template"]["spec"]["containers"]
        refuse_gpus_without_limits(container["resources"])
        gpus = int(container["resources"]["requests"].get(GPU, 0))
        folder = self.folder / f"{len(self.seen):03}"
        workdir = folder / "workdir"
        workdir.mkdir(parents=True)
        variables = image_variables(workdir, self.wheels)
        for each in container["env"]:
            reference = each["valueFrom"]["secretKeyRef"]
            variables[each["name"]] = self.secrets[reference["name"]][reference["key"]]
        if gpus:  # as NVIDIA's plugin for nodes does; here is none
            variables["NVIDIA_VISIBLE_DEVICES"] = "GPU-none"
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [*container["command"], *container["args"]], cwd=workdir,
                env={"HOME": str(folder), "OMP_NUM_THREADS": "1", **variables},
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        pod = Pod(job, folder, process)
        self.pods[pod.name] = pod
        self.seen.append(pod)
        return job

    def pod(self, name: str) -> Pod:
        if name not in self.pods:
            raise RefusedError(404, f"{name} not found")
        return self.pods[name]

    def delete_job(self, name: str) -> dict[str, Any]:
        self.pod(name).kill()
        del self.pods[name]
        return {}

    def delete_pod(self, name: str) -> dict[str, Any]:
        self.pod(name).kill()
        return {}

    def delete_secret(self, name: str) -> dict[str, Any]:
        del self.secrets[name]
        return {}

    def list_pods(self, selector: str) -> dict[str, Any]:
        pod = self.pods.get(selector.removeprefix("job-name="))
        return {"items": [pod.pod_status()] if pod and not pod.gone else []}

    def log(self, name: str, query: dict[str, list[str]]) -> str:
        if query.get("previous", [""])[0].lower() == "true":  # none of these pods starts twice
            raise RefusedError(400, f"previous terminated container of {name} not found")
        return self.pod(name).said

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: dict) -> Any:
        """What the API answers: an object, or a text."""
        found = NAME.search(path)
        name = found.group() if found else ""
        routes = {
            f"POST {CORE}/secrets": lambda: self.create_secret(body),
            f"DELETE {CORE}/secrets/NAME": lambda: self.delete_secret(name),
            f"POST {BATCH}/jobs": lambda: self.create_job(body),
            f"GET {BATCH}/jobs/NAME/status": lambda: self.pod(name).job_status(),
            f"DELETE {BATCH}/jobs/NAME": lambda: self.delete_job(name),
            f"GET {CORE}/pods": lambda: self.list_pods(query["labelSelector"][0]),
            f"GET {CORE}/pods/NAME-pod/log": lambda: self.log(name, query),
            f"DELETE {CORE}/pods/NAME-pod": lambda: self.delete_pod(name),
        }
        route = f"{method} {NAME.sub('NAME', path)}"
        if route not in routes:
            raise RefusedError(501, f"{route} is not of the part of the API that is here")
        return routes[route]()


def refuse_invalid(manifest: dict[str, Any]) -> None:
    import kubernetes_validate  # of the services' environment, not of the ordinary one

    try:
        kubernetes_validate.validate(manifest, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        raise RefusedError(422, str(error)) from None


def refuse_gpus_without_limits(resources: dict[str, Any]) -> None:
    """The API's rule for resources that a node cannot promise twice."""
    for name, amount in resources["requests"].items():
        if "/" in name and resources.get("limits", {}).get(name) != amount:
            raise RefusedError(422, f"{name}: limit must be set for non overcommitable resources")


def handler_of(cluster: Cluster) -> type[BaseHTTPRequestHandler]:
    """What speaks HTTP for a cluster."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            address = urlsplit(self.path)
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = json.loads(content) if content else {}
            try:
                answer = cluster.answer(self.command, address.path, parse_qs(address.query), body)
                status = 200
            except RefusedError as error:
                status, answer = error.status, {"kind": "Status", "message": str(error)}
            text = answer if isinstance(answer, str) else json.dumps(answer)
            self.send_response(status)
            kind = "text/plain" if isinstance(answer, str) else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    return Handler
