# `make search` and `make test` do all their set-up themselves; nothing but Python 3.11+ and make is needed.
PYTHON ?= python3
VENV := .venv
RUN ?= runs/first

.PHONY: search test slow lint docs clean

search: $(VENV)/installed
	$(VENV)/bin/nas search --data fashion-mnist --target onnxruntime --latency p30 --time 4m --run $(RUN)
	$(VENV)/bin/nas export $(RUN)

test: $(VENV)/installed-dev lint
	$(VENV)/bin/python -m pytest -q -n 2 --dist worksteal

slow: $(VENV)/installed-dev
	$(VENV)/bin/python -m pytest -q -m slow

lint: $(VENV)/installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

docs: $(VENV)/installed-dev
	$(VENV)/bin/python -m docs.site.build

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(VENV)/bin/pip install --quiet -c constraints.txt -e '.[dev,docs,litert,openvino,postgres]'
	touch $@

clean:
	rm -rf $(VENV) runs
