#!/usr/bin/env bash
# Give the active Rust toolchain the WebAssembly targets that guests are compiled for.
#
#   wasm-target.sh TARGET…      wasm32-wasip2, wasm32-wasip1
#
# Each target is taken from the first of these that works:
# 1. it is there already: a program compiles and links for it;
# 2. `rustup target add`, for at most $RUSTUP_TIMEOUT seconds (90);
# 3. std built from Debian's rust-src (same release as rustc) and linked with Debian's wasi-libc, installed
#    where rustup would have put it. Needs apt-get, dpkg-deb and cargo able to fetch crates; the system's apt
#    configuration is read (for the mirror's address) and never changed. Before a later `rustup target add`
#    of the same target, remove lib/rustlib/TARGET from the toolchain.
set -euo pipefail

# Suites of Debian that carry more than one release of rust-src, most likely first.
suites=(trixie-backports forky sid)

say() { echo "wasm-target: $*" >&2; }
die() { say "$@"; exit 1; }

[[ $# -gt 0 ]] || die "usage: wasm-target.sh TARGET…"
sysroot=$(rustc --print sysroot)
rustc=$sysroot/bin/rustc
release=$("$rustc" -vV | sed -n 's/^release: //p')
commit=$("$rustc" -vV | sed -n 's/^commit-hash: //p')
work=$(mktemp -d "${TMPDIR:-/tmp}/wasm-target.XXXXXX")
new=
trap 'rm -rf "$work" ${new:+"$new"}' EXIT

# Whether a program compiles and links for target $1.
works() {
  echo 'fn main() { println!("{}", std::env::args().count()) }' |
    "$rustc" --edition 2024 --target "$1" --crate-type bin --crate-name probe -o "$work/probe.wasm" - \
      >"$work/probe.log" 2>&1
}

# Prints those of the targets given that do not work.
missing() {
  local target
  for target in "$@"; do works "$target" || echo "$target"; done
}

by_rustup() {
  command -v rustup >/dev/null || { say "there is no rustup"; return 0; }
  local limit=()
  command -v timeout >/dev/null && limit=(timeout "${RUSTUP_TIMEOUT:-90}")
  "${limit[@]}" rustup target add "$@" >&2 || say "rustup could not add $*"
}

# apt-get with lists, cache and state of its own.
private_apt() {
  apt-get -qq -o Dir::Etc::sourcelist="$work/apt/sources.list" -o Dir::Etc::sourceparts="$work/apt/none" \
    -o Dir::Etc::preferencesparts="$work/apt/none" -o Dir::State::lists="$work/apt/lists" \
    -o Dir::State::status="$work/apt/status" -o Dir::Cache="$work/apt/cache" \
    -o Acquire::Languages=none -o APT::Sandbox::User= "$@"
}

# Fetches rust-src of rustc's release and wasi-libc to $work/deb and unpacks the library to $work/src.
fetch_sources() {
  local tool mirror suite got=
  for tool in apt-get dpkg-deb; do
    command -v "$tool" >/dev/null ||
      die "no $tool here to fetch Debian's sources with: connect to rustup's server, then run" \
        "\`rustup target add $*\`"
  done
  mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
    awk '$1 !~ /security/ { print $2; exit }')
  [[ -n $mirror ]] || die "apt has no mirror configured, or its lists are empty: run \`apt-get update\` first"
  mkdir -p "$work"/apt/{none,lists/partial,cache/archives/partial} "$work/deb" "$work/src"
  : >"$work/apt/status"
  for suite in "${suites[@]}"; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" \
      >"$work/apt/sources.list"
    private_apt update >&2 || continue
    if (cd "$work/deb" && private_apt download "rust-src=$release+*" wasi-libc >&2); then
      got=$suite
      break
    fi
  done
  [[ -n $got ]] || die "none of Debian's ${suites[*]} has rust-src $release"
  dpkg-deb --fsys-tarfile "$work"/deb/rust-src_*.deb |
    tar -x -C "$work/src" --strip-components=4 "./usr/src/rustc-$release/library"
  mkdir "$work/libc"
  dpkg-deb --fsys-tarfile "$work"/deb/wasi-libc_*.deb | tar -x -C "$work/libc" --strip-components=3 ./usr/lib
}

# Where in wasi-libc the objects for target $1 are.
libc_of() {
  local name
  for name in "$1" "${1/wasip1/wasi}"; do
    [[ -e $work/libc/$name/libc.a ]] && { echo "$work/libc/$name"; return; }
  done
  die "Debian's wasi-libc has nothing for $1"
}

# Builds std for target $1 and moves it into the toolchain as a whole.
build() {
  local target=$1 libc dest=$sysroot/lib/rustlib/$1
  libc=$(libc_of "$target")
  say "building std for $target (about a minute)"
  (
    cd "$work/src/library"
    unset CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET CARGO_BUILD_RUSTFLAGS RUSTC_WRAPPER RUSTUP_TOOLCHAIN
    export RUSTC_BOOTSTRAP=1 RUSTC="$rustc" CARGO_TARGET_DIR="$work/target"
    export RUSTFLAGS="-Zforce-unstable-if-unmarked --remap-path-prefix=$work/src=/rustc/$commit"
    "$sysroot/bin/cargo" build --quiet --locked --manifest-path sysroot/Cargo.toml \
      --profile dist --target "$target" --features backtrace >&2
  )
  new=$(mktemp -d "$sysroot/lib/rustlib/.$target.XXXXXX")
  chmod 755 "$new"
  mkdir -p "$new/lib/self-contained"
  cp "$work/target/$target"/dist/deps/lib*.rlib "$new/lib/"
  cp "$libc"/{libc.a,crt1-command.o,crt1-reactor.o} "$new/lib/self-contained/"
  rm -rf "$dest"
  mv -T "$new" "$dest"
  new=
  works "$target" || {
    rm -rf "$dest"
    cat "$work/probe.log" >&2
    die "std for $target was built but a program does not link"
  }
  say "built $target from Debian's sources into $dest"
}

mapfile -t targets < <(missing "$@")
[[ ${#targets[@]} -eq 0 ]] && exit 0
by_rustup "${targets[@]}"
mapfile -t targets < <(missing "${targets[@]}")
[[ ${#targets[@]} -eq 0 ]] && exit 0
say "building ${targets[*]} for Rust $release from Debian's sources"
fetch_sources "${targets[@]}"
for target in "${targets[@]}"; do build "$target"; done
