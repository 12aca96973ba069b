"""Bundles: letters and what belongs to them on a stick. Spec: spec/bundle.md."""
