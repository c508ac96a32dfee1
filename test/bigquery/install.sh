#!/usr/bin/env bash
# Installs the independent BigQuery emulator into a folder, as requirements.txt
# pins it, once for each state of that file.
set -euo pipefail
fail() {
	echo "test-bigquery: $*" >&2
	exit 3
}
here=$(cd "$(dirname "$0")" && pwd)
dir=${1:?the folder to install into}
python=$(command -v python3) || fail "python3 is not installed; the emulator is a Python program (3.11 or newer)"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$("$python" --version) is too old; the emulator needs 3.11 or newer"
want=$(sha256sum "$here/requirements.txt" "$here/install.sh" | sha256sum)
if [ "$(cat "$dir/installed" 2>/dev/null)" = "$want" ]; then
	exit 0
fi
rm -rf "$dir"
mkdir -p "$dir"
"$python" -m venv "$dir/venv" || fail "python3 -m venv failed; on Debian and Ubuntu the package python3-venv has it"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r "$here/requirements.txt" ||
	fail "pip could not install the emulator; it needs the Python package index (PyPI)"
# DuckDB looks for extensions below the home folder; the emulator is given one of its own.
"$dir/venv/bin/python" - "$dir/home" <<'PY' || fail "DuckDB's extension could not be put in place"
import pathlib, shutil, sys
import duckdb, duckdb_extension_spatial
platform = duckdb.execute("PRAGMA platform").fetchone()[0]
version = "v" + duckdb.__version__
source = pathlib.Path(duckdb_extension_spatial.__file__).parent / "extensions" / version / "spatial.duckdb_extension"
target = pathlib.Path(sys.argv[1]) / ".duckdb" / "extensions" / version / platform
target.mkdir(parents=True)
shutil.copy(source, target)
PY
echo "$want" >"$dir/installed"
