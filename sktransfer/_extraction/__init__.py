"""The one pass of rows through a network: read, look up, run, keep."""
