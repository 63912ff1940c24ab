"""Engines that compute pooled vectors: a prepared torch network, or another one."""
