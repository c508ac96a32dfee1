#!/usr/bin/env bash
# Renders the golden pages of comparisons in a real Chromium: see check.mjs.
set -euo pipefail
cd "$(dirname "$0")/../.."
for program in node npm; do
	command -v "$program" >/dev/null 2>&1 || {
		echo "make test-report: $program not found; install Node.js 20 or later, which brings it" >&2
		exit 1
	}
done
if (($(node -p 'process.versions.node.split(".")[0]') < 20)); then
	echo "make test-report: Node.js $(node --version) is too old; install 20 or later" >&2
	exit 1
fi
modules=out/report/npm
# Installed anew only where the pinned versions have changed since.
if ! cmp -s test/report/package-lock.json "$modules/installed.json"; then
	mkdir -p "$modules"
	cp test/report/package.json test/report/package-lock.json "$modules/"
	(cd "$modules" && npm ci --ignore-scripts --no-audit --no-fund)
	cp test/report/package-lock.json "$modules/installed.json"
fi
exec node test/report/check.mjs "$modules" compare/report/testdata out/report
