"""What crosses from the workstation to the gateway: dataclasses and JSON, on the standard library alone."""
