"""A model repository for the Triton Inference Server, from a bundle: one model for each graph that is to be run.

Windows of many clients are joined into one run; a stream has its states kept by the server, under the client's sequence
number. Run it: python examples/triton_repository.py exported/pump-station models
Then: tritonserver --model-repository=models
"""

import argparse
from pathlib import Path

from toolkit.atomic_files import make_folder, write_bytes, write_text
from toolkit.release.triton import triton_config
from toolkit.runtime.bundle import load_bundle

GRAPH = "model.onnx"


def main(bundle: Path, repository: Path) -> list[Path]:
    """Writes `NAME/config.pbtxt` and `NAME/1/model.onnx` for each preferred graph; gives the models' folders."""
    loaded = load_bundle(bundle)
    if Path(loaded.manifest.name).name != loaded.manifest.name or loaded.manifest.name in ("", ".."):
        raise SystemExit(f"{loaded.manifest.name!r} is no name of a folder; fix: export the bundle again")
    models = []
    for entry in loaded.manifest.graphs:
        if not entry.preferred:
            continue
        name = f"{loaded.manifest.name}-{entry.name}"
        series = {"one_series": entry.one_series, "mixes_series": entry.mixes_series}
        config = triton_config(name, entry.signature, file=GRAPH, **series)
        make_folder(repository / name / "1")
        write_bytes(repository / name / "1" / GRAPH, loaded.read(entry.file))
        write_text(repository / name / "config.pbtxt", config)
        models.append(repository / name)
    return models


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("repository", type=Path, metavar="FOLDER")
    for folder in main(**vars(parser.parse_args())):
        print(folder)
