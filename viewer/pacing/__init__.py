"""What is rendered when, and how large: pure logic."""
