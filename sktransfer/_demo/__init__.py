"""The demo: its steps and its figures."""
