"""The cases. Each has `run(full)`, `table(result)` and a first line for ``--list``."""
