#!/usr/bin/env bash
# Compiles the Java clients with Debian's libraries:  build.sh FOLDER
# The class path is $FOLDER/java:$FOLDER/debian/root/usr/share/java/*
set -euo pipefail
cd "$(dirname "$0")"

work="$1"
debian="$work/debian/root/usr"
export PATH="$PATH:$debian/lib/jvm/java-17-openjdk-amd64/bin"

# Debian's library of google.rpc is older than ErrorInfo.
google="$(python -c 'import google.rpc; print(next(iter(google.rpc.__path__)))')/../.."
sources="$work/java-sources"
rm -rf "$sources" "$work/java"
mkdir -p "$sources" "$work/java"
protoc -I "$google" --java_out="$sources" google/rpc/error_details.proto google/rpc/status.proto
protoc -I .. --java_out="$sources" --plugin=protoc-gen-grpc-java="$(command -v grpc_java_plugin)" \
  --grpc-java_out="$sources" health.proto
find "$work/gen/java" "$sources" -name '*.java' > "$work/java-sources.txt"
# The programs, which have no package, and everything that they use.
javac -nowarn -proc:none -d "$work/java" -cp "$debian/share/java/*" "@$work/java-sources.txt" \
  Cases.java ../../guides/java/Guide.java ../../strangers/java/Stranger.java ../../../../examples/java/Client.java
