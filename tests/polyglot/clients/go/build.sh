#!/usr/bin/env bash
# Compiles the Go clients with Debian's libraries, as packages of a GOPATH:  build.sh FOLDER
set -euo pipefail
cd "$(dirname "$0")"

work="$1"
debian="$work/debian/root/usr"

here="$work/go/src/github.com/modelway/modelway"
rm -rf "$here"
mkdir -p "$here/gen" "$work/bin"
cp -r "$work/gen/go" "$here/gen/go"
cp -r ../../../../examples "$here/examples"
cp -r . "$here/client"
cp -r ../../guides/go "$here/guide"
cp -r ../../guides/go-tls "$here/tls"
cp -r ../../strangers/go "$here/stranger"
cp -r ../../refusals/go "$here/refused"
export GOROOT="$debian/lib/go-1.19" GOPATH="$work/go:$debian/share/gocode" GOCACHE="$work/go-cache"
export GO111MODULE=off GOFLAGS= CGO_ENABLED=0
unset GOOS GOARCH
go="$GOROOT/bin/go"
"$go" vet github.com/modelway/modelway/examples/go
"$go" build -o "$work/bin/go-client" github.com/modelway/modelway/client
"$go" build -o "$work/bin/go-example" github.com/modelway/modelway/examples/go
"$go" build -o "$work/bin/go-guide" github.com/modelway/modelway/guide
"$go" build -o "$work/bin/go-refused" github.com/modelway/modelway/refused
"$go" build -o "$work/bin/go-stranger" github.com/modelway/modelway/stranger
"$go" build -o "$work/bin/go-tls" github.com/modelway/modelway/tls
