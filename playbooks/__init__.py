"""Ships the playbooks beside the package in a wheel; see pyproject.toml."""
