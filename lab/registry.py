"""The lab's Docker Hub mirror: Debian's docker-registry, and its images.

dockerd asks its mirrors only for Docker Hub's images, by their full names: what a host pulls as
`traefik:v3.7` is `library/traefik:v3.7` here.
"""

from __future__ import annotations

import json
from pathlib import Path

from lab import packages, processes
from lab.errors import LabError
from lab.images import ImageError, build_all
from lab.namespace import answers, inside
from lab.settings import REGISTRY_IPV4, REGISTRY_PORT, Settings
from lab.steps import console, step, wait_until

ADDRESS = f"{REGISTRY_IPV4}:{REGISTRY_PORT}"


def full_name(image: str) -> str:
    """Return the name under which Docker Hub has the image."""
    return image if "/" in image else f"library/{image}"


def storage(lab: Settings) -> Path:
    """Return the folder of the registry's blobs: in the cache, so that each push is made once."""
    return lab.cache / "registry"


def up(lab: Settings) -> None:
    """Start the registry and push the missing images."""
    if processes.find(lab, "registry") is None:
        program = packages.docker_registry(lab)
        config = lab.state / "registry.yml"
        storage(lab).mkdir(parents=True, exist_ok=True)
        config.write_text(
            "version: 0.1\nlog: {level: warn, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {storage(lab)}}}}}\n"
            f"http: {{addr: '{ADDRESS}'}}\n"
        )
        log = lab.logs / "registry.log"
        with step("starting the registry", log):
            command = inside(lab, [program, "serve", config])
            processes.spawn(lab, "registry", command, log=log)
            ready = f"http://{ADDRESS}/v2/"
            wait_until("the registry", lambda: answers(lab, ready), timeout=60, every=0.1)


def _transport(archive: Path) -> str:
    return f"oci:{archive}" if archive.is_dir() else f"docker-archive:{archive}"


def pushed_record(lab: Settings) -> Path:
    """Return the file that records which archive was pushed under which name."""
    return storage(lab) / "pushed.json"


def push(lab: Settings, images: dict[str, Path]) -> None:
    """Push the archives that are new or changed: image name → docker-archive file or OCI folder."""
    record = pushed_record(lab)
    pushed: dict[str, str] = json.loads(record.read_text()) if record.exists() else {}
    for image, archive in images.items():
        # The path and age of an archive identify its content: it is made once per key.
        key = f"{archive} {archive.stat().st_mtime_ns}"
        if pushed.get(image) == key:
            continue
        with step(f"pushing {image}", lab.logs / "registry-push.log") as log:
            target = f"docker://{ADDRESS}/{full_name(image)}"
            copy = ["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false"]
            log.run(inside(lab, [*copy, _transport(archive), target]))
        pushed[image] = key
        record.write_text(json.dumps(pushed, indent=2) + "\n")


def images(lab: Settings) -> dict[str, Path]:
    """Return the lab's images, built in the cache if missing: name → archive."""
    try:
        return build_all(lab.cache, lambda line: console.print(f"· {line} …"))
    except ImageError as error:
        raise LabError(f"the lab's images: {error}") from error
