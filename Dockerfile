# The bridge as a container image: `make image`.
#
# The base is Debian's slim Python and not a distroless one, because a virtual environment needs in both stages the same
# interpreter in the same place. A tag moves with security updates; to build on one exact image, give its digest:
# --build-arg PYTHON_IMAGE=python:3.13-slim-trixie@sha256:...
ARG PYTHON_IMAGE=python:3.13-slim-trixie

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build

# What changes seldom comes first: dependencies, as wheels only, each with its hash. The environment itself has no pip.
COPY requirements.lock requirements-build.lock ./
RUN python -m venv --without-pip /opt/bridge \
    && pip --python /opt/bridge/bin/python install --no-cache-dir --no-compile --no-deps --require-hashes --only-binary :all: \
        -r requirements.lock \
    && pip install --no-cache-dir --no-deps --require-hashes --only-binary :all: -r requirements-build.lock

# The package, without the network.
COPY pyproject.toml README.md LICENSE ./
COPY bridge ./bridge
RUN pip wheel --no-cache-dir --no-deps --no-index --no-build-isolation --wheel-dir wheels . \
    && pip --python /opt/bridge/bin/python install --no-cache-dir --no-compile --no-deps --no-index wheels/*.whl

# Nothing can be compiled later, where the file system is read-only. By hash, so that two builds give the same bytes.
RUN /opt/bridge/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/bridge/lib

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="kafka-kinesis-bridge" \
      org.opencontainers.image.description="Dual-write bridge for moving a live system from Apache Kafka to Amazon Kinesis Data Streams" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"

COPY --from=build /opt/bridge /opt/bridge
ENV PATH="/opt/bridge/bin:$PATH" \
    PYTHONDONTWRITEBYTECODE=1 \
    BRIDGE_CONFIG=/etc/bridge/bridge.yaml

# By number, so that Kubernetes can see that it is not root. The bridge writes no files.
USER 10001:10001
WORKDIR /
EXPOSE 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["/opt/bridge/bin/bridge", "health"]
ENTRYPOINT ["/opt/bridge/bin/bridge"]
CMD ["run"]
