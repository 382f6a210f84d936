# Everything a contributor and the gate run. `make help` lists the targets.
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin
STAMP := $(VENV)/.installed
ENGINE ?= rules
# of the Dockerfile, each isobath/TARGET; inference-vllm is not among them: its base is many gigabytes
IMAGES ?= gateway credentials pg-connector blob-connector file-connector sandbox inference
CONTAINERS ?= docker
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
REVISION = $(shell git rev-parse HEAD 2>/dev/null || echo unknown)

.DEFAULT_GOAL := help
.PHONY: help env demo up certs test test-vllm test-training test-quantize test-clients test-axolotl test-vault scale-out study train-smoke eval check format protos api-docs locks bench bench-pg bench-blob bench-grpc bench-sandbox bench-gateway bench-inference requirements images images-check sbom k8s-check clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

env: $(STAMP) ## make the environment in .venv

$(STAMP): requirements/dev.txt pyproject.toml hatch_build.py services/pg_connector/binary/kernel.c
	test -x $(RUN)/python || $(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: env ## start everything on real parts, ask a question of both sources, save the report, stop
	@$(RUN)/python -m dev.demo

up: env ## start everything with sample data, and stay until Ctrl-C
	@$(RUN)/python -m dev.up

certs: env ## certificates for mutual TLS, or new ones for running services
	$(RUN)/python -m dev.certs

test: env ## the whole suite, on a real PostgreSQL and a real Azurite
	$(RUN)/python -m pytest --numprocesses 4 --dist loadfile

test-vllm: ## the suite of the vLLM engine, on CPU, in an environment of its own
	bash dev/vllm_env.sh .venv-vllm
	.venv-vllm/bin/python -m pytest -m vllm tests/inference/test_vllm_engine.py

test-quantize: ## 8 and 4 bits of a tiny model, and vLLM serving the results, in environments of their own
	bash dev/quantize_env.sh .venv-quantize
	bash dev/vllm_env.sh .venv-vllm
	.venv-vllm/bin/python -m pytest -m quantize tests/training/test_quantize.py

test-training: ## fine-tuning of a tiny model on CPU, in an environment of its own
	bash dev/training_env.sh .venv-training
	.venv-training/bin/python -m pytest -c tests/training/tuning/pytest.ini \
		--confcutdir tests/training/tuning tests/training/tuning tests/training/study/test_fit.py

test-clients: env ## LangChain, LiteLLM's proxy and bare requests, against the whole platform
	bash dev/locked_env.sh .venv-clients clients
	.venv-clients/bin/python -m pytest -c tests/clients/pytest.ini --confcutdir tests/clients \
		-m clients tests/clients

test-axolotl: env ## Axolotl's own code on training/axolotl.yaml, on CPU, in an environment of its own
	bash dev/locked_env.sh .venv-axolotl axolotl
	.venv-axolotl/bin/python -m pytest -c tests/axolotl/pytest.ini --confcutdir tests/axolotl tests/axolotl

scale-out: env ## several replicas of everything under load, while each is restarted and the schema migrated
	$(RUN)/python -m dev.scale_out

train-smoke: env ## train a tiny model on the examples, merge, serve it with vLLM, and ask the platform, on CPU
	bash dev/training_env.sh .venv-training
	bash dev/vllm_env.sh .venv-vllm
	$(RUN)/python -m training.smoke

study: env ## a small model from random weights, on generated conversations, for 20 minutes; STUDY=options
	bash dev/training_env.sh .venv-training
	bash dev/vllm_env.sh .venv-vllm
	$(RUN)/python -m training.study --output study $(STUDY)

eval: env ## ask questions with known answers and score the answers; ENGINE=rules, openai or vllm
	$(RUN)/python -m training.evaluation --engine $(ENGINE)

test-vault: env ## the vaults' suite, on the server of VAULT_ADDR or a vault or bao binary, else on the double
	$(RUN)/python -m pytest tests/credentials/test_vaults.py tests/credentials/test_vault_session.py \
		tests/credentials/test_database.py

check: env ## format, lint, types, contracts, architecture, documents
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy servicekit grants connectorkit services client dev training bench tests
	$(RUN)/buf lint
	$(RUN)/buf breaking --against '.git#ref=HEAD'
	$(RUN)/python -m pytest -q tests/test_architecture.py tests/test_docs.py

format: env ## format and mend what can be mended
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .

protos: env ## generate gen/ from protos/
	$(RUN)/python dev/protos.py

api-docs: env ## write docs/api.md from the OpenAPI document, the contracts and docs/examples/
	$(RUN)/python -m dev.api_reference

locks: env ## pin every package with its hashes, for development and for each service
	$(RUN)/python dev/locks.py

bench: env ## measure beside peers; figures for docs/performance.md
	$(RUN)/python -m bench

bench-pg: env ## PostgreSQL beside its peers; PEERS=FOLDER names those installed by `pip install --target`
	$(RUN)/python -m bench.pg_fetch --peers "$(PEERS)"

bench-blob: env ## Azure Blob beside its peers; `pip install obstore` measures that one too
	$(RUN)/python -m bench.blob_fetch

bench-grpc: env ## Fetch over gRPC beside Arrow Flight and sockets
	$(RUN)/python -m bench.grpc_fetch

bench-sandbox: env ## sessions of the sandbox, beside ipykernel where it is installed; DataFrames from PostgreSQL; a soak of 2,000
	$(RUN)/python -m bench.sandbox
	$(RUN)/python -m bench.sandbox_frames

bench-gateway: env ## the token path beside bare servers; `pip install sse-starlette` measures that one too; and whole chats
	$(RUN)/python -m bench.gateway
	$(RUN)/python -m bench.gateway_chat --at-once 30

bench-inference: ## tokens per second beside `vllm serve` on CPU; and on a GPU, where there is one
	bash dev/vllm_env.sh .venv-vllm
	PYTHONPATH=.:gen:client .venv-vllm/bin/python -m bench.inference
	PYTHONPATH=.:gen:client .venv-vllm/bin/python -m bench.inference_gpu

requirements: env ## which requirements have a passing test, as of the last `make test`
	@$(RUN)/python -m dev.requirements

images: ## build the container images; IMAGES=… some of them, CONTAINERS=podman, BUILD_ARGS=--build-arg…
	for image in $(IMAGES); do \
	  $(CONTAINERS) build --target $$image --tag isobath/$$image --tag isobath/$$image:$(VERSION) \
	    --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) $(BUILD_ARGS) . || exit 1; \
	done

images-check: env ## build the images as root with podman, and run the services from them
	ISOBATH_IMAGES=yes $(RUN)/python -m pytest tests/images

sbom: ## bills of materials of the services' locks, as CycloneDX in dist/sbom
	test -x .venv-sbom/bin/python || $(PYTHON) -m venv .venv-sbom
	.venv-sbom/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	  -r requirements/sbom.txt
	mkdir -p dist/sbom
	for image in $(IMAGES); do \
	  PYTHONWARNINGS=ignore .venv-sbom/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --sv 1.6 \
	    --output-file dist/sbom/isobath-$$image.cdx.json requirements/$$image.txt || exit 1; \
	done

k8s-check: env ## the manifests in all combinations: schemas of several Kubernetes versions, who may reach whom, checkov
	$(RUN)/python -m dev.kubectl
	$(RUN)/python -m pytest -q tests/k8s
	bash dev/locked_env.sh .venv-manifests manifests
	$(RUN)/python -m dev.manifests .manifests
	.venv-manifests/bin/checkov --directory .manifests --config-file k8s/checkov.yaml

clean: ## remove the environment and what tools left
	rm -rf $(VENV) .venv-* .manifests .mypy_cache .ruff_cache .pytest_cache .hypothesis
