# Sourced by the scripts beside it: a virtual environment in .venv, with the project and the extras asked for.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="$root/.venv"

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

recent_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    local name
    for name in python3 python3.13 python3.12 python3.11; do
        if command -v "$name" >/dev/null && recent_enough "$name"; then
            echo "$name"
            return
        fi
    done
    fail "needs Python 3.11 or newer; found $(python3 --version 2>/dev/null || echo none)"
}

create_environment() {
    # A copy in which python does not run is what an interrupted set-up leaves.
    if [ -x "$venv/bin/python" ] && recent_enough "$venv/bin/python"; then
        return
    fi
    echo "creating $venv" >&2
    rm -rf "$venv"
    if command -v uv >/dev/null; then
        uv venv --quiet --python '>=3.11' "$venv"
        return
    fi
    local python
    python="$(find_python)"
    "$python" -m venv "$venv" ||
        fail "$python cannot make virtual environments; install its venv module (python3-venv on Debian and Ubuntu)"
}

install_project() {
    if command -v uv >/dev/null; then
        uv pip install --quiet --python "$venv/bin/python" --editable "$root[$1]"
        return
    fi
    # An environment that uv made has no pip.
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$venv/bin/python" -m ensurepip >/dev/null
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable "$root[$1]"
}

# set_up EXTRAS: does nothing when pyproject.toml is as it was at the last installation of these extras.
set_up() {
    local stamp="$venv/.installed-${1//,/-}"
    create_environment
    if ! cmp -s "$root/pyproject.toml" "$stamp"; then
        echo "installing jaxgmm[$1]" >&2
        install_project "$1"
        cp "$root/pyproject.toml" "$stamp"
    fi
}
