"""A bundle that lost its signal, as one of a foreign module that came without."""

import dataclasses

import tiny_bundles

from toolkit.contract.graph_io import GRAPHS, METADATA_PREFIX


def without_signal(folder):
    """Takes signal, model and state policy out of the manifest and out of what the graphs say of themselves."""

    def fault(proto):
        kept = [entry for entry in proto.metadata_props if entry.key.removeprefix(METADATA_PREFIX) not in gone]
        del proto.metadata_props[:]
        proto.metadata_props.extend(kept)

    gone = ("signal", "model")
    for graph in GRAPHS:
        tiny_bundles.damage_graph(folder, graph, fault)
    bare = dataclasses.replace(tiny_bundles.manifest_of(folder), signal=None, model=None, state=None)
    (folder / "manifest.json").write_text(bare.to_json())
