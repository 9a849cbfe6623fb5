# `make up` installs and starts terakoya; `make test` installs what tests need and runs them all.

.PHONY: up down install test docs clean

up: install
	@exec .venv/bin/terakoya up

down: install
	@exec .venv/bin/terakoya down

install:
	@scripts/install

test:
	@scripts/install test
	@exec scripts/test $(ARGS)

docs: install
	@.venv/bin/python -m terakoya.ops.reference docs/configuration.md

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache
