# Shared by the scripts of this folder; sourced, not run.

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

# Installs Debian packages for programs that are missing: `need program=package …`.
need() {
  local missing=() pair
  for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null 2>&1 || missing+=("${pair##*=}")
  done
  [ ${#missing[@]} -eq 0 ] && return
  say "installing ${missing[*]}"
  # Debian's docker-registry would start a service on all interfaces; the scripts start their own on loopback.
  local policy=/usr/sbin/policy-rc.d made=
  if [ ! -e "$policy" ]; then
    made=yes
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod +x "$policy"
    # Whatever happens below, services must be able to start again.
    trap "as_root rm -f $policy" EXIT
  fi
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  if [ -n "$made" ]; then
    as_root rm -f "$policy"
    trap - EXIT
  fi
}

# Whether `$@ --version` runs here and says Rust's version $wanted or a newer one. Nothing is installed on the way.
new_enough() {
  local found
  found=$(cd "$root" && RUSTUP_AUTO_INSTALL=0 "$@" --version 2>/dev/null | cut -d' ' -f2) || return 1
  [ -n "$found" ] && [ "$(printf '%s\n' "$wanted" "${found%%-*}" | sort -V | head -n 1)" = "$wanted" ]
}

# Takes a toolchain that is here and new enough, whatever it is called.
present_rust() {
  new_enough rustc && new_enough cargo && return
  command -v rustup >/dev/null || return 1
  local name
  for name in $(rustup toolchain list 2>/dev/null | cut -d' ' -f1); do
    if RUSTUP_TOOLCHAIN=$name new_enough rustc; then
      export RUSTUP_TOOLCHAIN=$name
      return
    fi
  done
  return 1
}

# Rust in the version of rust-toolchain.toml or newer. Where there is none, rustup brings it: Debian's, where that is
# packaged, otherwise by its own installer.
rust() {
  local wanted
  wanted=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$root/rust-toolchain.toml")
  [ ! -d "$HOME/.cargo/bin" ] || PATH="$PATH:$HOME/.cargo/bin"
  present_rust && return
  say "installing Rust $wanted with rustup (into ~/.rustup and ~/.cargo)"
  if ! command -v rustup >/dev/null; then
    apt-cache show rustup >/dev/null 2>&1 || as_root apt-get update -qq || true
    if apt-cache show rustup >/dev/null 2>&1; then
      need rustup=rustup
    else
      need curl=curl
      [ -e /etc/ssl/certs/ca-certificates.crt ] || need no-program-of-this-name=ca-certificates
      curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
        sh -s -- -y --quiet --no-modify-path --default-toolchain none || no_rust
      PATH="$PATH:$HOME/.cargo/bin"
    fi
  fi
  rustup toolchain install "$wanted" --profile minimal --component clippy --component rustfmt || no_rust
  present_rust || no_rust
}

no_rust() {
  echo "Rust $wanted or newer is needed and could not be installed. Run this, and then again what you ran:" >&2
  echo "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --default-toolchain $wanted" >&2
  exit 2
}

# Where cargo puts what it builds: CARGO_TARGET_DIR and cargo's own configuration may say something else than target.
built() {
  cargo metadata --locked --no-deps --format-version 1 |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])'
}

# Node in a version that Renovate runs with. Debian has an older one.
node_24() {
  # Debian's own Node trusts the authorities of the system, npm's only those that it brings.
  local authorities=/etc/ssl/certs/ca-certificates.crt
  [ ! -e "$authorities" ] || export NODE_EXTRA_CA_CERTS="${NODE_EXTRA_CA_CERTS:-$authorities}"
  local new='const [major, minor] = process.versions.node.split(".").map(Number);
    process.exit(major > 24 || (major == 24 && minor >= 11) ? 0 : 1)'
  if node -e "$new" 2>/dev/null; then return; fi
  local machine
  case "$(uname -m)" in x86_64) machine=x64 ;; *) machine=arm64 ;; esac
  npm_tool node "node-linux-$machine@24.11.1" bin/node
  hash -r
}

# Where programs that Debian does not package go.
tools() { printf '%s/target/tools' "$root"; }

# Python packages with a program, in an environment of their own: `python_tool program package==version …`.
python_tool() {
  local program=$1 place
  place="$(tools)/python-$program"
  [ -x "$(tools)/bin/$program" ] && [ -x "$place/bin/$program" ] && return
  python3 -c 'import ensurepip, venv' 2>/dev/null || need no-program-of-this-name=python3-venv
  say "installing ${*:2}"
  rm -rf "$place"
  python3 -m venv "$place"
  "$place/bin/pip" install --quiet --disable-pip-version-check --retries 10 "${@:2}" || { rm -rf "$place"; return 1; }
  mkdir -p "$(tools)/bin"
  ln -sf "$place/bin/$program" "$(tools)/bin/$program"
}

# A package from npm, in a folder of its own: `npm_package package@version`. Tried again, since it is a long way; when it
# fails all the same, the script ends with 75, which says "not now".
npm_package() {
  local package=$1 name place
  name=${package%@*}
  place="$(tools)/npm-${name##*/}"
  [ -e "$place/done" ] && [ "$(cat "$place/done")" = "$package" ] && return
  say "installing $package"
  rm -rf "$place"
  mkdir -p "$place"
  local attempt
  for attempt in 1 2 3; do
    if npm install --prefix "$place" --no-audit --no-fund --loglevel error --fetch-retries 5 "$package" >&2; then
      printf '%s' "$package" >"$place/done"
      return
    fi
    sleep $((attempt * 10))
  done
  not_delivered npm "$package"
}

# Ends the script with 75, which says "not now".
not_delivered() {
  echo "$1 did not deliver $2: what needs it was NOT run" >&2
  exit 75
}

# The same with a program: `npm_tool program package@version [path in the package]`.
npm_tool() {
  local program=$1 package=$2 name place path
  npm_package "$package"
  name=${package%@*}
  place="$(tools)/npm-${name##*/}/node_modules"
  path="$place/.bin/$program"
  [ $# -lt 3 ] || path="$place/$name/$3"
  mkdir -p "$(tools)/bin"
  ln -sf "$path" "$(tools)/bin/$program"
}
