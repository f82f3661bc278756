#!/bin/bash
# SPDX-License-Identifier: MIT
#
# usage: lint.sh format|rules SOURCE BUILD
#        lint.sh tidy SOURCE BUILD FOLDER...
#   format  clang-format has nothing to change
#   tidy    clang-tidy has nothing to say of these folders (.clang-tidy has the checks and the reasons)
#   rules   SPDX lines, file lengths, no registry's host name, shell scripts parse
set -euo pipefail
what=$1 source=$2 build=$3
shift 3
cd "$source"

tool() {
    command -v "$1-19" || command -v "$1"
}

sources() {
    find protocol mediator guest-driver samples tests -name '*.[ch]' -not -path '*/build*' | sort
}

case $what in
format)
    sources | xargs "$(tool clang-format)" --dry-run --Werror
    ;;
tidy)
    # Only what is compiled has an entry; generated files are not ours.
    python3 - "$build" "$source" "$@" <<'END' | xargs -P "$(nproc)" -n 4 "$(tool clang-tidy)" --quiet -p "$build" \
        --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-unused-command-line-argument
import json, os, sys
build, source, *folders = sys.argv[1:]
seen = set()
for entry in json.load(open(os.path.join(build, "compile_commands.json"))):
    path = os.path.normpath(os.path.join(entry["directory"], entry["file"]))
    if path.startswith(tuple(f"{source}/{folder}/" for folder in folders)):
        seen.add(path)
print("\n".join(sorted(seen)))
END
    ;;
rules)
    failed=0
    while read -r file; do
        if ! head -n 3 "$file" | grep -q 'SPDX-License-Identifier: MIT'; then
            echo "$file: no SPDX line"
            failed=1
        fi
        lines=$(wc -l <"$file")
        if [ "$lines" -gt 800 ]; then
            echo "$file: $lines lines, 800 is the most"
            failed=1
        fi
    done < <(sources; find run tools tests samples \( -name '*.py' -o -name '*.sh' -o -path 'tools/*' -o -name run \) -type f \
        -not -name '*.pyc' -not -name packages -not -name preferences)
    while read -r file; do
        bash -n "$file" || failed=1
    done < <(grep -rlE '^#!/bin/(ba)?sh' run tools tests .ci)
    if grep -rnIE '(deb|security|ftp|snapshot)[.]debian[.]org' --exclude-dir=.git --exclude-dir='build*' . ; then
        echo "a registry's host name is in the tree; it comes from the machine's apt configuration"
        failed=1
    fi
    exit $failed
    ;;
*)
    echo "usage: lint.sh format|tidy|rules SOURCE BUILD [FOLDER...]" >&2
    exit 2
    ;;
esac
