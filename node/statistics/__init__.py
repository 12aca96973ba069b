"""How letters are counted, hidden where few, published, and added up for a region. Spec: spec/statistics.md."""
