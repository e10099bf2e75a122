"""image.py FOLDER TAG: an OCI layout with an image for two platforms that runtimes can unpack. Both have a layer of their own,
and one that every image of this program has. Prints the digest."""
import gzip
import hashlib
import io
import json
import os
import sys
import tarfile

folder, tag = sys.argv[1:]
os.makedirs(f"{folder}/blobs/sha256")


def blob(data):
    digest = hashlib.sha256(data).hexdigest()
    with open(f"{folder}/blobs/sha256/{digest}", "wb") as file:
        file.write(data)
    return {"digest": "sha256:" + digest, "size": len(data)}


def layer(name, text):
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(text), 0o644
        tar.addfile(info, io.BytesIO(text))
    plain = plain.getvalue()
    return "sha256:" + hashlib.sha256(plain).hexdigest(), gzip.compress(plain, mtime=0)


oci = "application/vnd.oci.image."
children = []
for architecture in ("amd64", "arm64"):
    layers = [layer("base", b"the same everywhere\n" * 10_000), layer("own", os.urandom(20_000))]
    config = {
        "architecture": architecture,
        "os": "linux",
        "created": "2024-01-01T00:00:00Z",
        "config": {"Cmd": ["/own"]},
        "rootfs": {"type": "layers", "diff_ids": [diff for diff, _ in layers]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": oci + "manifest.v1+json",
        "config": {"mediaType": oci + "config.v1+json", **blob(json.dumps(config).encode())},
        "layers": [{"mediaType": oci + "layer.v1.tar+gzip", **blob(data)} for _, data in layers],
    }
    platform = {"architecture": architecture, "os": "linux"}
    kind = oci + "manifest.v1+json"
    children.append({"mediaType": kind, **blob(json.dumps(manifest).encode()), "platform": platform})
index = {"schemaVersion": 2, "mediaType": oci + "index.v1+json", "manifests": children}
root = {"mediaType": oci + "index.v1+json", **blob(json.dumps(index).encode())}
root["annotations"] = {"org.opencontainers.image.ref.name": tag}
with open(f"{folder}/oci-layout", "w") as file:
    json.dump({"imageLayoutVersion": "1.0.0"}, file)
with open(f"{folder}/index.json", "w") as file:
    json.dump({"schemaVersion": 2, "manifests": [root]}, file)
print(root["digest"])
