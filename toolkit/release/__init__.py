"""From a finished run to a bundle that proves itself."""

from toolkit.release.build import BuiltBundle, build_bundle

__all__ = ["BuiltBundle", "build_bundle"]
