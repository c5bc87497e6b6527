# The server alone: built in one stage, run without a shell in the other.
ARG RUST=1.88-slim-bookworm
ARG BASE=gcr.io/distroless/cc-debian12:nonroot

FROM rust:${RUST} AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs config.schema.json ./
COPY proto proto
COPY src src
# Cargo wants every target of the manifest to exist; the files of benches and tests are not built.
COPY benches benches
COPY tests tests
# What `modelway --version` and the metric modelway_build_info tell.
ARG MODELWAY_COMMIT
ENV MODELWAY_COMMIT=${MODELWAY_COMMIT}
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin modelway && cp target/release/modelway /modelway && mkdir /data

FROM ${BASE}
COPY --from=build /modelway /usr/local/bin/modelway
# Where a ledger goes (`[ledger] path`), the only place that is written: mount a volume here to keep it. A new volume of Docker
# takes the owner of this directory.
COPY --from=build --chown=65532:65532 /data /var/lib/modelway
# The user `nonroot` of the base; by number, so that Kubernetes sees that it is not root.
USER 65532:65532
# Callers; health and metrics.
EXPOSE 50051 50053
# By the same program, since there is no shell: it asks the listener for probes.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["/usr/local/bin/modelway", "health", "--address", "127.0.0.1:50053"]
ENTRYPOINT ["/usr/local/bin/modelway"]
# Simulated providers, for a first look. Your own configuration: mount it and name it in its place
# (serve --config /etc/modelway/modelway.toml). Both say by name that plaintext is meant, since they listen beyond loopback.
COPY deploy/compose/modelway.toml /etc/modelway/modelway.toml
CMD ["serve", "--config", "/etc/modelway/modelway.toml"]
