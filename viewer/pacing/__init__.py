"""Frame pacing: what is rendered when, and how large, as pure logic."""
