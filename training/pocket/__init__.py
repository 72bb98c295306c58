"""The pocket model: the script behind suites/quickstart, which makes its data, base model and adapters from scratch."""
