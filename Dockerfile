# One image per service: docker build --build-arg SERVICE=gateway -t isobath/gateway .
# SERVICE is a folder of services/; its packages come from requirements/<service>.txt, by hash.
ARG PYTHON=3.11
FROM python:${PYTHON}-slim-bookworm AS build
ARG SERVICE
WORKDIR /src
# one loop of the PostgreSQL connector is C; it does without where this is left out
RUN if [ "$SERVICE" = pg_connector ]; then \
      apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev; fi \
 && python -m venv /opt/isobath
COPY requirements requirements
RUN /opt/isobath/bin/pip install --no-cache-dir --require-hashes \
      -r "requirements/$(echo "$SERVICE" | tr _ -).txt"
COPY pyproject.toml hatch_build.py README.md ./
COPY servicekit servicekit
COPY grants grants
COPY connectorkit connectorkit
COPY gen gen
COPY services services
COPY client client
COPY dev dev
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
 && /opt/isobath/bin/pip install --no-cache-dir --no-deps /wheels/*.whl

FROM python:${PYTHON}-slim-bookworm
ARG SERVICE
# the sandbox isolates with bubblewrap; the others need nothing of the system
RUN if [ "$SERVICE" = sandbox ]; then \
      apt-get update && apt-get install -y --no-install-recommends bubblewrap fonts-noto-cjk \
      && rm -rf /var/lib/apt/lists/*; fi \
 && useradd --uid 10001 --create-home --home-dir /var/lib/isobath isobath
COPY --from=build /opt/isobath /opt/isobath
USER 10001
WORKDIR /var/lib/isobath
ENV PATH=/opt/isobath/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 SERVICE=$SERVICE
ENTRYPOINT ["sh", "-c", "exec python -m services.$SERVICE \"$@\"", "--"]
