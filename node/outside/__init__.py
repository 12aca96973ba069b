"""Letters to people outside: offered by a link and a code, opened on a page, answered there. Spec: spec/pickup.md."""
