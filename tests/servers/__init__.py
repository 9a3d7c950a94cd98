"""Real servers for tests, each a process of its own that cannot outlive the test run."""
