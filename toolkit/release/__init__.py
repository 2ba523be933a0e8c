"""From a trained run, or anyone's module, to a bundle that proves itself."""

from toolkit.release.build import BuiltBundle, Options, build_bundle, build_material, export_module
from toolkit.release.held_out import Readings, read_readings
from toolkit.release.material import Material, material_of_module, material_of_run
from toolkit.release.signal_file import read_signal

__all__ = [
    "BuiltBundle",
    "Material",
    "Options",
    "Readings",
    "build_bundle",
    "build_material",
    "export_module",
    "material_of_module",
    "material_of_run",
    "read_readings",
    "read_signal",
]
