"""The load tool: scenarios that measure the bridge, on servers of its own or on yours. `make load`, see README.md."""
