# An image for each service, and a target for each:
#
#     docker build --target gateway --tag isobath/gateway .
#
# `make images` builds them all, with BuildKit, podman or buildah. All that comes from outside is named here or
# pinned in requirements/; an image may be given by digest: --build-arg PYTHON_IMAGE=python@sha256:…
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
# the same Python with pip, where it does not come with the other
ARG BUILD_IMAGE=${PYTHON_IMAGE}
# has CUDA; one for CPU, such as vllm/vllm-openai-cpu, does as well
ARG VLLM_IMAGE=vllm/vllm-openai:v0.33.0
# what labels and bills of materials say
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=unknown
ARG LICENSES=NOASSERTION

# ---- what services have in common

FROM ${BUILD_IMAGE} AS build
WORKDIR /build
COPY requirements/sbom.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip python3 -m venv --without-pip /sbom \
 && python3 -m pip --python /sbom/bin/python install --require-hashes -r requirements/sbom.txt
COPY dev/environment.sh ./
ARG VERSION
ENV VERSION=${VERSION}

# our own code, compiled; of it each image takes what its service imports
FROM ${BUILD_IMAGE} AS code
WORKDIR /code
COPY servicekit servicekit
COPY grants grants
COPY connectorkit connectorkit
COPY gen/isobath isobath
COPY services services
RUN python3 -m compileall -q --invalidation-mode unchecked-hash .

# one loop of the PostgreSQL connector is C (hatch_build.py)
FROM code AS kernel
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev
RUN cd services/pg_connector/binary \
 && cc -O3 -std=gnu11 -Wall -Wextra -Werror -fPIC -shared -o libkernel.so kernel.c

FROM ${PYTHON_IMAGE} AS trimmed
# without what only installs, and without rights that nobody here needs
RUN rm -rf /usr/local/lib/python3*/site-packages/* /usr/local/bin/pip* /usr/local/bin/idle* \
      /usr/local/bin/pydoc* /usr/local/bin/2to3* /usr/lib/python3/dist-packages/* /usr/bin/pip* \
 && rm -rf /usr/local/lib/python3*/ensurepip /usr/local/lib/python3*/idlelib \
      /usr/local/lib/python3*/test /usr/lib/python3*/ensurepip /usr/lib/python3*/idlelib \
      /usr/lib/python3*/test /usr/share/python-wheels /var/lib/apt/lists/* /var/cache/apt/* /var/log/* \
 && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
 && groupadd --gid 10001 isobath \
 && useradd --uid 10001 --gid 10001 --home-dir /var/lib/isobath --no-create-home --shell /usr/sbin/nologin isobath \
 && install -d -o 10001 -g 10001 -m 0711 /var/lib/isobath

# as one layer, so that what was removed is in none
FROM scratch AS runtime
COPY --from=trimmed / /
ARG VERSION
ARG REVISION
ARG SOURCE
ARG LICENSES
LABEL org.opencontainers.image.vendor="Isobath" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="${LICENSES}"
# the root may be read-only: what is written goes to the two volumes
ENV PATH=/app/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    HOME=/var/lib/isobath \
    XDG_CACHE_HOME=/tmp/.cache \
    MPLCONFIGDIR=/tmp/.matplotlib \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /var/lib/isobath
STOPSIGNAL SIGTERM

# ---- gateway

FROM build AS gateway-env
COPY requirements/gateway.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip sh environment.sh gateway

FROM runtime AS gateway
COPY --from=gateway-env /app /app
COPY --from=gateway-env /bill /usr/share/sbom
COPY --from=code /code/isobath /app/code/isobath
COPY --from=code /code/servicekit /app/code/servicekit
COPY --from=code /code/grants /app/code/grants
COPY --from=code /code/connectorkit /app/code/connectorkit
COPY --from=code /code/services/gateway /app/code/services/gateway
ENV ISOBATH_GATEWAY_HOME=/var/lib/isobath/gateway \
    ISOBATH_GATEWAY_HTTP_BIND=0.0.0.0:8200 \
    ISOBATH_GATEWAY_SERVER_BIND=0.0.0.0:50050
LABEL org.opencontainers.image.title="Isobath gateway" \
      org.opencontainers.image.description="HTTP and gRPC for clients; runs, files, audit; the agent loop"
EXPOSE 8200 50050
VOLUME ["/var/lib/isobath", "/tmp"]
USER 10001:10001
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
  CMD ["python", "-P", "-m", "servicekit.probe", "gateway", "--public", "--http", "/health"]
ENTRYPOINT ["python", "-P", "-m", "services.gateway"]

# ---- credentials

FROM build AS credentials-env
COPY requirements/credentials.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip sh environment.sh credentials

FROM runtime AS credentials
COPY --from=credentials-env /app /app
COPY --from=credentials-env /bill /usr/share/sbom
COPY --from=code /code/isobath /app/code/isobath
COPY --from=code /code/servicekit /app/code/servicekit
COPY --from=code /code/grants /app/code/grants
COPY --from=code /code/connectorkit /app/code/connectorkit
COPY --from=code /code/services/credentials /app/code/services/credentials
ENV ISOBATH_CREDENTIALS_HOME=/var/lib/isobath/credentials \
    ISOBATH_CREDENTIALS_SERVER_BIND=0.0.0.0:50051
LABEL org.opencontainers.image.title="Isobath credentials" \
      org.opencontainers.image.description="Secrets of data sources, or the way to them in Vault; grants and their revocation"
EXPOSE 50051
VOLUME ["/var/lib/isobath", "/tmp"]
USER 10001:10001
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
  CMD ["python", "-P", "-m", "servicekit.probe", "credentials"]
ENTRYPOINT ["python", "-P", "-m", "services.credentials"]

# ---- pg-connector

FROM build AS pg-connector-env
COPY requirements/pg-connector.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip sh environment.sh pg-connector

FROM runtime AS pg-connector
COPY --from=pg-connector-env /app /app
COPY --from=pg-connector-env /bill /usr/share/sbom
COPY --from=code /code/isobath /app/code/isobath
COPY --from=code /code/servicekit /app/code/servicekit
COPY --from=code /code/grants /app/code/grants
COPY --from=code /code/connectorkit /app/code/connectorkit
COPY --from=kernel /code/services/pg_connector /app/code/services/pg_connector
ENV ISOBATH_PG_CONNECTOR_SERVER_BIND=0.0.0.0:50052
LABEL org.opencontainers.image.title="Isobath PostgreSQL connector" \
      org.opencontainers.image.description="Browses, inspects and fetches from PostgreSQL under a grant"
EXPOSE 50052
VOLUME ["/var/lib/isobath", "/tmp"]
USER 10001:10001
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
  CMD ["python", "-P", "-m", "servicekit.probe", "pg_connector"]
ENTRYPOINT ["python", "-P", "-m", "services.pg_connector"]

# ---- blob-connector

FROM build AS blob-connector-env
COPY requirements/blob-connector.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip sh environment.sh blob-connector

FROM runtime AS blob-connector
COPY --from=blob-connector-env /app /app
COPY --from=blob-connector-env /bill /usr/share/sbom
COPY --from=code /code/isobath /app/code/isobath
COPY --from=code /code/servicekit /app/code/servicekit
COPY --from=code /code/grants /app/code/grants
COPY --from=code /code/connectorkit /app/code/connectorkit
COPY --from=code /code/services/blob_connector /app/code/services/blob_connector
ENV ISOBATH_BLOB_CONNECTOR_SERVER_BIND=0.0.0.0:50053
LABEL org.opencontainers.image.title="Isobath Azure Blob connector" \
      org.opencontainers.image.description="Browses, inspects, fetches from and stores to Azure Blob Storage under a grant"
EXPOSE 50053
VOLUME ["/var/lib/isobath", "/tmp"]
USER 10001:10001
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
  CMD ["python", "-P", "-m", "servicekit.probe", "blob_connector"]
ENTRYPOINT ["python", "-P", "-m", "services.blob_connector"]

# ---- file-connector

FROM build AS file-connector-env
COPY requirements/file-connector.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip sh environment.sh file-connector

FROM runtime AS file-connector
COPY --from=file-connector-env /app /app
COPY --from=file-connector-env /bill /usr/share/sbom
COPY --from=code /code/isobath /app/code/isobath
COPY --from=code /code/servicekit /app/code/servicekit
COPY --from=code /code/grants /app/code/grants
COPY --from=code /code/connectorkit /app/code/connectorkit
COPY --from=code /code/services/file_connector /app/code/services/file_connector
ENV ISOBATH_FILE_CONNECTOR_SERVER_BIND=0.0.0.0:50056
LABEL org.opencontainers.image.title="Isobath file connector" \
      org.opencontainers.image.description="Browses, inspects, fetches from and stores to mounted folders under a grant"
EXPOSE 50056
VOLUME ["/var/lib/isobath", "/tmp"]
USER 10001:10001
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
  CMD ["python", "-P", "-m", "servicekit.probe", "file_connector"]
ENTRYPOINT ["python", "-P", "-m", "services.file_connector"]

# ---- sandbox

FROM build AS sandbox-env
COPY requirements/sandbox.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip sh environment.sh sandbox

FROM runtime AS sandbox
# what isolates, and letters for figures
RUN apt-get update && apt-get install -y --no-install-recommends bubblewrap fonts-noto-cjk libseccomp2 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
COPY --from=sandbox-env /app /app
COPY --from=sandbox-env /bill /usr/share/sbom
COPY --from=code /code/isobath /app/code/isobath
COPY --from=code /code/servicekit /app/code/servicekit
COPY --from=code /code/connectorkit /app/code/connectorkit
COPY --from=code /code/services/sandbox /app/code/services/sandbox
ENV ISOBATH_SANDBOX_HOME=/var/lib/isobath/sandbox \
    ISOBATH_SANDBOX_SERVER_BIND=0.0.0.0:50054
LABEL org.opencontainers.image.title="Isobath sandbox" \
      org.opencontainers.image.description="Runs programs without network and without secrets; the broker to their sources"
EXPOSE 50054
VOLUME ["/var/lib/isobath", "/tmp"]
USER 10001:10001
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s --retries=3 \
  CMD ["python", "-P", "-m", "servicekit.probe", "sandbox"]
ENTRYPOINT ["python", "-P", "-m", "services.sandbox"]

# ---- inference: the engines rules and openai, which need no GPU

FROM build AS inference-env
COPY requirements/inference.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip sh environment.sh inference

FROM runtime AS inference
COPY --from=inference-env /app /app
COPY --from=inference-env /bill /usr/share/sbom
COPY --from=code /code/isobath /app/code/isobath
COPY --from=code /code/servicekit /app/code/servicekit
COPY --from=code /code/services/inference /app/code/services/inference
ENV ISOBATH_INFERENCE_SERVER_BIND=0.0.0.0:50055
LABEL org.opencontainers.image.title="Isobath inference" \
      org.opencontainers.image.description="The embedded analyst, or a model server that speaks the OpenAI API"
EXPOSE 50055
VOLUME ["/var/lib/isobath", "/tmp"]
USER 10001:10001
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
  CMD ["python", "-P", "-m", "servicekit.probe", "inference"]
ENTRYPOINT ["python", "-P", "-m", "services.inference"]

# ---- inference with vLLM, which is there already with all that it needs; ours goes beside it

FROM ${VLLM_IMAGE} AS inference-vllm
USER root
WORKDIR /build
COPY requirements/inference.txt dev/beside.py ./
RUN python3 beside.py inference.txt >missing.txt \
 && python3 -m pip install --no-cache-dir --no-deps --require-hashes --target /app/beside -r missing.txt \
 && mkdir /app/code && rm -rf /build \
 && groupadd --gid 10001 isobath \
 && useradd --uid 10001 --gid 10001 --home-dir /var/lib/isobath --no-create-home isobath \
 && install -d -o 10001 -g 10001 -m 0711 /var/lib/isobath
COPY --from=inference-env /bill /usr/share/sbom
COPY --from=code /code/isobath /app/code/isobath
COPY --from=code /code/servicekit /app/code/servicekit
COPY --from=code /code/services/inference /app/code/services/inference
# caches of compiled kernels and of models are state: they are large, and slow to make
ENV PYTHONPATH=/app/code:/app/beside \
    HOME=/var/lib/isobath \
    HF_HOME=/var/lib/isobath/huggingface \
    XDG_CACHE_HOME=/var/lib/isobath/cache \
    VLLM_CACHE_ROOT=/var/lib/isobath/vllm \
    TORCHINDUCTOR_CACHE_DIR=/var/lib/isobath/inductor \
    TRITON_CACHE_DIR=/var/lib/isobath/triton \
    VLLM_NO_USAGE_STATS=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ISOBATH_INFERENCE_ENGINE=vllm \
    ISOBATH_INFERENCE_SERVER_BIND=0.0.0.0:50055
# a package that is missing, or too old beside vLLM's, is found now
RUN python3 -P -c "import services.inference.app, servicekit.probe" \
 && python3 -m compileall -q --invalidation-mode unchecked-hash /app
ARG VERSION
ARG REVISION
ARG SOURCE
ARG LICENSES
LABEL org.opencontainers.image.vendor="Isobath" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="${LICENSES}" \
      org.opencontainers.image.title="Isobath inference with vLLM" \
      org.opencontainers.image.description="A model within the service, on a GPU or on CPU as the base image has it"
WORKDIR /var/lib/isobath
EXPOSE 50055
STOPSIGNAL SIGTERM
VOLUME ["/var/lib/isobath", "/tmp"]
USER 10001:10001
# a model of many gigabytes is loaded before it serves
HEALTHCHECK --interval=30s --timeout=10s --start-period=900s --retries=3 \
  CMD ["python3", "-P", "-m", "servicekit.probe", "inference"]
ENTRYPOINT ["python3", "-P", "-m", "services.inference"]
