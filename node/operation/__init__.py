"""Running a node: figures, health, alarms, new settings, upgrades. Spec: spec/operation.md."""
