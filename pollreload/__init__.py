"""Polls files by content and tells the right process, until it has been told."""
