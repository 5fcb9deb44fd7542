"""Long tries at losing a run, at breaking readers, and at breaking the viewer."""
