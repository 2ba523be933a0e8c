"""The command line: each command parses, calls the library and prints. Nothing below prints or exits."""
