# shellcheck shell=bash
# Sourced by scripts/run, scripts/test and scripts/lock: the virtual environment, and what Debian must
# add to it. Everything is said on stderr, so that stdout belongs to the command that was asked for.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$top/.venv
py=$venv/bin/python

say() { printf '%s\n' "$*" >&2; }

# refuse DOING CAME EXPECTED REMEDY: an error in the house's four parts, and the end.
refuse() {
    printf '%s: %s; expected %s.\n%s\n' "$1" "$2" "$3" "$4" >&2
    exit 1
}

# apt_install PACKAGE: true when Debian's package is there afterwards; never asks for a password.
apt_install() {
    local as_root=() log status=0
    command -v apt-get >/dev/null || return 1
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || return 1
        as_root=(sudo -n)
    fi
    as_root+=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)
    say "installing Debian's $1"
    log=$(mktemp)
    # The package lists are fetched only if the install fails without: absent on a bare system, or old.
    "${as_root[@]}" install -y --no-install-recommends "$1" >"$log" 2>&1 </dev/null ||
        { "${as_root[@]}" update >"$log" 2>&1 </dev/null &&
            "${as_root[@]}" install -y --no-install-recommends "$1" >"$log" 2>&1 </dev/null; } || status=$?
    [ "$status" = 0 ] || tail -n 5 "$log" >&2
    rm -f "$log"
    return "$status"
}

# find_python: sets `python` to one that is new enough and can make virtual environments.
find_python() {
    local name version=""
    for name in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11; do
        command -v "$name" >/dev/null || continue
        version=$("$name" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            python=$name
            break
        fi
    done
    [ -n "${python:-}" ] ||
        refuse "looking for Python" "${version:+Python }${version:-no python3}" "Python 3.11 or newer" \
            "Install one (Debian 12 and Raspberry Pi OS 12 have it as python3), or name it: PYTHON=/path/to/python3"
    # Debian keeps this half of the standard library in a package of its own.
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        { apt_install "python$version-venv" && "$python" -c 'import ensurepip, venv' 2>/dev/null; } ||
        refuse "making a virtual environment with Python $version" "its module 'ensurepip' is missing" \
            "a Python with venv" "Run: sudo apt-get install python$version-venv"
}

# pip_install ARGUMENT...: says errors only, and never needs a compiler, which a bare system does not have.
pip_install() {
    "$py" -m pip install -qq --disable-pip-version-check --no-input "$@" </dev/null
}

# fingerprint: changes with whatever decides what stands in .venv.
fingerprint() {
    { cat "$top"/requirements/*.txt "$top/setup.cfg" "$top/pyproject.toml" "$top/agent/__init__.py" &&
        "$python" -c 'import sys; print(sys.version, sys.base_prefix)' && echo "$venv"; } |
        sha256sum | cut -d' ' -f1
}

# setup_venv LOCK...: .venv with these locks of requirements/ and the project in it, later ones containing
# the earlier. Costs next to nothing while neither the locks nor Python have changed.
setup_venv() {
    find_python
    # One at a time; the lock goes when the subshell does, not when the command that follows ends.
    (
        flock 9
        lock=${*: -1}
        now=$(fingerprint)
        if [ "$(cat "$venv/fingerprint" 2>/dev/null)" != "$now" ]; then
            say "making .venv with Python $("$python" -c 'import platform; print(platform.python_version())')"
            "$python" -m venv --clear "$venv" || exit 1
            echo "$now" >"$venv/fingerprint"
        fi
        [ ! -e "$venv/has-$lock" ] || exit 0
        say "installing the packages of requirements/$lock.txt (a minute or two, once)"
        pip_install --only-binary=:all: --require-hashes \
            -r "$top/requirements/build.txt" -r "$top/requirements/$lock.txt" || exit 1
        pip_install --no-index --no-deps --no-build-isolation --editable "$top" || exit 1
        for lock in "$@"; do touch "$venv/has-$lock"; done
    ) 9>"$top/.venv.lock" || refuse "installing the Python packages" "the error above" \
        "the files that requirements/ names" "Mend what pip says (often the network), then run this again."
}
