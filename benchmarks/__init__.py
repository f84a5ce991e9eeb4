"""Measurements of the service beside other ways of doing the same work. docs/benchmarks.md says how to read them."""
