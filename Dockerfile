# The operator's image: one static binary and nothing else, no shell, no package, no user but a number.
# docker build -t module-controller:0.1.0 .

# The version is the one in rust-toolchain.toml. On Alpine the binary is linked statically (musl).
FROM rust:1.95.0-alpine AS build
# For the allocator's own build.
RUN apk add --no-cache make
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
# A member of the workspace: Cargo wants its manifest even where nothing of it is built.
COPY tests/support tests/support
RUN cargo build --release --locked --bin module-controller
# /manager is the entry point that V1's manifests name. A link, so that it costs nothing.
RUN mkdir -p /out \
 && cp target/release/module-controller /out/module-controller \
 && ln -s module-controller /out/manager

FROM scratch
COPY --from=build /out/ /
# A number, so that runAsNonRoot can be checked without a passwd file.
USER 65532:65532
EXPOSE 8080 8082
ENTRYPOINT ["/manager"]
