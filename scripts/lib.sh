# Shared by the scripts of this folder; sourced, not run.

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# Installs Debian packages for programs that are missing: `need program=package …`.
need() {
  local missing=() pair
  for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null 2>&1 || missing+=("${pair##*=}")
  done
  [ ${#missing[@]} -eq 0 ] && return
  say "installing ${missing[*]}"
  local as_root=()
  [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  # Debian's docker-registry would start a service on all interfaces; the scripts start their own on loopback.
  local policy=/usr/sbin/policy-rc.d made=
  if [ ! -e "$policy" ]; then
    made=yes
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod +x "$policy"
    # Whatever happens below, services must be able to start again.
    trap "${as_root[*]} rm -f $policy" EXIT
  fi
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  if [ -n "$made" ]; then
    "${as_root[@]}" rm -f "$policy"
    trap - EXIT
  fi
}

# Where programs that Debian does not package go.
tools() { printf '%s/target/tools' "$root"; }

# A Python package with its program, in an environment of its own: `python_tool program package==version`.
python_tool() {
  local program=$1 package=$2 place
  place="$(tools)/python-$program"
  [ -x "$(tools)/bin/$program" ] && [ -x "$place/bin/$program" ] && return
  python3 -c 'import ensurepip, venv' 2>/dev/null || need no-program-of-this-name=python3-venv
  say "installing $package"
  rm -rf "$place"
  python3 -m venv "$place"
  "$place/bin/pip" install --quiet --disable-pip-version-check --retries 10 "$package"
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
  echo "npm did not deliver $package: what needs it was NOT run" >&2
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
