# The server alone: two stages, no shell in the second.
FROM rust:1.88-slim-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs ./
COPY proto proto
COPY src src
# Cargo wants every target of the manifest to exist; benches and tests are not copied.
COPY benches benches
COPY tests tests
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin modelway && cp target/release/modelway /modelway

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /modelway /usr/local/bin/modelway
EXPOSE 50051
ENTRYPOINT ["/usr/local/bin/modelway"]
# The built-in configuration; mount a file and name it after `serve` for your own.
CMD ["serve", "--listen", "0.0.0.0:50051"]
