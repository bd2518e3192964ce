# One image for every server: `docker run midstream` serves the four of a session, `docker run midstream serve orders` another one.
# docs/image.md says how it is run; `.ci/image` builds this file, runs the image hardened and looks through it.
ARG BASE=docker.io/library/debian:trixie-slim

FROM ${BASE} AS build
# Debian's own Python, for which there are security updates; a compiler for our kernels alone, all others are wheels.
# Versions are not pinned: Debian serves only the newest of a release, which is the one with its fixes.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ python3 python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
COPY requirements.lock ./
COPY requirements/extras.lock requirements/build.lock requirements/
# What builds stays in an environment of its own: the one that is shipped never has a pip.
RUN python3 -m venv --without-pip /opt/midstream \
    && python3 -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes --only-binary :all: -r requirements/build.lock \
    && /opt/build/bin/pip --python /opt/midstream/bin/python install --no-compile --require-hashes --only-binary :all: \
        -r requirements.lock -r requirements/extras.lock
COPY . ./
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /tmp/wheel . \
    && /opt/build/bin/pip --python /opt/midstream/bin/python install --no-compile --no-deps --no-index --find-links /tmp/wheel midstream \
    && python3 deploy/image/trim.py /opt/midstream \
    && find /opt/midstream -type f -name '*.so*' -exec strip --strip-unneeded {} + \
    # A server starts with 0.8 s of CPU instead of 2.7, and a read-only root could never keep what a start compiles. By hash and
    # unchecked, since times of files do not survive every registry.
    && /opt/midstream/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/midstream/lib

FROM ${BASE}
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/cache/ldconfig/* /var/log/apt /var/log/*.log \
        /usr/lib/python3*/idlelib /usr/lib/python3*/pydoc_data /usr/lib/python3*/turtledemo /usr/lib/python3*/ensurepip \
        /usr/lib/python3*/test /usr/share/info/dir \
    # Nobody in here becomes somebody else.
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    && groupadd --gid 10001 midstream \
    && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --home-dir /var/lib/midstream --shell /usr/sbin/nologin midstream \
    && install --directory --owner 10001 --group 10001 --mode 0700 /var/lib/midstream
COPY --from=build /opt/midstream /opt/midstream
ENV PATH=/opt/midstream/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1 \
    MIDSTREAM_OUT=/var/lib/midstream
USER 10001:10001
WORKDIR /var/lib/midstream
# Where it writes; all the rest may be read-only. Named here so that empty volumes get these owners and rights (Fargate, docker).
VOLUME ["/tmp", "/var/lib/midstream"]
# gRPC of the servers, orders' REST and the dashboard.
EXPOSE 50051 50052 50053 50054 50055 50056 50057 50058 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["midstream", "healthcheck"]
ENTRYPOINT ["midstream"]
CMD ["serve", "replay", "control", "price", "health"]

# Last, so that another revision changes no layer. The version is the package's: a test holds it.
ARG VERSION=0.1.0
ARG REVISION=unknown
# For the figure that names what runs.
ENV MIDSTREAM_REVISION=${REVISION}
LABEL org.opencontainers.image.title="midstream" \
    org.opencontainers.image.description="Replays recorded and live market data in arrival order through Redis, and turns it into mid prices" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
