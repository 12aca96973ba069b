"""The running node: storage, links, alerts, log and command line, on trio. Spec: spec/delivery.md."""
