#!/usr/bin/env bash
# Fetches Go, protoc and the gRPC libraries of Go and Java from Debian's packages, and unpacks them into a folder:
# nothing is installed into the system, and no root is needed.
#
#   tests/polyglot/debian.sh FOLDER
#
# The names are those of Debian 12. If it fails, the last line of its error output says why.
set -euo pipefail

folder="$1"
packages=(
  # Go and its libraries
  golang-1.19-go golang-1.19-src
  golang-google-grpc-dev golang-google-protobuf-dev golang-github-golang-protobuf-1-5-dev
  golang-google-genproto-dev golang-golang-x-net-dev golang-golang-x-text-dev golang-golang-x-sys-dev
  # protoc and its plugins
  protobuf-compiler libprotoc32 libprotobuf32 libprotobuf-dev
  protoc-gen-go protoc-gen-go-grpc protobuf-compiler-grpc-java-plugin
  # Java's libraries
  libgrpc-java libprotobuf-java libguava-java libnetty-java libjctools-java libperfmark-java libopencensus-java
  libgoogle-gson-java libgeronimo-annotation-1.3-spec-java libgoogle-common-protos-java
)
command -v javac >&- || packages+=(openjdk-17-jdk-headless openjdk-17-jre-headless)

done_mark="$folder/unpacked.txt"
if [ "$(cat "$done_mark" 2>&-)" = "${packages[*]}" ]; then
  exit 0
fi
for tool in apt-get dpkg-deb; do
  command -v "$tool" >&- || { echo "there is no $tool: this is not Debian" >&2; exit 1; }
done

rm -rf "$folder"
mkdir -p "$folder"/apt/{lists,cache}/partial "$folder/packages" "$folder/root"
# A state of its own, so that the system's lists need be neither there nor writable.
apt=(apt-get -qq -o "Dir::State=$folder/apt" -o "Dir::State::lists=$folder/apt/lists"
  -o "Dir::Cache=$folder/apt/cache" -o APT::Sandbox::User=root)
"${apt[@]}" update
(cd "$folder/packages" && "${apt[@]}" download "${packages[@]}")
for package in "$folder"/packages/*.deb; do
  # Left out for their size: Go's libraries for the race detector and the like, and Google's other APIs.
  dpkg-deb --fsys-tarfile "$package" | tar -x -C "$folder/root" --exclude='*/pkg/linux_*_*' \
    --exclude='*/share/doc' --exclude='*/share/man' --exclude='*/genproto/googleapis/[a-q]*' \
    --exclude='*/genproto/googleapis/[s-z]*' --exclude='*/share/go-*/test'
done
# The JDK's links to its settings in /etc lead into the folder.
find "$folder/root" -lname '/etc/*' | while read -r link; do
  ln -sf "$folder/root$(readlink "$link")" "$link"
done
rm -rf "$folder/apt" "$folder/packages"
printf '%s\n' "${packages[*]}" > "$done_mark"
