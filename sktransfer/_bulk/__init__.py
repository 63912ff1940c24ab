"""Bulk jobs: sources of cells, finished parts, workers of a cluster."""
